"""`git worktree add` or our removal of a worktree killed half-way: the next start tidies up."""

import os
import shutil
from pathlib import Path

import pytest

from agentctl.fleet import agents
from agentctl.git import worktrees
from agentctl.queue import gate

FILES = ("locked", "gitdir", "HEAD", "commondir")
"""What Git writes into its folder for a new worktree, in this order. `locked` goes at the end."""


def half_made(repo, path, files):
    """What is there after a kill of `git worktree add` when only `files` were written."""
    Path(path).parent.mkdir(parents=True)
    repo.git("worktree", "add", "-q", "--no-checkout", "--lock", "--reason", "initializing", "--detach", path)
    own = repo.path / ".git/worktrees" / Path(path).name
    for name in os.listdir(own):
        if name not in files:
            shutil.rmtree(own / name) if (own / name).is_dir() else (own / name).unlink()
    if "HEAD" not in files:
        shutil.rmtree(path)
    os.utime(own, (1, 1))


def nothing_is_half_made(repo):
    assert repo.git("worktree", "list", "--porcelain").count("worktree ") == 1
    assert not os.path.exists(repo.hub.worktrees)
    assert [*(repo.path / ".git").glob("worktrees/*")] == []


@pytest.mark.parametrize("count", range(1, len(FILES) + 1))
def test_an_agents_worktree(repo, count):
    half_made(repo, agents.path_of(repo.hub, "ann"), FILES[:count])
    tree, new = agents.prepare(repo.hub, "ann", repo.tip)
    assert new and os.path.exists(tree.path + "/check.sh")
    assert tree.branch() == "refs/heads/agent/ann"
    agents.remove(repo.hub, "ann", repo.tip)
    nothing_is_half_made(repo)


@pytest.mark.parametrize("count", range(1, len(FILES) + 1))
def test_a_gates_worktree(repo, count):
    half_made(repo, os.path.join(repo.hub.worktrees, "slots", "1"), FILES[:count])
    repo.submit("mine", {"mine.txt": "mine\n"})
    repo.drain()
    assert repo.landings() == ["mine/1"]
    nothing_is_half_made(repo)


def test_a_removal_cut_off_after_the_files_were_moved_aside(repo):
    tree, _ = agents.prepare(repo.hub, "ann", repo.tip)
    os.rename(tree.path, tree.path + ".trash")
    agents.prepare(repo.hub, "ann", repo.tip)
    agents.remove(repo.hub, "ann", repo.tip)
    nothing_is_half_made(repo)


def test_worktrees_that_others_make_are_left_alone(repo, tmp_path):
    # One that Git is still filling, and one on a disk that is not there at the moment.
    for name in ("filling", "away"):
        repo.git("worktree", "add", "-q", "--lock", "--reason", "initializing", str(tmp_path / name))
    shutil.rmtree(tmp_path / "away")
    repo.drain()
    worktrees.tidy(repo.hub)
    assert repo.git("worktree", "list", "--porcelain").count("worktree ") == 3


def test_a_slot_in_use_keeps_its_scratch_folder(repo):
    # Somebody tests by hand while a bot ends.
    with gate.slot(repo.hub) as place:
        os.makedirs(place.path + ".tmp")
        gate.remove_slots(repo.hub)
        assert os.path.isdir(place.path + ".tmp")
    gate.remove_slots(repo.hub)
    nothing_is_half_made(repo)
