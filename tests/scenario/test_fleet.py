"""Agents, scripted, and what a fleet makes of what they do."""

import json

import pytest

from tests.support.agents import WORK, add, ends, nothing_is_left, run, task
from tests.support.hub import command, write


def test_a_fleet_works_off_its_tasks_and_tidies_up(repo):
    add(repo, "one", "two", "three")
    said = run(repo, WORK).stdout
    assert "3 of 3 landed" in said
    assert sorted(repo.landings()) == ["one/1", "three/1", "two/1"]
    assert repo.git("log", "-1", "--format=%an").startswith("agent-")
    assert task(repo, "one")["status"] == "landed"
    nothing_is_left(repo)
    repo.proven()
    # There is nothing more to do.
    assert "3 of 3 landed" in run(repo, "exit 1").stdout


def test_an_empty_result_is_an_attempt_and_then_the_task_is_parked(make_repo):
    repo = make_repo(attempts=2)
    add(repo, "idle", "busy")
    said = run(repo, f'test "$AGENTCTL_TASK" = idle || {{ {WORK}; }}', ok=7).stdout
    assert "1 of 2 landed, 1 parked" in said
    assert ends(repo, "idle") == ["empty", "empty"]
    assert task(repo, "idle")["status"] == "parked" and task(repo, "idle")["reason"]
    assert "parked      idle: " + task(repo, "idle")["reason"] in said
    assert "agentctl task show idle" in repo.cli("why", "idle", ok=4).stderr
    assert repo.landings() == ["busy/1"]
    nothing_is_left(repo)


def test_an_agent_that_does_not_end_is_stopped_and_its_work_kept(make_repo):
    repo = make_repo(attempts=1, agent_timeout="1s")
    add(repo, "endless")
    run(repo, f"{WORK}; exec sleep 1000", ok=7)
    (session,) = task(repo, "endless")["sessions"]
    assert session["end"] == "timeout" and session["salvage"]
    assert repo.show("endless.txt", session["salvage"]) == "endless\n"
    nothing_is_left(repo)


def test_uncommitted_files_are_committed(make_repo):
    repo = make_repo(dirty="commit")
    add(repo, "dirty")
    run(repo, "echo kept >kept.txt")
    assert repo.show("kept.txt") == "kept\n"
    assert repo.git("log", "-1", "--format=%an").startswith("agent-")


def test_uncommitted_files_are_salvaged(make_repo):
    repo = make_repo(dirty="salvage", attempts=1)
    add(repo, "dirty")
    run(repo, "echo kept >kept.txt", ok=7)
    (session,) = task(repo, "dirty")["sessions"]
    assert session["end"] == "empty"
    assert repo.show("kept.txt", session["salvage"]) == "kept\n"
    assert repo.show("kept.txt") is None


def test_what_is_rejected_is_mended_with_the_evidence(repo):
    # At its second attempt the agent finds the gate's output and the verdict in its folder.
    add(repo, "mend")
    run(
        repo,
        """
        if [ -z "$AGENTCTL_ANSWER" ]; then echo BUG >mend.txt; exit; fi
        grep -q 'found a bug' "$AGENTCTL_ANSWER/gate.log" && grep -q mend.txt "$AGENTCTL_PROMPT_FILE" || exit
        cp "$AGENTCTL_ANSWER/verdict.json" mended.json
        echo "attempt $AGENTCTL_ATTEMPT" >mend.txt
    """,
    )
    assert repo.stages() == {"mend/1": "rejected", "mend/2": "landed"}
    assert repo.show("mend.txt") == "attempt 2\n"
    assert json.loads(repo.show("mended.json"))["change"] == "mend/1"
    repo.proven()


