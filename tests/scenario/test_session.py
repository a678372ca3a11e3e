"""How a session's command ended decides what becomes of what it left."""

import subprocess

import pytest

from agentctl.core.task import End, Task
from agentctl.errors import NotFound
from agentctl.fleet import session, tasks
from agentctl.queue import standing
from agentctl.queue.policyfile import read_policy


def run(repo, script):
    """One session of a shell script as the agent."""
    tasks.add(repo.hub, [Task("job", "A job", "Do it.", created=1.0)])
    return run_again(repo, script)


def run_again(repo, script):
    work = session.Work(tasks.get(repo.hub, "job"), "ann", ("/bin/sh", "-c", script), False, "main")
    policy = read_policy(repo.hub, repo.hub.trunk_tip("main"))
    return session.Run(repo.hub, policy, work).go()


@pytest.mark.parametrize("commit", ["", "git add half && git commit -q -m half && "])
def test_death_by_a_signal_is_a_crash_and_its_work_is_salvaged(repo, commit):
    ended = run(repo, f"echo half > half && {commit}kill -9 $$")
    assert (ended.end, ended.revision) == (End.CRASHED, 0)
    assert "killed by signal 9" in ended.note
    shown = subprocess.run(["git", "--git-dir", repo.hub.git_dir, "show", f"{ended.salvage}:half"],
                           capture_output=True, text=True, check=True)
    assert shown.stdout == "half\n"
    with pytest.raises(NotFound):
        standing.find(repo.hub, "job")


def test_a_failing_exit_status_still_hands_in_what_was_done(repo):
    ended = run(repo, "echo whole > whole && exit 3")
    assert (ended.end, ended.revision, ended.note) == (End.SUBMITTED, 1, "exit status 3")


def test_what_a_session_leaves_running_is_killed_and_told(repo):
    ended = run(repo, "setsid sleep 1000 & sleep 0.2; echo whole > whole")
    assert ended.end == End.SUBMITTED
    assert ended.note == "a process it left behind was killed"


def test_locks_of_a_git_that_was_killed_are_in_nobodys_way(repo):
    # The agent's Git dies while it holds the locks of index, HEAD and branch, as in a timeout.
    left = ("; touch $(git rev-parse --git-path index.lock) $(git rev-parse --git-path HEAD.lock)"
            ' "$AGENTCTL_HUB/refs/heads/agent/$AGENTCTL_AGENT.lock"')
    ended = run(repo, "echo whole > whole" + left)
    assert (ended.end, ended.revision) == (End.SUBMITTED, 1)
    assert run_again(repo, "echo more > more" + left).revision == 2
    repo.drain()
    assert repo.stages() == {"job/1": "superseded", "job/2": "landed"}
