"""Locks and half-written objects that a killed Git left, and the proof that it was killed.

Git makes a lock file beside what it is about to write and removes it afterwards; a Git that finds the lock of another
gives up. A lock is *dead* once every Git has ended that ran when this process first saw the lock and that could have
made it: a Git that starts later cannot hold a lock that was there before. No clock decides, so a lock dated in the
future is like any other. Programs other than Git hold a lock only for milliseconds, but are given YOUNG seconds; a lock
with an older date saves this wait.

Whoever meets a dead lock removes it, one process at a time. As long as the lock is there, no Git can make another lock
of the same name, so what is removed is what was proven dead.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TypeVar

from agentctl.errors import Contended
from agentctl.git import folders
from agentctl.git.process import GitError

PATIENCE = 3.0
"""Seconds that a command waits for a living Git to give up its lock."""

YOUNG = 2.0
"""Seconds for which a lock may belong to a program that is not called git."""

OLD = 60.0
"""Seconds after which nobody writes to a half-written object any more."""

POLL = 0.02

READERS = frozenset(
    (
        "blame",
        "cat-file",
        "credential-cache--daemon",
        "daemon",
        "diff",
        "difftool",
        "for-each-ref",
        "fsmonitor--daemon",
        "grep",
        "help",
        "log",
        "ls-files",
        "ls-remote",
        "ls-tree",
        "rev-list",
        "rev-parse",
        "shortlog",
        "show",
        "upload-pack",
        "web--browse",
        "whatchanged",
    )
)
"""Commands that lock no ref, and that may stay open for days in a pager or an editor."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Git:
    """A living Git that may hold a lock."""

    pid: int
    started: str
    said: str
    """The command line."""


@dataclass(frozen=True, slots=True)
class Lock:
    path: str
    inode: int
    changed: int
    """Nanoseconds of the last change, by which another file of the same name differs."""


@dataclass(frozen=True, slots=True)
class _Sight:
    """When this process first saw a lock, and which Gits ran then."""

    at: float
    suspects: frozenset[Git]


_seen: dict[Lock, _Sight] = {}


def retrying(git_dir: str, act: Callable[[], T]) -> T:
    """Return what `act` returns; if Git fails in it because of a lock, clear dead locks and do it once more.

    The dead locks are those of the repository's refs and configuration. Raises Contended if a living Git holds one.
    """
    try:
        return act()
    except GitError as error:
        if "File exists" not in error.stderr:
            raise
    clear(git_dir, ref_locks(git_dir))
    return act()


def ref_locks(git_dir: str) -> Iterator[str]:
    """Yield the existing locks of refs, of HEAD and of the configuration.

    Git locks HEAD when it moves the branch that HEAD is on.
    """
    for name in ("HEAD.lock", "packed-refs.lock", "packed-refs.new", "config.lock"):
        path = os.path.join(git_dir, name)
        if os.path.lexists(path):
            yield path
    for folder in ("refs/agentctl", "refs/agentctl-seen", "refs/agentctl-kept", "refs/heads", "refs/remotes"):
        for where, below, names in os.walk(os.path.join(git_dir, folder)):
            yield from (os.path.join(where, name) for name in [*names, *below] if name.endswith(".lock"))


def half_objects(git_dir: str) -> Iterator[str]:
    """Yield what Git writes objects to before they have their names.

    Only what is older than OLD seconds counts, because other programs write such files too.
    """
    top = os.path.join(git_dir, "objects")
    for folder in [top, *(entry.path for entry in os.scandir(top) if len(entry.name) in (2, 4) and entry.is_dir())]:
        # A `git gc` may remove the folder or the file at any moment.
        with contextlib.suppress(FileNotFoundError):
            for entry in os.scandir(folder):
                if entry.name.startswith(("tmp_", ".tmp-")) and time.time() - entry.stat(follow_symlinks=False).st_mtime > OLD:
                    yield entry.path


def clear(git_dir: str, paths: Iterable[str], patience: float = PATIENCE) -> list[str]:
    """Remove those of the locks that are dead, wait until the others are given up, and return what was removed.

    Raises Contended, which names the Git, if a lock is still held after `patience` seconds.
    """
    left, removed, deadline = _looked_at(paths), [], time.monotonic() + patience
    while left:
        with _alone(git_dir):
            for lock in [lock for lock in left if dead(git_dir, lock)]:
                with contextlib.suppress(FileNotFoundError):
                    _remove(lock.path)
                removed.append(lock.path)
        left &= _looked_at({lock.path for lock in left})
        if left and time.monotonic() > deadline:
            raise _held(git_dir, min(left, key=lambda lock: lock.path))
        if left:
            time.sleep(POLL)
    return removed


def _remove(path: str) -> None:
    """Remove a lock or a half-written object.

    A folder in the place of a lock belongs to nobody, but what is in it may belong to somebody: so it is removed only
    if it is empty.
    """
    if not os.path.isdir(path) or os.path.islink(path):
        os.unlink(path)
    elif path.endswith(".lock"):
        with contextlib.suppress(OSError):
            os.rmdir(path)
    else:
        shutil.rmtree(path)


def dead(git_dir: str, lock: Lock) -> bool:
    """Tell whether no living Git can hold this lock; the first look at a young lock never proves that."""
    if lock not in _looked_at([lock.path]):
        return False
    sight = _sight(git_dir, lock)
    if sight.suspects & _gits(git_dir, lock):
        return False
    return time.monotonic() - sight.at >= YOUNG or time.time() - lock.changed / 1e9 >= YOUNG


