"""A FIFO in the place of a file that Git reads in a worktree holds no Git of ours for long, whoever made it and when."""

import os
import subprocess
from pathlib import Path

import pytest

from agentctl.errors import Timeout
from agentctl.fleet import agents, looking, watching
from agentctl.gate import slots
from agentctl.git import fifos, process, worktrees
from agentctl.hub.policy_file import read_policy
from tests.support.agents import add, ends, run
from tests.support.hub import PATIENCE, eventually

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
    # Git goes on as soon as the FIFO has a writer, which is a moment before its name is gone.
    eventually(lambda: not (place / ".git" / name).exists())


LEADS = {
    "a link": "mkfifo e/HEAD; ln -s ../e d/.git",
    "a file": "mkdir e/refs e/objects; mkfifo e/HEAD; echo gitdir: ../e >d/.git",
    "two files": "mkdir d/.git d/.git/refs d/.git/objects e/refs e/objects; echo ref: refs/heads/x >d/.git/HEAD; echo ../../e >d/.git/commondir; mkfifo e/config",
    "a link in it": "git init -q d; rm d/.git/HEAD; mkfifo e/x; ln -s ../../e/x d/.git/HEAD",
}


@pytest.mark.parametrize("how", LEADS)
def test_none_holds_a_look_to_which_a_repository_leads(ann, how):
    subprocess.run(
        ["sh", "-ec", "rm -rf sub .git[a-z]*; mkdir d e; touch d/x; mkfifo own; " + LEADS[how]], cwd=ann.path, check=True
    )
    ann.look(index="watch.index").run("ls-files", "-z", "-o")
    fifos.clear(ann.path)  # This look needs not all that another one does.
    left = [path for path in Path(ann.path).rglob("*") if path.is_fifo()]
    assert left == [Path(ann.path, "own")]


@pytest.fixture
def out_of_reach(tmp_path, monkeypatch):
    """A command that makes a repository in a folder, in which a FIFO outside the folder holds every Git; these end soon."""
    (tmp_path / "out").mkdir()
    os.mkfifo(tmp_path / "out/HEAD")
    monkeypatch.setattr(process, "_limit", lambda args: 0.2 if LISTS & {*args} and any(map(os.path.lexists, held)) else PATIENCE)
    held = []

    def make(top, at):
        held.append(os.path.join(top, at, ".git"))
        subprocess.run(["sh", "-ec", f"mkdir -p {at}; touch {at}/x; ln -s {tmp_path}/out {at}/.git"], cwd=top, check=True)

    yield make
    assert os.path.lexists(tmp_path / "out/HEAD")


LISTS = {"ls-files", "clean"}


@pytest.mark.parametrize("where", ["in", "ignored"])
def test_a_worktree_that_one_out_of_reach_holds_is_set_aside(repo, ann, out_of_reach, where):
    subprocess.run(["sh", "-ec", "rm -rf sub .git[a-z]*; echo /ignored >.gitignore"], cwd=ann.path, check=True)
    out_of_reach(ann.path, where)
    again, new = agents.prepare(repo.hub, "ann", repo.tip, "main")
    assert new and os.listdir(again.path) and not os.path.lexists(os.path.join(again.path, where))
    aside = Path(repo.hub.worktrees, "aside/ann-1")
    assert (aside / where / "x").exists()
    assert (aside / "README").read_text() == ("read me\nothers\n" if where == "ignored" else "read me\nann\n")


def test_a_new_worktree_that_takes_too_long_is_set_aside_only_once(repo, ann, monkeypatch):
    def too_long(*args, **values):
        raise Timeout("too long")

    monkeypatch.setattr(worktrees, "check_out", too_long)
    with pytest.raises(Timeout):
        agents.prepare(repo.hub, "ann", repo.tip, "main")
    assert os.listdir(os.path.join(repo.hub.worktrees, "aside")) == ["ann-1"]


def test_a_slot_that_one_out_of_reach_holds_is_made_anew(repo, out_of_reach):
    text = read_policy(repo.hub, repo.tip)
    with slots.slot(repo.hub) as slot:
        slots.check_out(slot, text, repo.tip)
        out_of_reach(slot.path, "in")
        with pytest.raises(Timeout):
            slots.check_out(slot, text, repo.tip)
        slots.check_out(slot, text, repo.tip)
        assert not os.path.lexists(os.path.join(slot.path, "in"))


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
