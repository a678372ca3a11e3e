"""Linked worktrees: agents work in them, gates run in them.

Git's own commands for worktrees race with each other on the files of the common
Git directory, so whoever calls `add` or `remove` must hold the worktrees' lock;
files are written by `reset`, which needs no lock. All run with an explicit Git
directory: nothing that was left in a worktree decides what Git does there.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from agentctl.git import private, process, refs
from agentctl.git.hub import Hub
from agentctl.git.merge import changed
from agentctl.git.objects import Person

_OID = re.compile(r"[0-9a-f]{40}")

REMOVERS = 8
"""Threads that remove one worktree's files: they wait more than they work."""

YOUNG = 2.0
"""Seconds: Git writes where a new worktree is within milliseconds of its beginning."""


@dataclass(frozen=True, slots=True)
class Worktree:
    path: str
    git_dir: str
    """Its own folder, under worktrees/ of the common Git directory, or that itself."""

    def git(self, *args: str, **options) -> str:
        env = {"GIT_WORK_TREE": self.path, **options.pop("env", {})}
        return process.text(args, git_dir=self.git_dir, cwd=self.path, env=env, **options)

    def head(self) -> str:
        """The commit that HEAD is at."""
        branch = self.branch()
        common = os.path.join(self.git_dir, _content(os.path.join(self.git_dir, "commondir")))
        found = refs.get(common, branch) if branch else _content(os.path.join(self.git_dir, "HEAD"))
        return found if found and _OID.fullmatch(found) else self.git("rev-parse", "--verify", "HEAD")

    def branch(self) -> str | None:
        """Full name of the branch that HEAD is on; None when detached."""
        return _branch(_content(os.path.join(self.git_dir, "HEAD"))) or None


def listing(hub: Hub) -> list[tuple[Worktree, str]]:
    """(worktree, full branch name or "" if detached) of every worktree there is.

    Read from Git's files: a process for each of hundreds would be slow.
    """
    found = [_read(hub.git_dir, main)] if (main := hub.main_worktree) else []
    folder = os.path.join(hub.git_dir, "worktrees")
    for name in sorted(os.listdir(folder)) if os.path.isdir(folder) else ():
        pointer = _content(os.path.join(folder, name, "gitdir"))
        path = os.path.dirname(pointer)
        if pointer and os.path.isdir(path) and not (_half_made(folder, name) and _ours(hub, path)):
            found.append(_read(os.path.join(folder, name), path))
    return found


def _half_made(folder: str, name: str) -> bool:
    """True while `git worktree add` runs, and for good after a kill in it."""
    return _content(os.path.join(folder, name, "locked")) == "initializing"


def _ours(hub: Hub, path: str) -> bool:
    return os.path.realpath(path).startswith(os.path.realpath(hub.worktrees) + os.sep)


def tidy(hub: Hub) -> None:
    """Remove what a kill left half made or half removed. The caller holds the worktrees'
    lock, so nobody is at work on ours; those that users make are left alone."""
    folder = os.path.join(hub.git_dir, "worktrees")
    for name in sorted(os.listdir(folder)) if os.path.isdir(folder) else ():
        own, half = os.path.join(folder, name), _half_made(folder, name)
        pointer = _content(os.path.join(own, "gitdir"))
        path = os.path.dirname(pointer)
        if pointer and _ours(hub, path) and (half or not os.path.isdir(path)):
            shutil.rmtree(path, ignore_errors=True)
            shutil.rmtree(own, ignore_errors=True)
        elif not pointer and time.time() - os.stat(own).st_mtime > YOUNG:
            shutil.rmtree(own, ignore_errors=True)


def _read(git_dir: str, path: str) -> tuple[Worktree, str]:
    return Worktree(path, git_dir), _branch(_content(os.path.join(git_dir, "HEAD")))


def _branch(head: str) -> str:
    """What the content of a HEAD file names; empty if that is a commit."""
    return head.removeprefix("ref: ") if head.startswith("ref: refs/heads/") else ""


def _content(path: str) -> str:
    try:
        with open(path, errors="surrogateescape") as file:
            return file.read().strip()
    except OSError:
        return ""


def at(hub: Hub, path: str) -> Worktree | None:
    """The worktree of this hub at `path`, or None."""
    real = os.path.realpath(path)
    return next((tree for tree, _ in listing(hub) if os.path.realpath(tree.path) == real), None)


def add(hub: Hub, path: str, commit: str, branch: str | None = None) -> Worktree:
    """Register an empty worktree at `path`, on `branch` (made or moved to `commit`) or
    detached. The caller holds the worktrees' lock, and calls `reset` afterwards."""
    tidy(hub)
    private.folder(os.path.dirname(path))
    private.narrow(os.path.dirname(path))
    where = ["-B", branch] if branch else ["--detach"]
    hub.git("worktree", "add", "--force", "--no-checkout", *where, path, commit)
    private.narrow(path)
    made = at(hub, path)
    assert made, path
    return made


