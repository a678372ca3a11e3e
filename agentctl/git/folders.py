"""Folders that agentctl made: which they are, how they go, and what becomes of others in their place.

A folder is known by its device and inode. Nothing is deleted that is not known so: what stands in its place, a link
above all, is moved aside. Deleting goes by a rename into the trash, so that a kill leaves no half.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import stat
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from agentctl.git import modes, process

REMOVERS, FEW = 8, 100
"""Threads that remove one folder's files, if there are more than a few: they wait more than they work."""
LONGEST = 2000
"""Bytes of the path of a folder below one that is cleared: half of what the system takes."""


@dataclass(frozen=True, slots=True)
class Identity:
    device: int
    inode: int


def identity(path: str) -> Identity | None:
    """The identity of the folder at `path`; None if there is none, or a link or a file."""
    try:
        found = os.lstat(path)
    except OSError:
        return None
    return Identity(found.st_dev, found.st_ino) if stat.S_ISDIR(found.st_mode) else None


def make(path: str) -> Identity:
    """Make the folder `path`, which must not be there, and those above it."""
    for _ in range(10):
        with contextlib.suppress(FileNotFoundError):
            # An empty folder above it may be removed at this very moment.
            modes.folder(os.path.dirname(path))
            modes.narrow(os.path.dirname(path))
            os.mkdir(path, 0o700)
            break
    made = identity(path)
    if not made:
        raise FileNotFoundError(2, "the folder vanished while it was made", path)
    return made


def replace(path: str, data: bytes) -> None:
    """Write a file, whole or not at all, whoever else writes it. What killed processes had begun to write goes."""
    new = f"{path}.{os.getpid()}-{os.urandom(4).hex()}.new"
    with open(new, "wb", opener=modes.opener) as file:
        file.write(data)
    os.rename(new, path)
    folder, begun = os.path.dirname(path), os.path.basename(path) + "."
    for name in os.listdir(folder):
        if name.startswith(begun) and name.endswith(".new") and process.ended(name.removeprefix(begun).partition("-")[0]):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(os.path.join(folder, name))


def discard(path: str, trash: str, known: Identity) -> None:
    """Delete the folder at `path`, or at `trash` if an earlier try came so far, if it is the one that is `known`."""
    if identity(path) == known:
        _move(path, trash)
    if identity(trash) == known:
        clear(trash)


def set_aside(path: str, folder: str) -> str:
    """Move whatever is at `path` into `folder` under a free name; returns where it is now."""
    number = 1
    while os.path.lexists(there := os.path.join(folder, f"{os.path.basename(path)}-{number}")):
        number += 1
    _move(path, there)
    return there


def _move(path: str, there: str) -> None:
    """Into a folder that is made for it, as often as somebody else removes that while it is empty."""
    for _ in range(modes.TRIES):
        modes.folder(os.path.dirname(there))
        try:
            return _rename(path, there)
        except FileNotFoundError:
            if not os.path.lexists(path):
                raise
    raise FileNotFoundError(2, "its folder is removed again and again", there)


def _rename(path: str, there: str) -> None:
    """Also a folder that we may not write in, and so not give another parent."""
    try:
        os.rename(path, there)
    except PermissionError:
        if not identity(path):
            raise
        os.chmod(path, 0o700)
        os.rename(path, there)


def remove(path: str) -> None:
    """Delete what is at `path`, a folder with all in it, if there is anything."""
    if identity(path):
        clear(path)
    else:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)


def clear(path: str) -> None:
    """Delete a folder and all in it, however deep, never what a link in it points to; what has no permission gets it. By
    several threads: a file system with a journal may have each removal wait for it, one after the other for seconds."""
    below, files = _opened(path)
    if len(files) > FEW:
        with ThreadPoolExecutor(REMOVERS, thread_name_prefix="remove") as pool:
            for part in range(REMOVERS):
                pool.submit(_unlink, files[part::REMOVERS])
    else:
        _unlink(files)
    for where in reversed(below):
        with contextlib.suppress(OSError):
            os.rmdir(where)


def _opened(path: str) -> tuple[list[str], list[str]]:
    """(the folder and all folders in it, parents first; all else in it). What is too deep to be named is moved up."""
    below: list[str] = []
    files: list[str] = []
    waiting = [path]
    while waiting:
        where = waiting.pop()
        with contextlib.suppress(OSError):
            if len(where) > len(path) + LONGEST:
                moved = os.path.join(path, os.urandom(8).hex())
                os.rename(where, moved)
                where = moved
            os.chmod(where, 0o700)
            below.append(where)
            with os.scandir(where) as found:
                for entry in found:
                    (waiting if entry.is_dir(follow_symlinks=False) else files).append(entry.path)
    return below, files


