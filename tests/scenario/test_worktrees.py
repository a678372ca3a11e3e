"""Agents' worktrees: many at once, and repositories that share nothing but the hub's objects."""

import json
import os
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from agentctl.fleet import agents
from agentctl.git import folders, private_repository
from agentctl.git.folders import clear
from tests.support.agents import WORK, add, ends, run, task
from tests.support.hub import Repo, git, write


@pytest.mark.parametrize("count", [50, pytest.param(200, marks=pytest.mark.slow)])
def test_many_worktrees_from_sixteen_threads(repo, count):
    names = [f"a{n}" for n in range(count)]
    tip = repo.tip

    def make(name):
        with agents.lock(repo.hub, name):
            tree, new = agents.prepare(repo.hub, name, tip, "main")
        assert new
        return tree

    with ThreadPoolExecutor(16) as pool:
        trees = list(pool.map(make, names))
    assert agents.names(repo.hub) == sorted(names)
    for name, tree in zip(names, trees):
        assert private_repository.head(tree.git_dir) == (tip, f"refs/heads/agent/{name}")
        assert repo.git("status", "--porcelain", "--branch", cwd=tree.path) == f"## agent/{name}\n"
        assert os.path.exists(os.path.join(tree.path, "check.sh"))

    # Half of them hold work; all are removed at once, and no work is lost.
    for name, tree in list(zip(names, trees))[::2]:
        with open(os.path.join(tree.path, "work.txt"), "w") as file:
            file.write(name)
    with ThreadPoolExecutor(16) as pool:
        kept = list(pool.map(lambda name: agents.remove(repo.hub, name, tip), names))
    assert [bool(ref) for ref in kept] == [n % 2 == 0 for n in range(count)]
    assert [repo.show("work.txt", ref) for ref in kept[::2]] == names[::2]
    assert repo.refs("refs/heads/agent") == []
    assert not os.path.exists(repo.hub.worktrees)


def test_a_worktree_is_made_while_trunk_is_deleted(repo):
    tip = repo.tip
    repo.git("checkout", "-q", "--detach")
    repo.git("update-ref", "-d", "refs/heads/main")
    with agents.lock(repo.hub, "ann"):
        tree, _ = agents.prepare(repo.hub, "ann", tip, "main")
    assert repo.git("rev-parse", "HEAD", "main", "origin/main", cwd=tree.path).split() == [tip] * 3


def test_what_a_removed_folder_links_to_stays(tmp_path):
    outside, inside = tmp_path / "outside", tmp_path / "inside"
    outside.mkdir()
    (outside / "kept").write_text("kept\n")
    for n in range(30):
        (inside / f"d{n % 3}").mkdir(parents=True, exist_ok=True)
        (inside / f"d{n % 3}" / f"f{n}").write_text("")
    (inside / "link").symlink_to(outside)
    (inside / "d1" / "file").symlink_to(outside / "kept")
    clear(str(inside))
    assert not inside.exists() and (outside / "kept").read_text() == "kept\n"
    clear(str(inside))


def nest(path, name, levels):
    """A file below that many folders of one name."""
    at = os.open(path, os.O_RDONLY)
    for _ in range(levels):
        os.mkdir(name, dir_fd=at)
        below = os.open(name, os.O_RDONLY, dir_fd=at)
        os.close(at)
        at = below
    os.close(os.open("file", os.O_CREAT | os.O_WRONLY, dir_fd=at))
    os.close(at)


@pytest.mark.parametrize("name, levels", [("d", 1100), ("d" * 200, 50)])
def test_no_folder_is_too_deep_to_be_removed(repo, tmp_path, name, levels):
    # The one is deeper than Python's stack, the other than any path that can be named.
    (tmp_path / "deep").mkdir()
    nest(tmp_path / "deep", name, levels)
    clear(str(tmp_path / "deep"))
    assert not (tmp_path / "deep").exists()

    # In the Git directory of one session it is in nobody's way in the next.
    for _ in range(2):
        tree, _ = agents.prepare(repo.hub, "ann", repo.tip, "main")
        os.makedirs(tree.git_dir + "/refs", exist_ok=True)
        nest(tree.git_dir + "/refs", name, levels)
    assert agents.remove(repo.hub, "ann", repo.tip) == ""
    assert not os.path.exists(repo.hub.worktrees)


def test_a_git_directory_that_was_moved_is_made_anew(repo, tmp_path):
    tree, _ = agents.prepare(repo.hub, "ann", repo.tip, "main")
    os.rename(tree.git_dir, tmp_path / "elsewhere")
    os.symlink(tmp_path / "elsewhere", tree.git_dir)
    agents.prepare(repo.hub, "ann", repo.tip, "main")
    assert folders.identity(tree.git_dir)
    assert sorted(os.listdir(tmp_path / "elsewhere")) == sorted(os.listdir(tree.git_dir))


