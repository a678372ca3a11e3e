"""Every Git that we call ends: by itself, or because its time is up."""

import os
import subprocess
import time

import pytest

from agentctl.engine import process_tree
from agentctl.errors import Timeout
from agentctl.git import process


@pytest.fixture
def fifo(repo):
    path = repo.path / ".git/refs/heads/waits"
    os.mkfifo(path)
    yield path
    path.unlink()


def test_a_git_that_waits_for_ever_is_ended_and_named(repo, fifo):
    # A control: Git alone waits.
    with pytest.raises(subprocess.TimeoutExpired):
        subprocess.run(["git", "for-each-ref"], cwd=repo.path, capture_output=True, timeout=0.5)
    begun = time.monotonic()
    with pytest.raises(Timeout, match="git for-each-ref --format=x did not end within 0.5 s") as caught:
        process.run(["for-each-ref", "--format=x"], git_dir=repo.hub.git_dir, limit=0.5)
    assert time.monotonic() - begun < 10 and caught.value.hint


def test_what_a_git_has_started_ends_with_it(repo, tmp_path):
    pid = tmp_path / "pid"
    repo.git("config", "alias.slow", f"!echo $$ >{pid}; trap '' TERM; while :; do sleep 0.1; done")
    with pytest.raises(Timeout):
        process.run(["slow"], git_dir=repo.hub.git_dir, limit=0.5)
    deadline = time.monotonic() + 10
    while (found := process_tree.state(int(pid.read_text()))) and found[0] != b"Z":
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_moving_refs_has_a_shorter_limit_than_walking_history():
    assert process._limit(["update-ref", "--stdin"]) == process.QUICK < process._limit(["rev-list", "x"]) == process.SLOW
