"""Folders that agentctl made: how they are recognized and deleted, and what is done with others in their place.

A folder is recognized by its device and inode. What is not recognized is never deleted: whatever stands in the place of
a folder, above all a link, is moved aside. A folder is renamed into the trash before it is deleted, so that a kill
never leaves half of it in its place.
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
from typing import BinaryIO

from agentctl.git import modes, process

REMOVERS, FEW = 8, 100
"""The number of threads that remove the files of one folder if it has more than FEW: they wait more than they work."""
LONGEST = 2000
"""The most bytes by which a path below a cleared folder is longer than its own: half of what the system takes."""


@dataclass(frozen=True, slots=True)
class Identity:
    device: int
    inode: int


def identity(path: str) -> Identity | None:
    """Return the identity of the folder at `path`; None if there is nothing, a link or a file."""
    try:
        found = os.lstat(path)
    except OSError:
        return None
    return Identity(found.st_dev, found.st_ino) if stat.S_ISDIR(found.st_mode) else None


def make(path: str) -> Identity:
    """Make the folder `path`, which must not exist yet, and the missing ones above it; return its identity."""
    for _ in range(10):
        with contextlib.suppress(FileNotFoundError):
            # Somebody else may remove an empty folder above it at this very moment.
            modes.folder(os.path.dirname(path))
            modes.narrow(os.path.dirname(path))
            os.mkdir(path, 0o700)
            break
    made = identity(path)
    if not made:
        raise FileNotFoundError(2, "the folder vanished while it was made", path)
    return made


def replace(path: str, data: bytes) -> None:
    """Write a file, whole or not at all, whoever else writes it.

    What killed processes had begun to write there is removed.
    """
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
    """Delete the folder at `path` if it is the one that is `known`.

    It is moved to `trash` first; after an earlier try it may be there already.
    """
    if identity(path) == known:
        _move(path, trash)
    if identity(trash) == known:
        clear(trash)


def set_aside(path: str, folder: str) -> str:
    """Move whatever is at `path` into `folder` under a free name, and return its new path."""
    number = 1
    while os.path.lexists(there := os.path.join(folder, f"{os.path.basename(path)}-{number}")):
        number += 1
    _move(path, there)
    return there


def _move(path: str, there: str) -> None:
    """Move `path` to `there`, and make the folder that this is in.

    That is repeated if somebody else removes this folder while it is empty.
    """
    for _ in range(modes.TRIES):
        modes.folder(os.path.dirname(there))
        try:
            return _rename(path, there)
        except FileNotFoundError:
            if not os.path.lexists(path):
                raise
    raise FileNotFoundError(2, "its folder is removed again and again", there)


def _rename(path: str, there: str) -> None:
    """Rename a file or a folder, also a folder that we may not write in.

    Such a folder cannot be given another parent before it is given the permission.
    """
    try:
        os.rename(path, there)
    except PermissionError:
        if not identity(path):
            raise
        os.chmod(path, 0o700)
        os.rename(path, there)


def remove(path: str) -> None:
    """Delete what is at `path`, if there is anything; a folder goes with everything in it."""
    if identity(path):
        clear(path)
    else:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)


def clear(path: str) -> None:
    """Delete a folder and everything in it, however deep, but never what a link in it points to.

    Folders without permission get it. Several threads remove the files: on a file system with a journal, each removal
    may have to wait for the journal, and one after the other would take seconds.
    """
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
    """Return (the folder and all folders in it, parents first; everything else in it).

    A folder too deep to be named is moved up.
    """
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
    """Delete what is at `path`, relative to the folder `top`, without following a link on the way."""
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
    """Walk through a folder as os.walk does, but to any depth.

    Before Python 3.12, os.walk goes no deeper than Python's stack. Folders without permission get it; what still cannot
    be read is left out.
    """
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


def permit(path: str) -> None:
    """Give ourselves the right to write in all folders below `path`."""
    for where, below, _ in walk(path):
        for name in below:
            with contextlib.suppress(OSError):
                if identity(os.path.join(where, name)):
                    os.chmod(os.path.join(where, name), 0o755)


def fingerprint(path: str, skip: tuple[str, ...] = (), seed: str = "") -> str:
    """Return a digest of a folder and everything below it, and of the seed.

    It differs if anything was written, made, linked or given other permissions; nobody can set the time of such a
    change back. What the files `skip` at the top of the folder hold does not count. The digest is empty if there is no
    folder, or if the folder is too deep to be looked through.
    """
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
    return hashlib.sha1((seed + repr(sorted(seen))).encode(errors="surrogateescape")).hexdigest()


def entries(top: str) -> Iterator[tuple[str, os.DirEntry[str]]]:
    """Yield (path, entry) of everything below a folder.

    No link is followed, and nothing called .git is walked through. A folder without permission gets it. Raises OSError
    for a folder that cannot be read.
    """
    waiting = [""]
    while waiting:
        path = waiting.pop()
        found = listed(os.path.join(top, path))
        for entry in () if os.path.basename(path.rstrip("/")) == ".git" else found:
            yield path + entry.name, entry
            if entry.is_dir(follow_symlinks=False):
                waiting.append(path + entry.name + "/")


def listed(path: str) -> list[os.DirEntry[str]]:
    """List the entries of a folder; a folder without permission gets it."""
    with contextlib.suppress(PermissionError), os.scandir(path) as found:
        return list(found)
    os.chmod(path, 0o700)
    with os.scandir(path) as found:
        return list(found)


def beside(path: str, mark: str) -> list[str]:
    """List what lies beside a path, or its remains, and whose name begins with its name and a mark.

    Unlike `glob`, this keeps nothing: that remembers a compiled pattern for each of the last 32,768 paths.
    """
    folder, name = os.path.split(path)
    return [entry.path for entry in listed(folder) if entry.name.startswith(name + mark)]


def claim(path: str) -> int | None:
    """Lock a folder, which is made if it does not exist, and return a descriptor that holds the lock.

    Returns None if somebody else holds the lock, or has just removed the folder. The lock is held until the descriptor
    is closed.
    """
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


def read(file: BinaryIO, most: int) -> bytes:
    """Read what is left of a file, up to `most` bytes; Python gets room for all that is asked for before it reads."""
    return file.read(max(0, min(most, os.fstat(file.fileno()).st_size - file.tell())))


def opened(path: str, at: int | None = None) -> BinaryIO:
    """Open a plain file to read it, below the folder that is open as `at` if there is one.

    Raises OSError for anything else: others can put a link, a device or a FIFO in the place of a file, and whoever opens
    that may read what was not meant, or wait without end.
    """
    return open(modes.plain(path, os.O_RDONLY | os.O_CLOEXEC, at), "rb")


def content(path: str, limit: int = 1 << 20) -> bytes | None:
    """Return the content of a plain file, or None if there is none or it has more than `limit` bytes."""
    with contextlib.suppress(OSError), opened(path) as file:
        return read(file, limit) if os.fstat(file.fileno()).st_size <= limit else None
    return None


def piece(path: str, begin: int, most: int) -> bytes:
    """Return up to `most` bytes of a plain file from the byte `begin` on; none if there is no such file."""
    with contextlib.suppress(OSError), opened(path) as file:
        file.seek(begin)
        return read(file, most)
    return b""


def size(path: str) -> int:
    """Return the size of a plain file; 0 if there is none."""
    with contextlib.suppress(OSError):
        found = os.lstat(path)
        return found.st_size if stat.S_ISREG(found.st_mode) else 0
    return 0


def make_way(path: str) -> None:
    """Remove what is at `path`, unless it is a plain file, so that one can be written there."""
    with contextlib.suppress(FileNotFoundError):
        if not stat.S_ISREG(os.lstat(path).st_mode):
            remove(path)


def put(path: str, text: str) -> None:
    """Write a plain file, whatever somebody else has put in its place."""
    make_way(path)
    modes.write(path, text)
