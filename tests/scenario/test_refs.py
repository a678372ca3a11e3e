"""Reading refs while others write them."""

from __future__ import annotations

import threading

import pytest

from agentctl.errors import Infrastructure
from agentctl.git import refs


def test_refs_that_come_and_go_are_no_broken_ones(repo):
    stop, git_dir, tip = threading.Event(), repo.hub.git_dir, repo.tip
    folder = repo.path / ".git/refs/agentctl/claims"
    folder.mkdir(parents=True)

    def churn():
        # As Git deletes a loose ref, only faster.
        while not stop.is_set():
            for n in range(400):
                (folder / "new.lock").write_text(tip + "\n")
                (folder / "new.lock").rename(folder / f"t{n}")
            for n in range(400):
                (folder / f"t{n}").unlink(missing_ok=True)

    thread = threading.Thread(target=churn)
    thread.start()
    try:
        for _ in range(100):
            refs.read(git_dir, ["refs/agentctl/claims"])
    finally:
        stop.set()
        thread.join()


def test_a_ref_that_is_broken_is_not_taken_for_a_deleted_one(repo):
    path = repo.path / ".git/refs/agentctl/claims/torn"
    path.parent.mkdir(parents=True)
    path.write_text("")
    with pytest.raises(Infrastructure, match="refs/agentctl/claims/torn"):
        refs.read(repo.hub.git_dir, ["refs/agentctl/claims"])
