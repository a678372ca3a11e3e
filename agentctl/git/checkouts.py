"""Checkouts of the hub that people made: the main one, and those of `git worktree add`.

agentctl looks into a checkout through a scratch directory and a copy of the checkout's index. When trunk moves, the
files are brought along through the checkout's own index. What a person has in a file is never overwritten.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from agentctl.core import refnames
from agentctl.errors import Contended, Refused
from agentctl.git import conversion, files, folders, process, scratch, stale_locks
from agentctl.git.files import Files
from agentctl.git.merge import changed
from agentctl.git.objects import EXECUTABLE, FILE, Person
from agentctl.git.repository import Hub
from agentctl.git.store import MOST

_OID = re.compile(r"[0-9a-f]{40}")
SPARSE = ("core.sparsecheckout", "core.sparsecheckoutcone")


@dataclass(frozen=True, slots=True)
class Checkout:
    hub: Hub
    path: str
    git_dir: str
    """The checkout's own Git directory: a folder under worktrees/ of the common Git directory, or the common one itself."""

    @property
    def index(self) -> str:
        return os.path.join(self.git_dir, "index")

    def head(self) -> str:
        """Return the id of the commit that HEAD is at."""
        branch = self.branch()
        found = self.hub.here.get(branch) if branch else _content(os.path.join(self.git_dir, "HEAD"))
        return found if found and _OID.fullmatch(found) else process.text(["rev-parse", "--verify", "HEAD"], git_dir=self.git_dir)

    def branch(self) -> str | None:
        """Return the full name of the branch that HEAD is on, or None if HEAD is detached."""
        return _branch(_content(os.path.join(self.git_dir, "HEAD"))) or None

    @contextlib.contextmanager
    def look(self, index: str | None = None) -> Iterator[scratch.Scratch]:
        """Lend a scratch directory through which the files are seen.

        Its index is a copy of the checkout's index, or `index` if that is given.
        """
        with self.hub.scratch() as place:
            if not index:
                index = place + ".index"
                files.fresh_index(index, self.index)
            extra, patterns = self._sparse()
            yield scratch.for_files(
                self.hub,
                place,
                self.path,
                index,
                os.path.join(self.hub.git_dir, "objects"),
                (),
                extra,
                {"sparse-checkout": patterns},
            )

    def _sparse(self) -> tuple[tuple[conversion.Setting, ...], str]:
        """Return the part of the tree that a person wants to see here: (settings, patterns) of a sparse checkout."""
        listed = process.text(["config", "--list", "-z"], git_dir=self.git_dir, ok=(0, 1)).split("\0")
        found = tuple((key, value) for key, _, value in (entry.partition("\n") for entry in listed) if key in SPARSE)
        patterns = folders.content(os.path.join(self.git_dir, "info", "sparse-checkout")) or b""
        return found, patterns.decode(errors="surrogateescape")

    def absent(self) -> frozenset[str]:
        """Return the paths that a sparse checkout keeps out of the files."""
        if not self._sparse()[0]:
            return frozenset()
        listed = process.text(["ls-files", "-t", "-z"], git_dir=self.git_dir, env={"GIT_WORK_TREE": self.path}).split("\0")
        return frozenset(entry[2:] for entry in listed if entry.startswith("S "))

    def differing(self) -> Files:
        """Return how the files differ from HEAD."""
        with self.look() as look:
            return self._differing(look, self.head())

    def _differing(self, look: scratch.Scratch, head: str) -> Files:
        return files.differing(look, head, self.absent(), alien=conversion.alien_filters(self.hub))

    def alien(self, look: scratch.Scratch, paths: Iterable[str]) -> set[str]:
        """Return those of `paths` that are under an alien filter.

        Only the hub's own configuration defines such a filter, and only the Git of the checkout runs it.
        """
        return files.under(look, paths, conversion.alien_filters(self.hub))

    def dirty(self) -> list[str]:
        """List the paths that differ from HEAD or from the index.

        Untracked files are left out. So are files under an alien filter, because it cannot be told whether they differ.
        """
        with self.look() as look:
            staged = look.fields("diff-index", "--cached", "--name-only", "-z", "--no-renames", self.head())
            found = [entry for entry in files.listed(look) if entry.mode]
            alien = self.alien(look, {*staged, *(entry.path for entry in found)})
            same = files.only_converted(look, [entry for entry in found if entry.path not in alien])
            absent = self.absent() if any(entry.gone for entry in found) else frozenset()
            changed = [entry.path for entry in found if entry.path not in same and not (entry.gone and entry.path in absent)]
            return [path for path in dict.fromkeys([*staged, *changed]) if path not in alien]

    def snapshot(self, message: str, time: float, author: Person) -> str:
        """Write a commit on top of HEAD that holds the files as they are, also untracked ones, and return its id.

        If nothing differs, it is HEAD itself. Neither HEAD nor the index moves.
        """
        head = self.head()
        with self.look() as look:
            found = self._differing(look, head)
            if not found.dirty:
                return head
            built = files.tree_with(look, found.dirty)
        return self.hub.objects.write_commit(built, (head,), message, time, author=author, committer=author)

    def follow(self, old: str, new: str) -> bool:
        """Bring the files along after the branch was moved from `old` to `new`, and tell whether that was done.

        Local changes elsewhere are kept. If one of them is in the way, or a file to be written is under an alien
        filter, no file is touched. Doing it again does no harm, also after a kill half-way.
        """
        with self.look(self.index) as look:
            if conversion.alien_filters(self.hub) and self.alien(look, [path for path, *_ in changed(self.hub, old, new)]):
                return False
            move = ("read-tree", "-m", "-u", old, new)
            with contextlib.suppress(process.GitError):
                look.run(*move)
                return True
            # Files that were merely touched look changed until the index is refreshed.
            with contextlib.suppress(process.GitError):
                look.run("update-index", "-q", "--refresh", ok=(0, 1))
                look.run(*move)
                return True
            try:
                self._take_over_written(look, old, new)
                look.run(*move)
                return True
            except process.GitError:
                return False

    def blob(self, path: str) -> str:
        """Return the id of the blob that a file would be."""
        with self.look() as look:
            return look.text("hash-object", "--path", path, "--", os.path.join(self.path, path))

    def begins(self, path: str, oid: str) -> bool:
        """Tell whether the file at `path` holds only the beginning of a blob.

        A Git that was killed while it wrote the file leaves it so.
        """
        written = folders.content(os.path.join(self.path, path), MOST)
        return written is not None and written != (whole := self.hub.objects.blob(oid)) and whole.startswith(written)

    def _take_over_written(self, look: scratch.Scratch, old: str, new: str) -> None:
        """Enter in the index the files that a killed read-tree had already written or removed."""
        written = []
        for path, mode, oid, _ in changed(self.hub, old, new):
            full = os.path.join(self.path, path)
            if mode == 0:
                same = not os.path.lexists(full)
            else:
                same = os.path.isfile(full) and not os.path.islink(full) and look.text("hash-object", "--path", path, full) == oid
            if same:
                written.append(path)
        if written:
            files.enter(look, tuple(written))