def reset(tree: Worktree, commit: str, keep: tuple[str, ...] = (), ignored: bool = True) -> None:
    """Make files and index those of `commit`; remove all else, ignored files too unless
    told otherwise, except `keep` (patterns as in .gitignore). HEAD's branch moves along."""
    unlock(tree)
    tree.git("reset", "--hard", "--quiet", commit)
    excludes = [word for pattern in keep for word in ("-e", pattern)]
    tree.git("clean", "-ffdxq" if ignored else "-ffdq", *excludes)


def unlock(tree: Worktree) -> None:
    """Remove the locks on index and HEAD of a Git that was killed in a linked worktree. The
    caller knows that nothing runs there."""
    for name in os.listdir(tree.git_dir):
        if name.endswith(".lock"):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(os.path.join(tree.git_dir, name))


def restore_pointer(tree: Worktree) -> None:
    """Write the `.git` file again that a run may have removed or turned elsewhere."""
    pointer = os.path.join(tree.path, ".git")
    wanted = f"gitdir: {tree.git_dir}\n"
    try:
        with open(pointer) as file:
            if file.read() == wanted:
                return
    except (OSError, UnicodeDecodeError):
        pass
    if os.path.isdir(pointer) and not os.path.islink(pointer):
        shutil.rmtree(pointer)
    elif os.path.lexists(pointer):
        os.unlink(pointer)
    with open(pointer, "w") as file:
        file.write(wanted)


def dirty(tree: Worktree) -> list[str]:
    """Paths that differ from HEAD, untracked ones included, ignored ones not."""
    fields = tree.git("status", "--porcelain", "-z", "--no-renames", "--untracked-files=all").split("\0")
    return [field[3:] for field in fields if field]


def snapshot(hub: Hub, tree: Worktree, message: str, time: float, author: Person) -> str:
    """A commit on top of HEAD that holds the worktree's files as they are, untracked
    ones included. Neither HEAD nor the index moves."""
    index = os.path.join(tree.git_dir, "agentctl-snapshot.index")
    for stale in (index, index + ".lock"):
        if os.path.exists(stale):
            os.unlink(stale)
    head = tree.head()
    env = {"GIT_INDEX_FILE": index}
    try:
        tree.git("read-tree", head, env=env)
        tree.git("-c", "advice.addEmbeddedRepo=false", "add", "--all", env=env)
        built = tree.git("write-tree", env=env)
    finally:
        if os.path.exists(index):
            os.unlink(index)
    return hub.objects.write_commit(built, (head,), message, time, author=author, committer=author)


def remove(tree: Worktree) -> None:
    """Remove a worktree, its files moved aside first so that a kill leaves no half.
    The caller holds the worktrees' lock and has salvaged what was in it."""
    trash = tree.path + ".trash"
    shutil.rmtree(trash, ignore_errors=True)
    if os.path.isdir(tree.path):
        os.rename(tree.path, trash)
    shutil.rmtree(tree.git_dir, ignore_errors=True)
    clear(trash)


def clear(path: str) -> None:
    """Remove a folder and all in it, as far as that goes. By several threads: a file system with
    a journal may have each removal wait for it, one after the other for seconds."""
    files = [os.path.join(where, name) for where, _, names in os.walk(path) for name in names]
    with ThreadPoolExecutor(REMOVERS, thread_name_prefix="remove") as pool:
        for part in range(REMOVERS):
            pool.submit(_unlink, files[part::REMOVERS])
    shutil.rmtree(path, ignore_errors=True)


def _unlink(files: list[str]) -> None:
    for path in files:
        with contextlib.suppress(OSError):
            os.unlink(path)


def follow(hub: Hub, tree: Worktree, old: str, new: str) -> bool:
    """Bring the files of a checkout whose branch was moved from `old` to `new`.

    Local changes elsewhere are kept; False, with nothing touched, if one of them is
    in the way. Doing it again, also after a kill half-way, does no harm.
    """
    with contextlib.suppress(process.GitError):
        tree.git("read-tree", "-m", "-u", old, new)
        return True
    # Files that were merely touched look changed until the index is refreshed.
    with contextlib.suppress(process.GitError):
        tree.git("update-index", "-q", "--refresh", ok=(0, 1))
        tree.git("read-tree", "-m", "-u", old, new)
        return True
    try:
        _take_over_written(hub, tree, old, new)
        tree.git("read-tree", "-m", "-u", old, new)
        return True
    except process.GitError:
        return False


def _take_over_written(hub: Hub, tree: Worktree, old: str, new: str) -> None:
    """Enter in the index what a read-tree that was killed had written to files already."""
    written = []
    for path, mode, oid, _ in changed(hub, old, new):
        full = os.path.join(tree.path, path)
        if mode == 0:
            same = not os.path.lexists(full)
        else:
            same = os.path.isfile(full) and not os.path.islink(full) and \
                tree.git("hash-object", "--path", path, full) == oid
        if same:
            written.append(path)
    if written:
        tree.git("update-index", "--add", "--remove", "-z", "--stdin",
                 stdin="\0".join(written).encode(errors="surrogateescape"))
