"""How a session's command ended decides what becomes of what it left."""

import subprocess

import pytest

from agentctl.core.tasks.cut_off import empty_handed
from agentctl.core.tasks.failure import Kind
from agentctl.core.tasks.task import End, Task
from agentctl.errors import NotFound
from agentctl.fleet import session
from agentctl.fleet.conclusion import Assignment
from agentctl.hub import status, tasks
from agentctl.hub.policy_file import read_policy
from tests.support.agents import add, ends, task
from tests.support.agents import run as run_fleet
from tests.support.hub import command, policy, write


def run(repo, script, program="/bin/sh"):
    """One session of a shell script as the agent; `program` is the shell, under whatever name."""
    tasks.add(repo.hub, [Task("job", "A job", "Do it.", created=1.0)])
    return run_again(repo, script, program)


def run_again(repo, script, program="/bin/sh"):
    work = Assignment(tasks.get(repo.hub, "job"), "ann", (program, "-c", script), False, "main")
    policy = read_policy(repo.hub, repo.hub.trunk_tip("main"))
    return session.SessionRun(repo.hub, policy, work).go()


def test_files_that_git_ignores_are_named_if_a_session_wrote_nothing_else(make_repo):
    repo = make_repo(agents="  setup: mkdir -p src && echo made >src/made.txt\n")
    repo.push({".gitignore": "*\n"})
    ended = run(repo, "mkdir -p src .cache; echo new | tee src/new.py .cache/new >/dev/null")
    assert (ended.end, ended.salvage) == (End.EMPTY, "")
    assert "it wrote only files that .gitignore names: src/new.py" in ended.note
    assert "made.txt" not in ended.note and ".cache" not in ended.note
    assert ".gitignore" not in run_again(repo, "true").note
    assert ".gitignore" not in run_again(repo, "echo x >src/new.py; echo y >>README").note


@pytest.mark.parametrize("commit", ["", "git add half && git commit -q -m half && "])
def test_death_by_a_signal_is_a_crash_and_its_work_is_salvaged(repo, commit):
    ended = run(repo, f"echo half > half && {commit}kill -9 $$")
    assert (ended.end, ended.revision) == (End.CRASHED, 0)
    assert "killed by signal 9" in ended.note
    shown = subprocess.run(
        ["git", "--git-dir", repo.hub.git_dir, "show", f"{ended.salvage}:half"], capture_output=True, text=True, check=True
    )
    assert shown.stdout == "half\n"
    with pytest.raises(NotFound):
        status.find(repo.hub, "job")


@pytest.mark.parametrize("commit", ["", "git add half && git commit -q -m half && "])
def test_a_failing_exit_status_is_a_crash_too_and_says_why(repo, commit):
    # Exit statuses of agents' programs are no promise, but one that fails has not finished.
    ended = run(repo, f"echo half > half && {commit}echo 'KeyError: colour' && exit 3")
    assert (ended.end, ended.revision, ended.failure) == (End.CRASHED, 0, None)
    assert ended.note.startswith("exit status 3: KeyError: colour; ")
    assert repo.show("half", ended.salvage) == "half\n"
    # The next session is told, and where the work is.
    again = run_again(
        repo,
        'grep -F "git diff HEAD...refs/agentctl/salvage/ann/" "$AGENTCTL_PROMPT_FILE" > told &&'
        ' grep "KeyError: colour" "$AGENTCTL_PROMPT_FILE" >> told',
    )
    assert (again.end, again.revision) == (End.SUBMITTED, 1)


def test_the_policy_may_let_a_failing_exit_status_mean_nothing(make_repo):
    ended = run(make_repo(on_failure="submit"), "echo whole > whole && exit 3")
    assert (ended.end, ended.revision, ended.note) == (
        End.SUBMITTED,
        1,
        "exit status 3; it had not committed whole, which is part of the change",
    )


def test_half_a_file_and_then_no_key_is_no_result_though_the_exit_status_is_good(repo):
    ended = run(repo, "echo 'def half(' > half.py; echo 'litellm.AuthenticationError: 401 invalid api key'")
    assert (ended.end, ended.revision) == (End.CRASHED, 0)
    assert (ended.failure.kind, ended.charged) == (Kind.KEY, False)
    assert "401 invalid api key" in ended.note
    assert repo.show("half.py", ended.salvage) == "def half(\n"


