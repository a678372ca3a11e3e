"""An agent says that it cannot go on without a person; the folder in which it can say so."""

import os
import subprocess

import pytest

from agentctl.core.tasks.task import End
from agentctl.fleet import watching
from agentctl.hub import inbox
from tests.scenario.test_session import run as session_of
from tests.scenario.test_session import run_again
from tests.support.agents import WORK, add, ends, nothing_is_left, run, task
from tests.support.hub import command, eventually, git, write

BLOCK = " ".join(command("task", "block")) + " 'no key for the tests' >&2"
BY_FILE = 'echo "no key for the tests" >"$AGENTCTL_SESSION/blocked"'
REASON = "cannot go on without a person: no key for the tests"


@pytest.mark.parametrize("says", [BLOCK, BY_FILE], ids=["command", "file"])
@pytest.mark.parametrize("how", ["", "; exit 1", "; exit 75"], ids=["well", "badly", "deferred"])
def test_its_task_is_parked_and_its_work_kept_and_never_handed_in(repo, says, how):
    add(repo, "one", {"id": "then", "after": ["one"]}, "other")
    said = run(repo, f"if [ $AGENTCTL_TASK = one ]; then {WORK}; echo half >half; {says}{how}; else {WORK}; fi", ok=7).stdout
    found = task(repo, "one")
    (session,) = found["sessions"]
    assert (found["status"], session["end"], session["revision"], session["failure"]) == ("parked", "blocked", 0, None)
    assert f"{session['agent']} {REASON}; " in found["reason"]
    assert f"parked one: {session['agent']} {REASON}" in said and "1 of 3 landed, 1 parked, 1 blocked" in said
    assert (repo.show("one.txt", session["salvage"]), repo.show("half", session["salvage"])) == ("one\n", "half\n")
    assert not [name for name in repo.git("ls-tree", "-r", "--name-only", session["salvage"]).split() if "session" in name]
    assert inbox.read(repo.hub, "one") == [] and repo.landings() == ["other/1"]
    nothing_is_left(repo)


def test_a_person_answers_and_the_next_session_reads_it(repo):
    add(repo, "one")
    run(repo, f"{WORK}; {BLOCK}", ok=7)
    repo.cli("task", "open", "one", "--reason", "Use the key of the demo account")
    run(
        repo,
        f"""
        grep -q 'blocked, no key for the tests' "$AGENTCTL_PROMPT_FILE" || exit 1
        grep -q 'Use the key of the demo account' "$AGENTCTL_PROMPT_FILE" || exit 1
        [ $AGENTCTL_ATTEMPT = 1 ] && ! [ -e "$AGENTCTL_SESSION/blocked" ] && {WORK}
    """,
    )
    assert ends(repo, "one") == ["blocked", "submitted"]


def test_who_does_not_end_by_itself_is_ended(repo, monkeypatch):
    monkeypatch.setattr(watching, "LAST_WORDS", 0.1)
    ended = session_of(repo, f"echo half >half; {BY_FILE}; exec sleep 1000")
    assert (ended.end, ended.charged) == (End.BLOCKED, False)
    assert ended.note.startswith("no key for the tests") and repo.show("half", ended.salvage) == "half\n"
    assert task(repo, "job")["status"] == "parked"


def test_what_was_submitted_by_the_agent_itself_stays_submitted(repo):
    ended = session_of(repo, f"echo w >w; git add w; git commit -qm work; {' '.join(command())} submit >&2; {BLOCK}")
    assert (ended.end, ended.revision) == (End.BLOCKED, 1)
    assert task(repo, "job")["status"] == "parked"
    repo.drain()
    assert task(repo, "job")["status"] == "landed"


def test_a_session_that_was_killed_with_its_supervisor_is_blocked_all_the_same(repo, live):
    add(repo, "one")
    running = live(f"{BY_FILE}; sleep 1000", "--agents", 1)
    running.working("one")
    eventually(lambda: os.path.exists(repo.hub.worktrees + "/agents/agent-1/.agentctl/session/blocked"))
    running.process.kill()
    running.process.wait()
    run(repo, WORK, ok=7)
    assert ends(repo, "one") == ["blocked"] and REASON in task(repo, "one")["reason"]


def test_a_person_may_block_from_a_terminal_in_the_worktree(repo, live, tmp_path):
    add(repo, "one", "two")
    running = live(f"{WORK}; while ! [ -e {tmp_path}/go ]; do sleep 0.02; done", "--agents", 1, "--keep")
    running.working("one")
    worktree = repo.hub.worktrees + "/agents/agent-1"
    assert repo.cli("task", "block", "it needs a key", cwd=worktree).stdout.startswith("one: blocked")
    running.ends(7)
    assert "agent-1 cannot go on without a person: it needs a key" in task(repo, "one")["reason"]
    assert task(repo, "two")["status"] == "landed"

    # After the session, it is the task that the agent worked on last, while that is open.
    repo.cli("task", "open", "one")
    repo.cli("spawn", "ann", "--task", "one", "--", "false", ok=1)
    repo.cli("task", "block", "it needs a key", cwd=repo.hub.worktrees + "/agents/ann")
    assert task(repo, "one")["reason"] == "ann cannot go on without a person: it needs a key"
    assert "no agent works here" in repo.cli("task", "block", "x", ok=2).stderr