def test_a_link_in_the_place_of_a_folder_does_not_stay_though_it_is_ignored(repo, tmp_path):
    write(repo.path, {".gitignore": "data\n", "data/one": "1\n"})
    repo.git("add", "-f", ".")
    repo.git("commit", "-qm", "data")
    tree, _ = agents.prepare(repo.hub, "ann", repo.tip, "main")
    agents.ready(tree, by_setup=False)
    data = Path(tree.path, "data")
    # The very same file is found through the link, and so Git takes it for what was checked out.
    data.symlink_to(data.rename(tmp_path / "data"))
    agents.prepare(repo.hub, "ann", repo.tip, "main")
    assert not data.is_symlink() and (data / "one").read_text() == "1\n"
    assert (tmp_path / "data/one").exists()


def test_a_worktree_that_was_left_behind_is_not_called_safe(repo):
    """As where the repository was moved, and the folder beside it was not."""
    tree, _ = agents.prepare(repo.hub, "ann", repo.tip, "main")
    write(Path(tree.path), {"work.txt": "work\n"})
    away = Path(f"{tree.path}.away")
    os.rename(tree.path, away)
    assert "is gone, with what work it held" in repo.cli("doctor", ok=9).stdout
    assert "is gone, and may have held work" in repo.cli("rm", "ann", ok=5).stderr
    os.rename(away, tree.path)
    assert "not committed: work.txt" in repo.cli("rm", "ann", ok=5).stderr
    kept = json.loads(repo.cli("rm", "--json", "--force", "ann").stdout)["salvage"]
    assert repo.show("work.txt", kept) == "work\n"


def test_the_hubs_objects_are_lent_by_both_paths(repo):
    # Programs that read a repository without Git (GitPython, which aider has) know absolute paths alone.
    with agents.lock(repo.hub, "ann"):
        tree, _ = agents.prepare(repo.hub, "ann", repo.tip, "main")
    first, second = Path(tree.git_dir, "objects/info/alternates").read_text().splitlines()
    objects = os.path.realpath(repo.path / ".git/objects")
    assert first == objects and os.path.realpath(os.path.join(tree.git_dir, "objects", second)) == objects
    assert not os.path.isabs(second)
    done = subprocess.run(["git", "-C", tree.path, "log", "-1", "--format=%H"], capture_output=True, text=True)
    assert (done.stdout.strip(), done.stderr) == (repo.tip, "")


def test_a_repository_that_is_renamed_keeps_what_a_dead_supervisor_left(live, repo):
    add(repo, "one")
    fleet = live("echo half >half.txt; touch $GO.half; sleep 100", "-n", "1")
    fleet.working("one")
    fleet.dies("half")
    copied = Path(shutil.copytree(repo.path, repo.path.with_name("copy"), symlinks=True))
    renamed = Repo(repo.path.rename(repo.path.with_name("renamed")))
    run(renamed, WORK, "-n", "1")
    first, second = task(renamed, "one")["sessions"]
    assert (first["end"], second["end"]) == ("interrupted", "submitted")
    assert renamed.show("half.txt", first["salvage"]) == "half\n"
    renamed.proven()
    assert not Path(repo.hub.worktrees).exists()
    # A copy leaves alone what is not its own.
    run(Repo(copied), "exit 1", "-n", "1", ok=7)
    assert task(renamed, "one")["status"] == "landed"
    renamed.path.rename(repo.path)


ALONE, WITH_ITS_FOLDER, AWAY_FROM_IT = "alone", "with its folder", "away from its folder"


@pytest.mark.parametrize("how", [ALONE, WITH_ITS_FOLDER, AWAY_FROM_IT])
def test_what_names_the_old_place_is_made_anew_where_a_repository_is_moved_to(make_repo, tmp_path, how):
    repo = make_repo(agents="  setup: mkdir -p deps; git config remote.origin.url | tee deps/from; pwd >deps/where\n")
    if how == AWAY_FROM_IT:
        git(repo.path, "config", "agentctl.worktrees", str(tmp_path / "trees"))
    add(repo, "one")
    agent = f"""
        test "$(cat deps/where)" = "$PWD" -a "$(cat deps/from)" = "$AGENTCTL_HUB" || exit 1
        test "$(git config remote.origin.url)" = "$AGENTCTL_HUB" && git fetch origin || exit 1
        test "$(git log -1 --format=%H 2>&1)" = "$(git rev-parse HEAD 2>/dev/null)" && {{ {WORK}; }}
    """
    run(repo, agent, "-n", "1", "--keep")
    above = tmp_path / "above"
    above.mkdir()
    moved = Repo(repo.path.rename(above / repo.path.name))
    if how == WITH_ITS_FOLDER:
        Path(repo.hub.worktrees).rename(moved.hub.worktrees)
    add(moved, "two")
    run(moved, agent, "-n", "1", "--keep")
    assert [ends(moved, name) for name in ("one", "two")] == [["submitted"], ["submitted"]]
    moved.proven()
    moved.path.rename(repo.path)


def test_a_bot_alone_takes_the_worktrees_along(live, repo):
    add(repo, "one")
    fleet = live("echo half >half.txt; touch $GO.half; sleep 100", "-n", "1")
    fleet.working("one")
    fleet.dies("half")
    moved = Repo(repo.path.rename(repo.path.with_name("moved")))
    moved.submit("other", {"other": "1\n"})
    moved.drain()
    run(moved, WORK, "-n", "1")
    assert moved.show("half.txt", task(moved, "one")["sessions"][0]["salvage"]) == "half\n"
    moved.path.rename(repo.path)