def test_half_of_the_commits_and_then_no_key_is_no_result_either(repo, tmp_path):
    # aider commits each of its edits, and its exit status is good whatever happens.
    (tmp_path / "aider").symlink_to("/bin/sh")
    ended = run(
        repo,
        "echo 'def half(' > half.py; git add half.py; git commit -qm 'feat: half'; "
        "echo 'litellm.AuthenticationError: 401 invalid api key'; echo 'Check your API key.'",
        str(tmp_path / "aider"),
    )
    assert (ended.end, ended.revision, ended.charged) == (End.CRASHED, 0, False)
    assert ended.failure.kind == Kind.KEY and "401 invalid api key" in ended.note
    assert repo.show("half.py", ended.salvage) == "def half(\n"


@pytest.mark.parametrize(
    "said",
    ["- 429 Too Many Requests: waits, then tries again", "ERROR: 401 Unauthorized", "Error: connection refused is retried now."],
)
def test_an_error_that_a_program_nobody_knows_got_over_does_not_undo_its_commits(repo, said):
    ended = run(repo, f"echo x > x; git add x; git commit -qm 'Do it'; echo '{said}'; echo 'Done.'")
    assert (ended.end, ended.failure) == (End.SUBMITTED, None)


@pytest.mark.parametrize("said", ["ERROR: 401 Unauthorized", "API Error: 529 overloaded_error", "Error: 429 Too Many Requests"])
def test_an_error_with_which_it_ends_is_the_end(repo, said):
    ended = run(repo, f"echo x > x; git add x; git commit -qm 'step 1 of 3'; echo '{said}'")
    assert (ended.end, ended.revision, ended.charged) == (End.CRASHED, 0, False)
    assert repo.show("x", ended.salvage) == "x\n"


def test_a_zero_byte_in_what_the_next_session_is_told_stops_nobody(repo):
    ended = run(repo, r"""printf 'a\0b' > "$AGENTCTL_SESSION/handoff.md"; exit 1""")
    assert ended.end == End.CRASHED
    again = run_again(repo, r"""grep -F 'a\0b' "$AGENTCTL_PROMPT_FILE" > told && git add told && git commit -qm told""")
    assert (again.end, again.revision) == (End.SUBMITTED, 1)


def test_an_agent_may_be_anywhere_when_it_says_something(repo):
    script = "cd / && agentctl note 'seen from afar' && agentctl task add --id later 'do it later' && agentctl task block 'why?'"
    assert run(repo, script).end == End.BLOCKED
    assert "do it later" in repo.cli("task", "list").stdout
    repo.drain()
    assert "seen from afar" in repo.cli("note").stdout


def test_what_a_session_with_a_result_prints_in_passing_is_its_own_affair(repo):
    ended = run(
        repo,
        "echo x > x; git add x; git commit -qm 'Wait at 429'; echo 'API Error: 429 rate limited'; "
        "echo 'This is what the client'; echo 'prints now while it waits.'; echo 'Done.'",
    )
    assert (ended.end, ended.failure) == (End.SUBMITTED, None)


def test_what_lies_beside_commits_is_kept_but_no_part_of_the_change(repo):
    ended = run(repo, "echo w > w; git add w; git commit -qm work; echo built > product; echo more >> README")
    assert (ended.end, ended.revision) == (End.SUBMITTED, 1)
    assert "2 uncommitted files kept in refs/agentctl/salvage/ann/" in ended.note
    repo.drain()
    assert (repo.show("w"), repo.show("product"), repo.show("README")) == ("w\n", None, "read me\n")
    assert repo.show("product", ended.salvage) == "built\n"


def test_hidden_files_that_nobody_added_are_no_part_of_a_change(repo):
    ended = run(repo, "echo PASSWORD=hunter2 >.env; echo w >w")
    assert "it had not committed w, which is part of the change" in ended.note
    repo.drain()
    assert (repo.show("w"), repo.show(".env")) == ("w\n", None)
    ended = run_again(repo, "echo PASSWORD=hunter2 >.env")
    assert ended.end == End.EMPTY and "it has not added what tools may keep for themselves: .env" in ended.note
    assert repo.show(".env", ended.salvage) == "PASSWORD=hunter2\n"


def test_what_an_agent_stashed_or_committed_elsewhere_is_what_the_next_one_finds(repo):
    ended = run(repo, "echo s >stashed; git add .; git stash -q")
    assert ended.end == End.EMPTY and ended.salvage
    again = run_again(repo, f"git stash apply {ended.salvage} && git commit -qam found")
    assert again.revision == 1
    elsewhere = run_again(repo, "git checkout -qb other; echo o >o; git add o; git commit -qm other; git checkout -q -")
    assert run_again(repo, f"git cherry-pick {elsewhere.salvage}").revision == 2


