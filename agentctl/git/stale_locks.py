"""Locks and half objects that a Git left when it was killed, and the proof that it was.

Git makes a file beside what it is about to write and removes it afterwards; whoever finds one gives up. A lock
is *dead* once every Git has ended that ran when this process first saw the lock and could have made it: a Git
that starts later cannot hold what was there before it. No clock decides, so a lock dated in the future is like any
other; a date long past only saves the wait that other programs than Git are owed, which hold one for milliseconds.

Whoever meets a dead lock removes it, one process at a time. As long as it stands no Git can make another lock of
its name, so what is removed is what was proven dead.
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
"""Seconds for which a lock may be that of a program which is not called git."""

OLD = 60.0
"""Seconds after which nobody writes to a half object any more."""

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
"""Commands that lock no ref, and may stand open for days in a pager or an editor."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Git:
    """A living Git that may hold a lock."""

    pid: int
    started: str
    said: str
    """Its command line."""


@dataclass(frozen=True, slots=True)
class Lock:
    path: str
    inode: int
    changed: int
    """Nanoseconds: another file of the same name differs."""


@dataclass(frozen=True, slots=True)
class _Sight:
    """When this process first saw a lock, and which Gits ran then."""

    at: float
    suspects: frozenset[Git]


_seen: dict[Lock, _Sight] = {}


def retrying(git_dir: str, act: Callable[[], T]) -> T:
    """What `act` returns. If Git fails in it for a lock, the dead locks of the repository are cleared, and it is
    done once more. Raises Contended if a living Git holds one."""
    try:
        return act()
    except GitError as error:
        if "File exists" not in error.stderr:
            raise
    clear(git_dir, ref_locks(git_dir))
    return act()


def ref_locks(git_dir: str) -> Iterator[str]:
    """The locks there are of refs, of HEAD, which Git locks when it moves the branch that HEAD is on, and of the
    configuration."""
    for name in ("HEAD.lock", "packed-refs.lock", "packed-refs.new", "config.lock"):
        path = os.path.join(git_dir, name)
        if os.path.lexists(path):
            yield path
    for folder in ("refs/agentctl", "refs/heads"):
        for where, below, names in os.walk(os.path.join(git_dir, folder)):
            yield from (os.path.join(where, name) for name in [*names, *below] if name.endswith(".lock"))


def half_objects(git_dir: str) -> Iterator[str]:
    """What Git writes objects to before they have their names. Only what is old: other programs write them too."""
    top = os.path.join(git_dir, "objects")
    for folder in [top, *(entry.path for entry in os.scandir(top) if len(entry.name) in (2, 4) and entry.is_dir())]:
        # A `git gc` may take folder or file away at any moment.
        with contextlib.suppress(FileNotFoundError):
            for entry in os.scandir(folder):
                if entry.name.startswith(("tmp_", ".tmp-")) and time.time() - entry.stat(follow_symlinks=False).st_mtime > OLD:
                    yield entry.path


def clear(git_dir: str, paths: Iterable[str], patience: float = PATIENCE) -> list[str]:
    """Remove those of the locks that are dead, and wait for the rest to be given up. Returns what was removed.

    Raises Contended, naming the Git, if one is held after `patience` seconds.
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
    """A folder in the place of a lock is nobody's, but what is in it may be: it stays if it is not empty."""
    if not os.path.isdir(path) or os.path.islink(path):
        os.unlink(path)
    elif path.endswith(".lock"):
        with contextlib.suppress(OSError):
            os.rmdir(path)
    else:
        shutil.rmtree(path)


def dead(git_dir: str, lock: Lock) -> bool:
    """True if no living Git can hold this lock. The first look at a young one never tells."""
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
    """Within, no other process clears locks of this repository."""
    folder = os.path.join(git_dir, "agentctl", "locks")
    os.makedirs(folder, exist_ok=True)
    handle = os.open(os.path.join(folder, "stale.lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _gits(git_dir: str, lock: Lock) -> frozenset[Git]:
    """The living Gits that could have made this lock."""
    try:
        owner = os.lstat(lock.path).st_uid
    except OSError:
        return frozenset()
    name = os.path.basename(lock.path)
    of_a_ref = name == "packed-refs.new" or (name.endswith(".lock") and name != "index.lock")
    # A process in a linked worktree stands elsewhere, but says in its environment or on its command line where
    # it works, or has the worktree's own folder as its Git directory.
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
    """True for a process that works on this repository; also if nobody can tell."""
    if where is None:
        return True
    return any(where == place or where.startswith(place + "/") or os.fsencode(place) in told for place in places if place)


def _processes() -> Iterator[tuple[int, Git, str | None, bytes]]:
    """(user, Git, folder it stands in or None if that is hidden, command line and environment)."""
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
            # An agent's Git is told of the hub, and works in a repository of its own.
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
    """True for a Git that holds the lock of no ref: it only reads, or it waits for an editor or a hook."""
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
    """True if it has a child that is no Git, unless that is the hook which is called with the locks held."""
    with contextlib.suppress(OSError):
        with open(f"/proc/{pid}/task/{pid}/children") as file:
            children = file.read().split()
        for child in children:
            with open(f"/proc/{child}/comm") as file:
                called = file.read().strip()
            if not called.startswith("git") and b"reference-transaction" not in _content(child, "cmdline"):
                return True
    return False