def listing(hub: Hub) -> list[tuple[Checkout, str]]:
    """List (checkout, full branch name or "" if detached) of every checkout.

    This reads Git's files, because a process for each of hundreds of checkouts would be slow.
    """
    found = [_read(hub, hub.git_dir, main)] if (main := hub.main_worktree) else []
    folder = os.path.join(hub.git_dir, "worktrees")
    for name in sorted(os.listdir(folder)) if os.path.isdir(folder) else ():
        pointer = _content(os.path.join(folder, name, "gitdir"))
        path = os.path.dirname(pointer)
        if pointer and os.path.isdir(path):
            found.append(_read(hub, os.path.join(folder, name), path))
    return found


def at(hub: Hub, path: str) -> Checkout | None:
    """Return the checkout at `path`, or None."""
    real = os.path.realpath(path)
    return next((found for found, _ in listing(hub) if os.path.realpath(found.path) == real), None)


def _read(hub: Hub, git_dir: str, path: str) -> tuple[Checkout, str]:
    return Checkout(hub, path, git_dir), _branch(_content(os.path.join(git_dir, "HEAD")))


def _branch(head: str) -> str:
    """Return the branch that the content of a HEAD file names; empty if the content is a commit."""
    return head.removeprefix("ref: ") if head.startswith("ref: refs/heads/") else ""