def test_who_is_rejected_too_often_is_parked(make_repo):
    repo = make_repo(attempts=2)
    add(repo, "hopeless")
    run(repo, 'echo "BUG $AGENTCTL_ATTEMPT" >hopeless.txt', ok=7)
    assert repo.stages() == {"hopeless/1": "rejected", "hopeless/2": "rejected"}
    assert task(repo, "hopeless")["status"] == "parked"

    # Opened again by hand, it gets all its attempts anew, and this time a better agent.
    repo.cli("task", "open", "hopeless")
    run(repo, WORK)
    assert repo.landings() == ["hopeless/3"]
    repo.proven()


def test_a_deferred_task_waits_for_trunk_and_counts_no_attempt(make_repo):
    # `second` can do nothing before `first` is on trunk, though nobody said so.
    repo = make_repo(attempts=1)
    add(repo, {"id": "second", "priority": 5}, "first")
    run(repo, f'if [ "$AGENTCTL_TASK" = second ] && ! [ -e first.txt ]; then exit 75; fi; {WORK}')
    assert repo.landings() == ["first/1", "second/1"]
    assert ends(repo, "second") == ["deferred", "submitted"]


def test_a_task_begins_when_those_it_comes_after_have_landed(repo):
    add(repo, {"id": "last", "after": ["middle"]}, {"id": "middle", "after": ["start"]}, "start")
    run(repo, f"case $AGENTCTL_TASK in middle) test -e start.txt;; last) test -e middle.txt;; esac && {{ {WORK}; }}")
    assert repo.landings() == ["start/1", "middle/1", "last/1"]


@pytest.mark.parametrize(
    "antic",
    ["git switch -qc elsewhere", "git checkout -q --detach", "rm -rf .git", "git branch -qm renamed", "mkdir sub; cd sub"],
)
def test_whatever_an_agent_does_to_its_worktree_its_work_counts(repo, antic):
    add(repo, "odd", "even")
    if antic == "rm -rf .git":
        run(repo, 'echo "$AGENTCTL_TASK" >"$AGENTCTL_TASK.txt"; rm -rf .git', "--agents", 1)
    else:
        run(repo, f"{antic}; {WORK}", "--agents", 1)
    assert sorted(repo.landings()) == ["even/1", "odd/1"]
    assert repo.git("worktree", "list", "--porcelain").count("worktree ") == 1
    repo.proven()


def test_an_agent_may_submit_by_itself(repo):
    add(repo, "own")
    run(repo, f"{WORK}; {' '.join(command())} submit")
    assert repo.stages() == {"own/1": "landed"}


@pytest.mark.parametrize("folder", [".pytest_cache", "deep/.venv"])
def test_a_folder_that_ignores_itself_keeps_nobody_from_the_next_task(make_repo, folder):
    # pytest, ruff, mypy, uv and venv write such folders, and few projects ignore them.
    repo = make_repo()
    add(repo, "one", "two")
    litter = f"mkdir -p {folder}; echo '*' >{folder}/.gitignore; echo y >{folder}/x; "
    assert "2 of 2 landed" in run(repo, litter + WORK, "--agents", "1", "--keep").stdout
    add(repo, "three")
    assert "3 of 3 landed" in run(repo, litter + WORK, "--agents", "1").stdout


def test_what_was_closed_by_hand_did_not_land(repo):
    add(repo, "one", "two")
    repo.cli("task", "done", "two", "--reason", "not wanted")
    assert "1 of 2 landed, 1 done without a change, 0 parked" in run(repo, WORK).stdout


def test_a_list_of_tasks_is_added_once(repo, tmp_path):
    write(tmp_path, {"tasks.yaml": "- {id: a, prompt: do a}\n- {id: b, prompt: do b}\n"})
    for _ in range(2):
        assert "2 of 2 landed" in run(repo, WORK, tmp_path / "tasks.yaml").stdout
    assert sorted(repo.landings()) == ["a/1", "b/1"]


def test_what_has_landed_is_not_opened(repo):
    add(repo, "one")
    run(repo, WORK)
    said = repo.cli("task", "open", "one", ok=5).stderr
    assert "one: it has landed" in said and "agentctl revert" in said
    assert repo.cli("task", "list").stdout.split()[0] == "landed"
