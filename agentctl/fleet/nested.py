"""Repositories inside an agent's worktree: those that it made or cloned there, and submodules.

Their files are no part of a change. But what they hold and nobody else has is kept: commits that no remote-tracking
branch of theirs reaches, and files that no commit holds.
"""

from __future__ import annotations

import hashlib
import os
import time
from dataclasses import dataclass

from agentctl.errors import Refused
from agentctl.git import crossing, files, folders, private_repository, scratch
from agentctl.git.objects import EMPTY_TREE, Objects, Person
from agentctl.git.repository import Hub
from agentctl.git.worktrees import Worktree


@dataclass(slots=True)
class NestedWork:
    tips: tuple[str, ...] = ()
    objects: tuple[str, ...] = ()
    """Folders that hold the commits' objects."""
    paths: tuple[str, ...] = ()
    """Paths of the repositories that hold work."""


PARTS = frozenset(("HEAD", "objects", "refs"))
"""What stands in a repository without a worktree, or in a .git that was given another name."""


def inside(top: str) -> tuple[str, ...]:
    """List the paths of the folders below `top` that have a .git, or are repositories without a worktree.

    A .git counts whatever it is. Folders that Git ignores, or does not take for a repository, are listed too. Raises
    Refused if a folder cannot be read.
    """
    found: dict[str, set[str]] = {}
    try:
        for path, entry in folders.entries(top):
            if entry.name == ".git" or entry.name in PARTS:
                found.setdefault(os.path.dirname(path), set()).add(entry.name)
    except OSError as error:
        raise Refused(f"{error.filename} cannot be read: {error.strerror}", hint=crossing.HINT) from error
    return tuple(
        sorted(
            path
            for path, names in found.items()
            if path and ".git" not in path.split("/") and (".git" in names or names >= PARTS)
        )
    )


def not_ignored(look: scratch.Scratch, paths: tuple[str, ...]) -> tuple[str, ...]:
    """List those of `paths` that are in no ignored folder, and so go when the worktree is cleaned."""
    ignored = look.fields("ls-files", "-z", "-o", "-i", "--exclude-standard", "--directory") if paths else []
    whole = tuple(name for name in ignored if name.endswith("/"))
    return tuple(path for path in paths if not f"{path}/".startswith(whole))


def work(hub: Hub, tree: Worktree, paths: tuple[str, ...], store: str, who: Person) -> NestedWork:
    """Return what the repositories at `paths` hold, and submodules that were removed.

    `store` is a folder to which new objects are written. Raises Refused for a repository that cannot be read.
    """
    found = NestedWork()
    top = private_repository.repository(tree.path, tree.path) or os.devnull
    bare = {path: os.path.join(tree.path, path) for path in paths if not os.path.lexists(os.path.join(tree.path, path, ".git"))}
    known = {
        path: private_repository.repository(tree.path, os.path.join(tree.path, path)) or os.devnull
        for path in paths
        if path not in bare
    }
    removed = bare | {
        os.path.relpath(git_dir, tree.path): git_dir
        for one in (top, *known.values(), *bare.values())
        for git_dir in _modules(one)
        if git_dir not in known.values()
    }
    for path, git_dir in {**known, **removed}.items():
        place = tree.own(f"nested-{hashlib.sha1(os.fsencode(path)).hexdigest()[:12]}")
        one = _Repository(hub, tree, path, git_dir, crossing.alone(os.path.join(git_dir, "objects"), place))
        tips = one.work(store, who) if path in known else one.only(one.commits())
        found.tips += tips
        found.objects += (one.objects,)
        found.paths += (path,) if tips else ()
    return found


def _modules(git_dir: str) -> list[str]:
    """List the Git directories of submodules that a repository keeps in its own Git directory."""
    return [where for where, below, _ in folders.walk(os.path.join(git_dir, "modules")) if "objects" in below]


@dataclass(frozen=True, slots=True)
class _Repository:
    hub: Hub
    tree: Worktree
    path: str
    git_dir: str
    """The null device if there is no Git directory that can be read: the files count all the same."""
    objects: str

    def work(self, store: str, who: Person) -> tuple[str, ...]:
        """Return the commits that only this repository has, with one that holds its uncommitted files."""
        made, head = self.commits(), private_repository.head(self.git_dir)[0]
        own, index = self.only(made), self.tree.own("nested.index")
        head = head if head in made else None
        folders.remove(index)
        look = scratch.for_files(
            self.hub,
            self.tree.own("nested"),
            os.path.join(self.tree.path, self.path),
            index,
            store,
            (self.objects,),
            scratch.PRIVATE,
        )
        differing = files.differing(look, head or EMPTY_TREE, private_repository.flags(self.git_dir).absent)
        if not differing.dirty:
            return own
        return (*own, self._snapshot(look, differing.dirty, head if head in own else None, who))

    def commits(self) -> list[str]:
        return crossing.commits(self.tree.own("nested"), self.objects)

    def only(self, commits: list[str]) -> tuple[str, ...]:
        """Return those of `commits` that no remote-tracking branch reaches, which nobody else has."""
        theirs = {name: oid for name, oid in private_repository.refs(self.git_dir).items() if name.startswith("refs/remotes/")}
        if not theirs or not commits:
            return tuple(commits)
        place = self.tree.own("nested")
        scratch.write(place, refs=theirs)
        folders.replace(os.path.join(place, "shallow"), folders.content(os.path.join(self.git_dir, "shallow")) or b"")
        look = scratch.Scratch(place, self.objects, (os.path.join(self.hub.git_dir, "objects"),))
        asked = "".join(oid + "\n" for oid in commits).encode()
        return tuple(look.text("rev-list", "--stdin", "--not", "--all", stdin=asked).split())

    def _snapshot(self, look: scratch.Scratch, dirty: tuple[str, ...], head: str | None, who: Person) -> str:
        """Return a commit with the files as they are.

        Without `head`, for a clone whose history is somewhere else, it has only the files that differ.
        """
        if not head:
            look.run("read-tree", "--empty")
            dirty = tuple(name for name in dirty if os.path.lexists(os.path.join(look.work_tree or "", name)))
        built, writer = files.tree_with(look, dirty), Objects(os.path.dirname(look.objects))
        try:
            return writer.write_commit(
                built, (head,) if head else (), f"uncommitted files of {self.path}\n", time.time(), author=who, committer=who
            )
        finally:
            writer.close()