def test_litter_beside_commits_is_kept_but_no_part_of_the_change(repo):
    repo.push({".agentctl/policy.yaml": policy(dirty="all")})
    ended = run(
        repo, "echo w > w; git add w; git commit -qm work; mkdir .cache; echo z > .cache/z; echo more >> README; echo n > n"
    )
    assert (ended.end, ended.revision) == (End.SUBMITTED, 1)
    assert "it had not committed n, which is part of the change; 2 uncommitted files kept in" in ended.note
    repo.drain()
    assert (repo.show("w"), repo.show("n"), repo.show("README")) == ("w\n", "n\n", "read me\n")
    assert repo.show(".cache/z") is None and repo.show(".cache/z", ended.salvage) == "z\n"
    assert repo.show("README", ended.salvage) == "read me\nmore\n"


SWAPS = {
    "a link for a folder": ("mv src lib; ln -s lib src; echo more >>lib/b", "lib/a, lib/b", "src"),
    "a link for a folder, unchanged": ("mv src lib; ln -s lib src", "lib/a, lib/b", "src"),
    "an ignored link for a folder": ("mv tmp lib; ln -s lib tmp; echo more >>lib/b", "lib/a, lib/b", "tmp"),
    "a file for a folder": ("mv src lib; echo mine >src", "lib/a, lib/b", "src"),
    "a folder for a file": (
        "mkdir new; mv file new; mkdir -p file/.x; echo mine >file/y; echo mine >file/.x/y",
        "new/file",
        "file",
    ),
    "a folder for a link": ("rm link; mkdir link; echo mine >link/y; echo mine >new", "new", "link"),
}
"""By name: how the agent leaves its files, the new ones among them, and the path at which something else is now."""


def with_folders(make_repo, dirty):
    repo = make_repo(dirty=dirty)
    write(repo.path, {f"{folder}/{name}": f"{name}\n" for folder in ("src", "tmp") for name in "ab"})
    write(repo.path, {"file": "file\n", ".gitignore": "tmp\n"})
    (repo.path / "link").symlink_to("file")
    repo.git("add", "-f", ".")
    repo.git("commit", "-qm", "folders")
    return repo


def held(repo, commit):
    return dict(reversed(line.split("\t")[:2]) for line in repo.git("ls-tree", "-r", commit).splitlines())


@pytest.mark.parametrize("name", SWAPS)
def test_beside_commits_what_they_hold_stays_whatever_is_in_its_place(make_repo, name):
    repo, (script, new, at) = with_folders(make_repo, "all"), SWAPS[name]
    before = held(repo, "main")
    ended = run(repo, f"echo w >w; git add w; git commit -qm work; {script}")
    assert f"it had not committed {new}, which is part of the change" in ended.note
    repo.drain()
    after = held(repo, "main")
    assert sorted(set(after) - set(before)) == sorted([*new.split(", "), "w"])
    assert {path: after[path] for path in before} == before
    there = held(repo, ended.salvage)
    assert all(there.get(path) != before[path] for path in before if path == at or path.startswith(at + "/"))


@pytest.mark.parametrize("name", SWAPS)
def test_without_commits_what_is_in_the_place_of_something_is_the_change(make_repo, name):
    repo, (script, _, at) = with_folders(make_repo, "commit"), SWAPS[name]
    before = held(repo, "main")
    ended = run(repo, script)
    assert ended.revision == 1
    repo.drain()
    after = held(repo, "main")
    inside = {path for path in after if path == at or path.startswith(at + "/")}
    assert inside == {"src": {"src"}, "tmp": set(), "file": {"file/y"}, "link": {"link/y"}}[at]
    assert {path: after.get(path) for path in before if not (path + "/").startswith(at + "/")} == {
        path: entry for path, entry in before.items() if not (path + "/").startswith(at + "/")
    }


