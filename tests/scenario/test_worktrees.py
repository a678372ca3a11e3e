"""Agents' worktrees: many at once, and repositories that share nothing but the hub's objects."""

import os
from concurrent.futures import ThreadPoolExecutor

import pytest

from agentctl.fleet import agents
from agentctl.git import private
from agentctl.git.folders import clear


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
        assert private.head(tree.git_dir) == (tip, f"refs/heads/agent/{name}")
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
