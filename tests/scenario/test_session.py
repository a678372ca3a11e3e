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