def test_who_is_cut_off_with_nothing_but_hidden_files_has_nothing_to_show(repo):
    repo.push({".agentctl/policy.yaml": policy(agent_timeout="1s")})
    ended = run(repo, "echo chat >.history; sleep 60")
    assert (ended.end, ended.salvage) == (End.TIMEOUT, "") and empty_handed(ended)
    assert "1 uncommitted file kept in refs/agentctl/salvage/ann/" in ended.note
    stashed = run_again(repo, "echo chat >.history; echo more >>README; git stash -q; sleep 60")
    assert repo.show("README", stashed.salvage) == "read me\nmore\n" and not empty_handed(stashed)


def test_the_policy_may_keep_out_all_that_was_not_committed(repo):
    repo.push({".agentctl/policy.yaml": policy(dirty="salvage")})
    ended = run(repo, "echo w > w; git add w; git commit -qm work; echo more >> README; echo n > n")
    assert "2 uncommitted files kept in refs/agentctl/salvage/ann/" in ended.note
    repo.drain()
    assert (repo.show("w"), repo.show("n"), repo.show("README")) == ("w\n", None, "read me\n")
    assert repo.show("README", ended.salvage) == "read me\nmore\n"


def test_what_was_left_beside_a_change_is_told_to_who_mends_it(repo):
    repo.push({".agentctl/policy.yaml": policy(dirty="salvage")})
    left = run(repo, "echo BUG > w; git add w; git commit -qm work; echo more >> README")
    repo.drain()
    again = run_again(repo, 'cp "$AGENTCTL_PROMPT_FILE" told; git add told; git commit -qm told')
    repo.drain()
    assert again.revision == 2
    assert f"`git show {left.salvage}`" in repo.show("told")


def test_what_was_submitted_by_the_agent_itself_stands_whatever_lies_beside_it(repo):
    ended = run(repo, f"echo w > w; git add w; git commit -qm work; {' '.join(command())} submit >&2; echo z > z")
    assert (ended.end, ended.revision) == (End.SUBMITTED, 1)
    repo.drain()
    assert (repo.show("w"), repo.show("z")) == ("w\n", None)


@pytest.mark.parametrize("then", ["exit 0", "exit 3"])
def test_what_was_submitted_by_the_agent_itself_stands_though_its_worktree_is_gone(repo, then):
    submit = " ".join(command()) + " submit >&2"
    ended = run(repo, f'echo w > w; git add w; git commit -qm work; {submit}; here=$PWD; cd /; rm -rf "$here"; {then}')
    assert (ended.end, ended.revision, ended.charged) == (End.SUBMITTED, 1, True)
    repo.drain()
    assert repo.show("w") == "w\n"


@pytest.mark.parametrize(
    "again",
    [
        'git reset -q --hard "$(git rev-parse refs/agentctl/outbox/ann/job/1^)"',
        "echo BUG > w; git add w; git commit -qm 'The very same, said otherwise'",
    ],
)
def test_what_was_rejected_is_not_submitted_again_unchanged(repo, again):
    run(repo, "echo BUG > w; git add w; git commit -qm work")
    repo.drain()
    ended = run_again(repo, again)
    assert (ended.end, ended.revision) == (End.EMPTY, 0)
    assert "the same was rejected already as job/1" in ended.note
    assert repo.stages() == {"job/1": "rejected"}


def test_nothing_to_do_is_no_answer_to_a_rejection(repo):
    run(repo, "echo BUG > w; git add w; git commit -qm work")
    repo.drain()
    assert "next: agentctl run works on the task job again; or mend it (git switch" in repo.cli("why", "job").stdout
    ended = run_again(repo, "git commit -q --allow-empty -m 'It works for me'")
    assert (ended.end, ended.revision) == (End.GAVE_UP, 0)
    assert "job/1 was rejected" in ended.note and "It works for me" in ended.note


def test_nothing_to_do_is_a_question_to_a_person_unless_it_is_said_what_did_it(repo):
    add(repo, "done", "odd")
    said = f"[ $AGENTCTL_TASK = odd ] && echo It is fine || echo Done by {repo.tip[:10]}"
    run_fleet(repo, f'git commit -q --allow-empty -m "$({said})"', "-n", "1", ok=7)
    assert (
        "it needs a person: the agent says by an empty commit that nothing is to be done: It is fine"
        in task(repo, "odd")["reason"]
    )
    assert (task(repo, "done")["status"], ends(repo, "done")) == ("landed", ["submitted"]) and repo.landings() == []
    assert "next: nothing: the task done counts as done" in repo.cli("why", "done").stdout