def look(path: str) -> Lock | None:
    return next(iter(_looked_at([path])), None)


def _looked_at(paths: Iterable[str]) -> set[Lock]:
    found = set()
    for path in paths:
        with contextlib.suppress(OSError):
            stat = os.lstat(path)
            found.add(Lock(path, stat.st_ino, stat.st_mtime_ns))
    return found


def _sight(git_dir: str, lock: Lock) -> _Sight:
    if lock not in _seen:
        if len(_seen) > 1000:
            _seen.clear()
        _seen[lock] = _Sight(time.monotonic(), _gits(git_dir, lock))
    return _seen[lock]


def _held(git_dir: str, lock: Lock) -> Contended:
    holders = sorted(_sight(git_dir, lock).suspects & _gits(git_dir, lock), key=lambda git: git.pid)
    if not holders:
        return Contended(f"another program holds {lock.path}", hint="run the same command again in a moment")
    one = holders[0]
    return Contended(
        f"a running Git may hold {lock.path}: process {one.pid}, {one.said}",
        hint=f"wait until it ends, or stop it: kill {one.pid}",
    )


@contextlib.contextmanager
def _alone(git_dir: str) -> Iterator[None]:
    """Keep every other process from clearing locks of this repository while the context lasts."""
    folder = os.path.join(git_dir, "agentctl", "locks")
    os.makedirs(folder, exist_ok=True)
    handle = os.open(os.path.join(folder, "stale.lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _gits(git_dir: str, lock: Lock) -> frozenset[Git]:
    """Return the living Gits that could have made this lock."""
    try:
        owner = os.lstat(lock.path).st_uid
    except OSError:
        return frozenset()
    name = os.path.basename(lock.path)
    of_a_ref = name == "packed-refs.new" or (name.endswith(".lock") and name != "index.lock")
    # A process in a linked worktree runs in another folder. It is in the worktree, or its environment or its command
    # line names the worktree or the repository.
    places = [git_dir, os.path.dirname(git_dir), *_worktrees(git_dir)]
    listed = _processes() if os.path.isdir("/proc/self") else _processes_elsewhere()
    return frozenset(
        git
        for uid, git, where, told in listed
        if uid == owner and _concerns(places, where, told) and not (of_a_ref and _harmless(git))
    )


def _worktrees(git_dir: str) -> list[str]:
    folder, found = os.path.join(git_dir, "worktrees"), []
    with contextlib.suppress(OSError):
        for name in os.listdir(folder):
            if pointer := folders.content(os.path.join(folder, name, "gitdir")):
                found.append(os.path.dirname(os.fsdecode(pointer).strip()))
    return found


def _concerns(places: list[str], where: str | None, told: bytes) -> bool:
    """Tell whether a process works on this repository; True also if nobody can tell."""
    if where is None:
        return True
    return any(where == place or where.startswith(place + "/") or os.fsencode(place) in told for place in places if place)


def _processes() -> Iterator[tuple[int, Git, str | None, bytes]]:
    """Yield (user, Git, its current folder or None if that is hidden, command line and environment) of each living Git."""
    for name in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            with open(f"/proc/{name}/stat", errors="replace") as file:
                called, _, rest = file.read().partition("(")[2].rpartition(")")
            if called != "git" and not called.startswith("git-"):
                continue
            fields = rest.split()
            if fields[0] in "ZX":
                continue
            line, where, environ = _content(name, "cmdline"), None, _content(name, "environ")
            with contextlib.suppress(PermissionError):
                where = os.readlink(f"/proc/{name}/cwd")
            # These variables tell even an agent's Git of the hub, but it works in a private repository.
            environ = b"\0".join(entry for entry in environ.split(b"\0") if not entry.startswith(b"AGENTCTL_"))
            said = " ".join(os.fsdecode(word) for word in line.split(b"\0")).strip() or called
            yield os.stat(f"/proc/{name}").st_uid, Git(int(name), fields[19], said), where, line + environ


def _content(pid: str, what: str) -> bytes:
    try:
        with open(f"/proc/{pid}/{what}", "rb") as file:
            return file.read()
    except PermissionError:
        return b""


def _processes_elsewhere() -> Iterator[tuple[int, Git, str | None, bytes]]:
    import psutil

    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            called = process.name()
            if called == "git" or called.startswith("git-"):
                words = process.cmdline()
                yield (
                    process.uids().effective,
                    Git(process.pid, str(process.create_time()), " ".join(words)),
                    process.cwd(),
                    os.fsencode(" ".join(words)),
                )


def _harmless(git: Git) -> bool:
    """Tell whether a Git locks no ref, because it only reads or waits for an editor or a hook."""
    return _subcommand(git.said.split(" ")) in READERS or _waits(git.pid)


def _subcommand(words: list[str]) -> str:
    rest = iter(words[1:])
    if (first := os.path.basename(words[0])).startswith("git-"):
        return first.removeprefix("git-")
    for word in rest:
        if word in ("-c", "-C", "--git-dir", "--work-tree", "--namespace"):
            next(rest, None)
        elif not word.startswith("-"):
            return word
    return ""


def _waits(pid: int) -> bool:
    """Tell whether a process has a child that is not a Git.

    The hook reference-transaction does not count, because Git calls it while it holds the locks.
    """
    with contextlib.suppress(OSError):
        with open(f"/proc/{pid}/task/{pid}/children") as file:
            children = file.read().split()
        for child in children:
            with open(f"/proc/{child}/comm") as file:
                called = file.read().strip()
            if not called.startswith("git") and b"reference-transaction" not in _content(child, "cmdline"):
                return True
    return False
