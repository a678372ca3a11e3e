"""Packs that keep what a process has written and no ref names yet, safe from `git gc --prune=now`.

Beside each pack lies a .keep file; Git itself does the same while it fetches.

Small writes go into one pack that grows: each time a new pack is written with all that the old one held, and the old
one is removed. So there are few packs. Loose files are not safe: a prune that began before a ref was moved deletes them
after the move.
"""

from __future__ import annotations

import contextlib
import errno
import os
import threading
from collections.abc import Mapping
from typing import BinaryIO

from agentctl.git import packs, process

FULL_BYTES, FULL_OBJECTS = 1 << 19, 2_000
"""The most that the growing pack holds, in bytes and in objects."""
FULL = 8
"""When there are more full packs than this, all are released to `git gc`."""
REPLACED = 16
"""When the growing pack has replaced more packs than this, it is synced and they are removed."""
TRIES = 10
"""How often writing a file is tried when a prune removes it meanwhile."""
_MARK = b"agentctl %d\n"
_WRITING = "writing-"
"""The prefix of the name of a pack that is not whole yet.

The pid of the process that writes it follows, so that another process can remove it after a kill. It is not called tmp_
as in Git, because Git prunes such files, and would do so while we write.
"""


class Kept:
    """The packs that one process keeps in one object folder, for use from several threads."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._lock = threading.RLock()
        self._growing = ""
        self._entries: dict[str, packs.PackEntry] = {}
        self._bytes = 0
        self._replaced: list[str] = []
        self._full: list[str] = []
        self.era = 0

    def __contains__(self, oid: str) -> bool:
        return oid in self._entries

    def read(self, oid: str) -> tuple[bytes, bytes] | None:
        """Return (kind, content) of an object in the growing pack, or None."""
        entry = self._entries.get(oid)
        return (entry.kind, entry.content()) if entry else None

    def add(self, objects: Mapping[str, tuple[bytes, bytes]], sync: bool) -> None:
        """Write objects into kept packs; `sync` makes them durable at once."""
        with self._lock:
            fresh = {oid: packs.entry(*one) for oid, one in objects.items() if oid not in self._entries}
            if not fresh:
                return
            size = sum(len(entry.data) for entry in fresh.values())
            if size > FULL_BYTES or len(fresh) > FULL_OBJECTS:
                self._full.append(self._write(fresh, sync))
                return
            if self._bytes + size > FULL_BYTES or len(self._entries) + len(fresh) > FULL_OBJECTS:
                self._settle()
                self._full.append(self._growing)
                self._growing, self._entries, self._bytes = "", {}, 0
            entries = {**self._entries, **fresh}
            made = self._write(entries, sync)
            if self._growing:
                self._replaced.append(self._growing)
            self._growing, self._entries, self._bytes = made, entries, self._bytes + size
            if len(self._replaced) > REPLACED:
                self._settle()

    def _settle(self) -> None:
        """Make the growing pack durable, and then remove the packs that it replaces.

        The order counts: one of these packs may be what made an object durable.
        """
        if self._replaced:
            self._sync(self._growing)
            self.drop(self.replaced)

    @property
    def replaced(self) -> list[str]:
        """The packs that can be removed once what is written now is durable."""
        return list(self._replaced)

    def drop(self, gone: list[str]) -> None:
        """Remove packs that were already `replaced` when everything was made durable."""
        with self._lock:
            self._replaced = [name for name in self._replaced if name not in gone]
            for name in gone:
                # The index goes first, as in Git: without its index a pack does not count.
                for end in (".idx", ".pack", ".keep"):
                    self._unlink(name + end)

    def rest(self) -> None:
        """Release the full packs if there are many; this is called when nobody is about to move a ref."""
        with self._lock:
            if len(self._full) > FULL:
                self._give_up(self._full)
                self._full = []

    def release(self) -> None:
        """Release all packs to `git gc`."""
        with self._lock:
            self._settle()
            if self._full or self._growing:
                self._give_up([*self._full, self._growing])
            self._growing, self._entries, self._bytes, self._full = "", {}, 0, []

    def _give_up(self, names: list[str]) -> None:
        self.era += 1
        for name in names:
            self._unlink(name + ".keep")

    def _write(self, entries: Mapping[str, packs.PackEntry], sync: bool) -> str:
        """Write a pack and then its index, which makes the pack count; the .keep file is written before both."""
        packed, index = packs.encode(entries)
        # The name is new even for objects that were packed together before: that pack may be about to be deleted.
        name = "pack-" + os.urandom(20).hex()
        try:
            for end, content in ((".keep", _MARK % os.getpid()), (".pack", packed), (".idx", index)):
                write(
                    os.path.join(self._folder, f"{_WRITING}{os.getpid()}-"),
                    os.path.join(self._folder, name + end),
                    content,
                    sync and end != ".keep",
                )
        except BaseException:
            for end in (".idx", ".pack", ".keep"):
                self._unlink(name + end)
            raise
        return name

    def _sync(self, name: str) -> None:
        for end in (".pack", ".idx"):
            with contextlib.suppress(FileNotFoundError), open(os.path.join(self._folder, name + end), "rb") as file:
                os.fsync(file.fileno())

    def _unlink(self, name: str) -> None:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(os.path.join(self._folder, name))


def sweep(git_dir: str) -> None:
    """Release the packs that killed processes kept, and remove what they were writing."""
    folder = os.path.join(git_dir, "objects", "pack")
    for name in os.listdir(folder) if os.path.isdir(folder) else ():
        path = os.path.join(folder, name)
        if (name.endswith(".keep") and _abandoned(path)) or (
            name.startswith(_WRITING) and process.ended(name.removeprefix(_WRITING).partition("-")[0])
        ):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)


def _abandoned(path: str) -> bool:
    try:
        with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb") as file:
            word, _, pid = file.read(64).decode(errors="replace").strip().partition(" ")
    except OSError:
        return False
    return word == "agentctl" and process.ended(pid)


def write(prefix: str, path: str, content: bytes, sync: bool) -> None:
    """Write a whole file, or none.

    The file has no name until it is whole, so that a kill leaves nothing. On a file system without such files, it has
    another name first. If a prune removes that name meanwhile, or an empty folder with it, the write is tried again.
    """
    for attempt in range(TRIES):
        try:
            os.makedirs(os.path.dirname(path), exist_ok=True)
            if not _linked(path, content, sync):
                _renamed(prefix + os.urandom(8).hex(), path, content, sync)
            return
        except FileNotFoundError:
            if attempt + 1 == TRIES:
                raise


def _linked(path: str, content: bytes, sync: bool) -> bool:
    """Write a file without a name and then link it; return False, with nothing done, if the system has no such files."""
    try:
        handle = os.open(os.path.dirname(path), os.O_TMPFILE | os.O_WRONLY, 0o444)
    except (AttributeError, OSError):
        return False
    with open(handle, "wb") as file:
        _fill(file, content, sync)
        try:
            # `src_dir_fd` makes Python call linkat(2), which follows the link, instead of link(2).
            os.link(f"/proc/self/fd/{handle}", path, src_dir_fd=handle, follow_symlinks=True)
        except FileExistsError:
            pass
        except FileNotFoundError:
            raise
        except OSError as error:
            if error.errno == errno.ENOSPC:
                raise
            return False
    return True


def _renamed(made: str, path: str, content: bytes, sync: bool) -> None:
    try:
        with open(os.open(made, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o444), "wb") as file:
            _fill(file, content, sync)
        os.rename(made, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(made)
        raise


def _fill(file: BinaryIO, content: bytes, sync: bool) -> None:
    file.write(content)
    file.flush()
    if sync:
        os.fsync(file.fileno())