@pytest.mark.parametrize("dirty", ["commit", "all"])
def test_an_empty_commit_beside_work_that_is_not_committed_does_not_say_that_nothing_is_to_be_done(make_repo, dirty):
    repo = make_repo(dirty=dirty)
    repo.push({"code": "1\n"}, "code")
    ended = run(repo, "echo 2 >code; git commit -q --allow-empty -m 'Start from '$(git rev-parse HEAD)")
    assert (ended.end, ended.revision) == (End.GAVE_UP, 0)
    assert "and has not committed code: Start from" in ended.note
    assert repo.git("show", f"{ended.salvage}:code") == "2\n"


def test_the_message_of_a_merge_is_no_word_of_the_agent(repo):
    merges = "git commit -q --allow-empty -m start; git fetch -q origin; git merge -q --no-edit $(git rev-parse origin/main)"
    ended = run(repo, f"cd {repo.path}; echo 1 >new; git add new; git commit -qm new; cd -; {merges}")
    assert ended.end == End.GAVE_UP and "Merge commit" in ended.note


def test_nothing_to_do_is_an_answer_where_a_commit_of_trunk_did_it(repo):
    run(repo, "echo BUG > w; git add w; git commit -qm work")
    repo.drain()
    did_it = repo.push({"w": "good\n"}, "somebody else's work")
    ended = run_again(repo, f"git commit -q --allow-empty -m 'Done by {did_it[:10]}'")
    assert (ended.end, ended.revision) == (End.SUBMITTED, 2)


def test_a_commit_from_before_is_no_proof_that_it_was_done(repo):
    old = repo.tip
    run(repo, "echo BUG > w; git add w; git commit -qm work")
    repo.drain()
    assert run_again(repo, f"git commit -q --allow-empty -m 'Done by {old}'").end == End.GAVE_UP


def test_a_set_up_that_fails_is_no_fault_of_the_tasks(make_repo):
    repo = make_repo()
    write(repo.path, {".agentctl/policy.yaml": policy().replace("  count: 2", "  count: 2\n  setup: echo no such tool; exit 9")})
    repo.git("commit", "-qam", "a set-up")
    ended = run(repo, "echo w > w")
    assert (ended.end, ended.failure.kind, ended.charged) == (End.CRASHED, Kind.SETUP, False)
    assert ended.note == "the set-up command failed: exit status 9: no such tool"


def test_a_set_up_that_takes_longer_than_a_session_may_is_the_sessions_end_and_holds_nobody(make_repo):
    repo = make_repo(agents="  setup: sleep 100\n  budget: {session: {time: 1s}}\n")
    ended = run(repo, "echo w > w")
    assert (ended.end, ended.failure.kind) == (End.SPENT, Kind.LIMIT)


def test_what_the_set_up_printed_is_no_word_of_the_program(make_repo):
    repo = make_repo(agents="  setup: 'echo Error: connection refused'\n")
    ended = run(repo, "exit 3")
    assert (ended.end, ended.failure) == (End.CRASHED, None)
    assert "connection refused" not in ended.note


def test_what_a_session_leaves_running_is_killed_and_told(repo):
    ended = run(repo, "setsid sleep 1000 & sleep 0.2; echo whole > whole")
    assert ended.end == End.SUBMITTED
    assert ended.note.startswith("a process it left behind was killed; ")


def test_locks_of_a_git_that_was_killed_are_in_nobodys_way(repo):
    # The agent's Git dies while it holds the locks of index, HEAD and branch, as in a timeout.
    left = "; mkdir -p .git/refs/heads/agent; touch .git/index.lock .git/HEAD.lock .git/refs/heads/agent/ann.lock"
    ended = run(repo, "echo whole > whole" + left)
    assert (ended.end, ended.revision) == (End.SUBMITTED, 1)
    assert run_again(repo, "echo more > more" + left).revision == 2
    repo.drain()
    assert repo.stages() == {"job/1": "superseded", "job/2": "landed"}


def test_a_session_that_takes_back_what_landed_is_told_to(repo):
    """Files of an older trunk, committed on the newer one: nothing conflicts."""
    repo.submit("landed", {"landed.txt": "landed\n"})
    repo.drain()
    ended = run(repo, "rm landed.txt; echo mine >mine.txt; git add -A; git commit -q -m mine")
    assert (ended.end, ended.revision) == (End.SUBMITTED, 1)
    assert "it makes landed.txt again as before something that came to trunk lately" in ended.note
    repo.drain()
    assert "; trunk has landed.txt again as before it" in repo.cli("why", "landed").stdout