def _content(path: str) -> str:
    return (folders.content(path) or b"").decode(errors="surrogateescape").strip()


def of_trunk(hub: Hub, trunk: str) -> list[Checkout]:
    """List the checkouts of trunk."""
    return [found for found, branch in listing(hub) if branch == refnames.branch(trunk)]


def index_locks(tree: Checkout) -> list[str]:
    """List the lock of the checkout's index, if there is one."""
    path = os.path.join(tree.git_dir, "index.lock")
    return [path] if os.path.lexists(path) else []


def bring_along(hub: Hub, trunk: str, old: str, new: str) -> list[str]:
    """Update every checkout of trunk, and return the paths of those that had to stay behind.

    A local change, a file that Git ignores or an alien filter may be in the way. On a station it does nothing: there
    `follow` moves the branch too.
    """
    if hub.station:
        return []
    for tree in of_trunk(hub, trunk):
        with contextlib.suppress(Contended):
            stale_locks.clear(hub.git_dir, index_locks(tree), LINGER)
    return [tree.path for tree in of_trunk(hub, trunk) if _in_the_way(hub, tree, old, new) or not tree.follow(old, new)]


def follow(hub: Hub, trunk: str) -> None:
    """Fast-forward a station's own branch of trunk's name, and its checkouts, to where trunk is on the remote.

    A branch with commits of its own stays, and so does one that a local change, a file that Git ignores or an alien
    filter keeps from following.
    """
    branch = refnames.branch(trunk)
    old, new = hub.here.get(branch), hub.refs.get(branch)
    if not (hub.station and old and new) or old == new or not hub.holds(new, old):
        return
    for tree in of_trunk(hub, trunk):
        with contextlib.suppress(Contended):
            stale_locks.clear(hub.git_dir, index_locks(tree), LINGER)
        if _in_the_way(hub, tree, old, new) or not tree.follow(old, new):
            return
    move = hub.here.transaction("follow trunk")
    move.update(branch, new, old)
    with contextlib.suppress(Contended):
        move.commit()


def _in_the_way(hub: Hub, tree: Checkout, old: str, new: str) -> bool:
    """Tell whether something that `old` does not have stands where `new` adds a file.

    Git itself would overwrite it if it is a file that Git ignores.
    """
    had = hub.objects.commit(old).tree
    for path, mode, oid, _ in changed(hub, old, new):
        if mode == 0 or hub.objects.at(had, path):
            continue
        parts = path.split("/")
        for n in range(1, len(parts) + 1):
            full = os.path.join(tree.path, *parts[:n])
            folder = os.path.isdir(full) and not os.path.islink(full)
            if (
                os.path.lexists(full)
                and not (folder and n < len(parts))
                and not hub.objects.at(had, "/".join(parts[:n]))
                and not (n == len(parts) and os.path.isfile(full) and tree.blob(path) == oid)
            ):
                return True
    return False


def drop_half_written(hub: Hub, tree: Checkout, old: str, new: str) -> None:
    """Remove the files that a killed Git had begun to write.

    They hold only the beginning of what trunk has there, so nothing is lost that is not on trunk.
    """
    had = hub.objects.commit(old).tree
    for path, mode, oid, _ in changed(hub, old, new):
        full = os.path.join(tree.path, path)
        if mode in (FILE, EXECUTABLE) and tree.begins(path, oid) and folders.content(full, MOST) != hub.objects.read(had, path):
            os.unlink(full)


def refuse_dirty(hub: Hub, trunk: str) -> None:
    """Raise Refused if a checkout of trunk has changes that a landing could run into; on a station none can."""
    for tree in of_trunk(hub, trunk) if not hub.station else ():
        if tree.dirty():
            raise Refused(f"{tree.path} has {trunk} checked out with uncommitted changes", hint="agentctl doctor")


LINGER = 1.0
"""Seconds that a landing waits for a Git in a checkout of trunk to give up the lock of the index."""


def locks(hub: Hub, trunk: str) -> Iterator[str]:
    """Yield the existing locks of what the bot writes: refs, the configuration, the indexes of trunk's checkouts."""
    for tree in of_trunk(hub, trunk):
        yield from index_locks(tree)
    yield from stale_locks.ref_locks(hub.git_dir)
