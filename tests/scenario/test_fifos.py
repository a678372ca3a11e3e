"""A FIFO in the place of a file that Git reads in a worktree holds no Git of ours for long, whoever made it and when."""

import os
import subprocess
from pathlib import Path

import pytest

from agentctl.fleet import agents, looking, watching
from agentctl.git import process, worktrees
from tests.support.agents import add, ends, run
from tests.support.hub import PATIENCE

NAMES = [".gitattributes", ".gitignore", "sub/.gitattributes", "sub/.gitignore", "sub/.git/HEAD"]
MAKE = "mkdir -p sub/.git; mkfifo " + " ".join(NAMES)


@pytest.fixture(autouse=True)
def soon(monkeypatch):
    monkeypatch.setattr(process, "STUCK", 0.05)
    monkeypatch.setattr(process, "SLOW", PATIENCE)


@pytest.fixture
def ann(repo):
    """An agent's worktree in which a session worked, with such FIFOs, and trunk that moved on."""
    tree, _ = agents.prepare(repo.hub, "ann", repo.tip, "main")
    (Path(tree.path) / "README").write_text("read me\nann\n")
    subprocess.run(["sh", "-ec", f"git commit -qam 'work of ann'; {MAKE}; echo x >sub/y"], cwd=tree.path, check=True)
    repo.push({"README": "read me\nothers\n"})
    return tree


def held(tree):
    return [name for name in NAMES if os.path.lexists(os.path.join(tree.path, name))]


def test_each_look_into_a_worktree_ends(repo, ann):
    assert looking.look(repo.hub, ann, repo.tip).conflicts == ("README",)
    assert not held(ann)
    subprocess.run(["sh", "-ec", MAKE], cwd=ann.path, check=True)
    assert watching._fingerprint(ann.look(index="watch.index"))
    subprocess.run(["sh", "-ec", MAKE], cwd=ann.path, check=True)
    with agents.commit_of(repo.hub, ann, "HEAD", repo.tip) as (commit, branch, changed):
        assert (branch, changed) == ("agent/ann", ())
    subprocess.run(["sh", "-ec", MAKE], cwd=ann.path, check=True)
    kept = agents.remove(repo.hub, "ann", repo.tip)
    assert repo.show("README", kept + "^1") == "read me\nann\n" and repo.show("sub/y", kept) == "x\n"


def test_a_repository_in_a_worktree_is_looked_into_as_well(repo, ann):
    subprocess.run(
        ["sh", "-ec", "rm -rf sub .git*s .gitignore; git init -q in; cd in; echo x >y; " + MAKE], cwd=ann.path, check=True
    )
    kept = agents.remove(repo.hub, "ann", repo.tip)
    assert any(repo.git("ls-tree", "--name-only", oid).split() == ["y"] for oid in repo.git("rev-list", kept).split())


@pytest.mark.parametrize("name", ["HEAD", "commondir", "config", "packed-refs", "refs/heads/main"])
def test_none_in_the_repository_of_a_submodule_holds_a_look(ann, name):
    place = Path(ann.path, "in")
    subprocess.run(["git", "init", "-q", "-b", "main", place], check=True)
    subprocess.run(["git", "commit", "-q", "--allow-empty", "-m", "one"], cwd=place, check=True)
    head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=place, check=True, capture_output=True, text=True).stdout.strip()
    look = ann.look(index="watch.index")
    look.run("update-index", "--add", "--cacheinfo", f"160000,{head},in")
    subprocess.run(["git", "pack-refs", "--all"], cwd=place, check=True)
    (place / ".git" / name).unlink(missing_ok=True)
    (place / ".git" / name).parent.mkdir(parents=True, exist_ok=True)
    os.mkfifo(place / ".git" / name)
    look.run("ls-files", "-z", "-t", "-m", "-o")
    assert not (place / ".git" / name).exists()


def test_files_and_other_fifos_stay(repo, ann):
    os.unlink(os.path.join(ann.path, ".gitignore"))
    (Path(ann.path) / ".gitignore").write_text("y\n")
    os.mkfifo(os.path.join(ann.path, "own"))
    assert "sub/y" not in looking.look(repo.hub, ann, repo.tip).touched
    assert held(ann) == [".gitignore"] and os.path.lexists(os.path.join(ann.path, "own"))


def test_a_git_whose_agentctl_was_killed_ends_with_the_next_look(ann):
    look, words = ann.look(index="watch.index"), ("ls-files", "-z", "-o", "--exclude-standard")
    argv, closed = process.command(words, look.path)
    orphan = subprocess.Popen(argv, cwd=ann.path, env=closed | look.environment, stdout=subprocess.DEVNULL)
    look.run(*words)
    assert orphan.wait(PATIENCE) == 0


def test_a_slot_in_which_a_gate_left_some_is_made_anew(repo):
    slot = worktrees.slot(repo.hub, 0)
    worktrees.make(slot)
    for _ in range(2):
        worktrees.check_out(slot, repo.tip)
        worktrees.give(slot, "main", None)
        assert not held(slot)
        subprocess.run(["sh", "-ec", MAKE], cwd=slot.path, check=True)


def test_an_agent_that_leaves_some_hands_in_its_work(repo):
    add(repo, "one")
    run(repo, f"echo x >f; git add f; git commit -qm 'work'; {MAKE}; echo more >sub/more")
    assert ends(repo, "one") == ["submitted"]
    assert repo.landings() == ["one/1"]
    repo.proven()