def _unlink(files: list[str]) -> None:
    for path in files:
        with contextlib.suppress(OSError):
            os.unlink(path)


def drop(top: str, path: str) -> None:
    """Delete what is at `path`, relative to the folder `top`, and follow no link on the way."""
    *above, name = path.rstrip("/").split("/")
    with contextlib.ExitStack() as opened, contextlib.suppress(FileNotFoundError):
        first = at = _open(top, None, opened)
        for part in above:
            at = _open(part, at, opened)
        with contextlib.suppress(OSError):
            os.fchmod(at, 0o700)
        if stat.S_ISDIR(os.lstat(name, dir_fd=at).st_mode):
            moved = os.urandom(8).hex()
            os.rename(name, moved, src_dir_fd=at, dst_dir_fd=first)
            clear(os.path.join(top, moved))
        else:
            os.unlink(name, dir_fd=at)


def _open(name: str, at: int | None, opened: contextlib.ExitStack) -> int:
    handle = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=at)
    opened.callback(os.close, handle)
    return handle


def walk(top: str) -> Iterator[tuple[str, list[str], list[str]]]:
    """As os.walk, which goes no deeper than Python's stack before 3.12. Folders without permission get it, what cannot be
    read all the same is left out."""
    waiting = [top]
    while waiting:
        where = waiting.pop()
        below: list[str] = []
        names: list[str] = []
        with contextlib.suppress(OSError):
            for entry in listed(where):
                (below if entry.is_dir(follow_symlinks=False) else names).append(entry.name)
        yield where, below, names
        waiting += [os.path.join(where, name) for name in below]


def fingerprint(path: str, skip: tuple[str, ...] = ()) -> str:
    """A digest of a folder and all below it: differs if anything was written, made, linked or given other permissions. Nobody
    can set the time of such a change back. What the files `skip` at its top hold does not count. Empty for no folder, and for
    one too deep to be looked through."""
    seen: list[tuple[str, *tuple[int, ...]]] = []
    if not identity(path):
        return ""
    for where, below, names in walk(path):
        for name in (*below, *names):
            full = os.path.join(where, name)
            try:
                found = os.lstat(full)
            except OSError:
                return ""
            if where == path and name in skip:
                seen.append((full, stat.S_IFMT(found.st_mode), found.st_nlink))
                continue
            changed = 0 if stat.S_ISDIR(found.st_mode) else found.st_ctime_ns
            seen.append((full, found.st_mode, found.st_ino, found.st_size if changed else 0, changed))
    return hashlib.sha1(repr(sorted(seen)).encode(errors="surrogateescape")).hexdigest()


def entries(top: str) -> Iterator[tuple[str, os.DirEntry[str]]]:
    """(path, entry) of all below a folder: no link is followed, and nothing called .git walked through. A folder without
    permission gets it. Raises OSError for one that cannot be read."""
    waiting = [""]
    while waiting:
        path = waiting.pop()
        found = listed(os.path.join(top, path))
        for entry in () if os.path.basename(path.rstrip("/")) == ".git" else found:
            yield path + entry.name, entry
            if entry.is_dir(follow_symlinks=False):
                waiting.append(path + entry.name + "/")


def listed(path: str) -> list[os.DirEntry[str]]:
    """What is in a folder; one without permission gets it."""
    with contextlib.suppress(PermissionError), os.scandir(path) as found:
        return list(found)
    os.chmod(path, 0o700)
    with os.scandir(path) as found:
        return list(found)


def claim(path: str) -> int | None:
    """A descriptor with the lock of a folder, which is made if there is none; None if somebody else has that, or has
    just taken the folder away. The lock is held until the descriptor is closed."""
    modes.folder(path)
    try:
        handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.path.samestat(os.stat(path), os.fstat(handle)):
            return handle
    except OSError:
        pass
    os.close(handle)
    return None


def content(path: str, limit: int = 1 << 20) -> bytes | None:
    """The content of a plain file: not through a link, and a FIFO is not waited for. None if it is none, or larger."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        found = os.fstat(handle)
        if not stat.S_ISREG(found.st_mode) or found.st_size > limit:
            return None
        with open(handle, "rb", closefd=False) as file:
            return file.read(limit)
    finally:
        os.close(handle)