def test_a_session_without_a_task_can_be_blocked_too(repo):
    said = repo.cli("spawn", "ann", "--prompt", "Do it", "--", "sh", "-c", f"echo half >half; {BLOCK}", ok=1).stdout
    assert said.startswith("ann: blocked, no key for the tests; ")
    assert repo.refs("refs/agentctl/tasks") == []


# the folder


def test_the_folder_is_empty_at_first_and_nobodys_change(repo):
    first = session_of(
        repo,
        """
        [ -d "$AGENTCTL_SESSION" ] && [ "$AGENTCTL_SESSION" = "$PWD/.agentctl/session" ] || exit 1
        [ -z "$(ls -A "$AGENTCTL_SESSION")" ] || exit 1
        echo said >"$AGENTCTL_SESSION/handoff.md"
        [ -z "$(git status --porcelain)" ] || exit 1
        echo w >w; git add -A; git commit -qm work
    """,
    )
    assert (first.end, first.note) == (End.SUBMITTED, ""), "nothing is left beside the commit"
    assert repo.git("diff", "--name-only", "main", _head(repo)).split() == ["w"]
    # Its file was not salvaged, and is gone when the next one begins.
    again = run_again(repo, '[ -z "$(ls -A "$AGENTCTL_SESSION")" ] && echo v >v')
    assert again.end == End.SUBMITTED
    assert repo.refs("refs/agentctl/salvage") == []


def _head(repo):
    (request,) = inbox.read(repo.hub, "job")
    return request.head


def test_what_is_only_in_the_folder_is_no_work(repo):
    ended = session_of(repo, 'echo said >"$AGENTCTL_SESSION/handoff.md"')
    assert (ended.end, ended.salvage) == (End.EMPTY, "")


@pytest.mark.parametrize("ignored", ["!*\n", "*\n!*/\n!*.md\n!*.txt\n"])
def test_the_projects_own_gitignore_does_not_take_it_in(make_repo, ignored):
    repo = make_repo(files={"kept.txt": "kept\n"})
    repo.push({".gitignore": ignored})
    ended = session_of(repo, 'echo said >"$AGENTCTL_SESSION/handoff.md"; echo more >more.txt')
    assert ended.end == End.SUBMITTED
    assert repo.git("diff", "--name-only", "main", _head(repo)).split() == ["more.txt"]


def test_a_set_up_keeps_its_excludes_and_the_folder_stays_excluded(make_repo):
    repo = make_repo()
    setup = "printf 'mine' >.git/info/exclude"
    policy = (repo.path / ".agentctl/policy.yaml").read_text().replace("  count: 2", f"  count: 2\n  setup: {setup}")
    write(repo.path, {".agentctl/policy.yaml": policy})
    repo.git("commit", "-qam", "a set-up")
    script = 'touch mine "$AGENTCTL_SESSION/x"; [ -z "$(git status --porcelain)" ] && touch "done-$AGENTCTL_ATTEMPT"'
    assert session_of(repo, script).end == End.SUBMITTED


@pytest.mark.parametrize(
    "trick",
    [
        'rm -rf "$AGENTCTL_SESSION"; ln -s "$OTHER" "$AGENTCTL_SESSION"',
        'mkdir elsewhere; mv .agentctl/policy.yaml elsewhere; rm -rf .agentctl; ln -s "$OTHER" .agentctl',
        'rm -rf "$AGENTCTL_SESSION"; echo x >"$AGENTCTL_SESSION"',
        'ln -s "$OTHER/blocked" "$AGENTCTL_SESSION/gone"; mkfifo "$AGENTCTL_SESSION/x"',
    ],
)
def test_a_folder_that_somebody_replaced_tells_nothing_and_harms_nobody(repo, tmp_path, trick):
    write(tmp_path, {"other/blocked": "secret\n", "other/session/blocked": "secret\n"})
    ended = session_of(repo, f"OTHER={tmp_path}/other; {trick}")
    assert ended.end != End.BLOCKED and "secret" not in ended.note
    again = run_again(repo, '[ -z "$(ls -A "$AGENTCTL_SESSION")" ] && echo v >v')
    assert again.end == End.SUBMITTED
    assert (tmp_path / "other/blocked").read_text() == "secret\n"


def test_a_worktree_of_an_older_version_gets_the_folder(repo):
    session_of(repo, "true")
    worktree = repo.hub.worktrees + "/agents/ann"
    exclude = worktree + "/.git/info/exclude"
    with open(exclude, "w") as file:
        file.write("# as it was\n")
    subprocess.run(["rm", "-rf", worktree + "/.agentctl/session"], check=True)
    again = run_again(repo, 'touch "$AGENTCTL_SESSION/x"; [ -z "$(git status --porcelain)" ] && echo v >v')
    assert again.end == End.SUBMITTED
    assert git(worktree, "check-ignore", ".agentctl/session/x")
