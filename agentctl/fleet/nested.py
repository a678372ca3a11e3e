"""Repositories inside an agent's worktree: ones that it made or cloned there, and submodules.

Their files are no part of a change. What they hold that nobody else has is kept all the same: commits that no
remote-tracking branch of theirs reaches, and files that no commit holds.
"""

from __future__ import annotations

import hashlib
import os
import time
from dataclasses import dataclass

from agentctl.git import crossing, files, folders, private, scratch
from agentctl.git.hub import Hub
from agentctl.git.objects import EMPTY_TREE, Objects, Person
from agentctl.git.worktrees import Worktree

DEEP = 5
"""Levels of repositories inside one another that are looked into."""


@dataclass(slots=True)
class Work:
    tips: tuple[str, ...] = ()
    objects: tuple[str, ...] = ()
    """Folders that hold the commits' objects."""
    paths: tuple[str, ...] = ()
    """Of the repositories that hold work."""

    def add(self, tips: tuple[str, ...], objects: tuple[str, ...], paths: tuple[str, ...]) -> None:
        self.tips += tips
        self.objects += objects
        self.paths += paths


def work(hub: Hub, tree: Worktree, paths: tuple[str, ...], store: str, who: Person, depth: int = 0) -> Work:
    """What the repositories at `paths` hold. `store` is a folder that new objects are written to. Raises Refused for one
    that cannot be read."""
    found = Work()
    for path in paths:
        git_dir = private.repository(tree.path, os.path.join(tree.path, path))
        if git_dir:
            place = tree.own(f"nested-{hashlib.sha1(os.fsencode(path)).hexdigest()[:12]}")
            one = _Repository(hub, tree, path, git_dir, crossing.alone(os.path.join(git_dir, "objects"), place))
            tips, inner = one.work(store, who)
            found.add(tips, (one.objects,), (path,) if tips else ())
            if depth < DEEP:
                deeper = work(hub, tree, inner, store, who, depth + 1)
                found.add(deeper.tips, deeper.objects, deeper.paths)
    return found


@dataclass(frozen=True, slots=True)
class _Repository:
    hub: Hub
    tree: Worktree
    path: str
    git_dir: str
    objects: str

    def work(self, store: str, who: Person) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """(commits that only it has, one with its uncommitted files among them; paths of repositories inside it)."""
        theirs = {name: oid for name, oid in private.refs(self.git_dir).items() if name.startswith("refs/remotes/")}
        place = self.tree.own("nested")
        made = crossing.commits(place, self.objects)
        own = self._beyond(place, made, theirs)
        head = private.head(self.git_dir)[0]
        head = head if head in made else None
        index = self.tree.own("nested.index")
        folders.remove(index)
        look = scratch.for_files(self.hub, place, os.path.join(self.tree.path, self.path), index, store, (self.objects,),
                                 scratch.PRIVATE)
        differing = files.differing(look, head or EMPTY_TREE, private.flags(self.git_dir).absent)
        inner = tuple(f"{self.path}/{name}" for name in (*differing.nested, *differing.submodules))
        if not differing.dirty:
            return tuple(own), inner
        return (*own, self._snapshot(look, differing.dirty, None if theirs and head not in own else head, who)), inner

    def _beyond(self, place: str, commits: list[str], theirs: dict[str, str]) -> list[str]:
        """Those of `commits` that no remote-tracking branch reaches."""
        if not theirs or not commits:
            return commits
        scratch.write(place, refs=theirs)
        shallow = folders.content(os.path.join(self.git_dir, "shallow"))
        if shallow:
            folders.replace(os.path.join(place, "shallow"), shallow)
        look = scratch.Scratch(place, self.objects, (os.path.join(self.hub.git_dir, "objects"),))
        asked = "".join(oid + "\n" for oid in commits).encode()
        return look.text("rev-list", "--stdin", "--not", "--all", stdin=asked).split()

    def _snapshot(self, look: scratch.Scratch, dirty: tuple[str, ...], head: str | None, who: Person) -> str:
        """A commit with the files as they are; without `head`, of a clone whose history is somewhere else, only with those
        that differ."""
        if not head:
            look.run("read-tree", "--empty")
            dirty = tuple(name for name in dirty if os.path.lexists(os.path.join(look.work_tree or "", name)))
        built, writer = files.tree_with(look, dirty), Objects(os.path.dirname(look.objects))
        try:
            return writer.write_commit(built, (head,) if head else (), f"uncommitted files of {self.path}\n", time.time(),
                                       author=who, committer=who)
        finally:
            writer.close()
