"""Refs as Git keeps them, in files of their own and in packed-refs, read without Git.

Git is not asked, because a Git that meets a FIFO never ends, a Git that meets a link follows it, and one broken ref
ends it.
"""

from __future__ import annotations

import contextlib
import os
import re
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from agentctl.core.text.printable import printable

LINKS = 5
"""How many symbolic refs are followed one after the other."""
_OID = re.compile(r"[0-9a-f]{40}")
PLAIN = re.compile(r"refs/(?!.*\.\.)[\w./+-]+")
_ALLOWED = re.compile(r"refs/(?!.*(?:\.\.|//|@\{|/\.|\.lock(?:/|$)|[./]$))[^\x00-\x20\x7f~^:?*\[\\]+", re.DOTALL)
"""The names that refs may have, by git-check-ref-format(1)."""
_PACKED = rb"^([0-9a-f]{40}) (%s(?:/[^\n]*)?)$"


@dataclass(frozen=True, slots=True)
class Names:
    """Refs as their files say; no object is looked at."""

    oids: dict[str, str] = field(default_factory=dict)
    odd: dict[str, str] = field(default_factory=dict)
    """What stands where a ref may be but is not a ref: its path below the Git directory, and the reason."""


def names(git_dir: str, prefixes: Iterable[str]) -> Names:
    """Return the refs at or under `prefixes`.

    The files of single refs are read before packed-refs. Git writes packed-refs before it removes the files of the
    refs that it packed, and it deletes a ref from packed-refs before it removes the file of the ref.
    """
    found = Names()
    for prefix in prefixes:
        _walk(git_dir, prefix, found)
        for oid, name in packed_lines(git_dir, prefix.rstrip("/").encode()):
            if under(name, prefix) and name not in found.odd:
                found.oids.setdefault(name, oid)
    return found


def under(name: str, prefix: str) -> bool:
    """Tell whether a ref is at or under a prefix."""
    return name == prefix or name.startswith(prefix if prefix.endswith("/") else prefix + "/")


def _walk(git_dir: str, prefix: str, found: Names) -> None:
    first = prefix.rstrip("/")
    try:
        mode = os.lstat(os.path.join(git_dir, first)).st_mode
    except (FileNotFoundError, NotADirectoryError):
        return
    if not stat.S_ISDIR(mode):
        if under(first, prefix):
            _take(git_dir, first, found)
        return
    folders = [first]
    while folders:
        folder = folders.pop()
        try:
            with os.scandir(os.path.join(git_dir, folder)) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        folders.append(f"{folder}/{entry.name}")
                    elif not entry.name.endswith(".lock") and not entry.name.startswith("."):
                        _take(git_dir, f"{folder}/{entry.name}", found)
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:
            found.odd[folder] = error.strerror or str(error)


def _take(git_dir: str, name: str, found: Names) -> None:
    try:
        found.oids[name] = loose(git_dir, name)
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        # It was deleted while we looked.
        pass
    except Odd as error:
        found.odd[name] = str(error)


class Odd(Exception):
    """The reason why a file is not a ref."""


def loose(git_dir: str, name: str, links: int = LINKS) -> str:
    if not _ALLOWED.fullmatch(name):
        raise Odd("Git gives no ref such a name")
    text = _text(os.path.join(git_dir, name))
    if text.startswith("ref: ") and links:
        target = text.removeprefix("ref: ").strip()
        with contextlib.suppress(FileNotFoundError, IsADirectoryError, NotADirectoryError):
            return loose(git_dir, target, links - 1)
        if found := packed(git_dir, target):
            return found
        raise Odd(f"it stands for {printable(target)}, which there is not")
    if not _OID.fullmatch(text):
        raise Odd("it is empty" if not text else "it holds no object id")
    return text


def _text(path: str) -> str:
    """Return the text of a small file that is not a link, and never wait for somebody to write it."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW)
    except (FileNotFoundError, NotADirectoryError):
        raise
    except OSError as error:
        raise Odd(
            f"it is a link to {printable(os.readlink(path))}" if os.path.islink(path) else error.strerror or str(error)
        ) from None
    try:
        mode = os.fstat(handle).st_mode
        if stat.S_ISDIR(mode):
            raise IsADirectoryError(path)
        if not stat.S_ISREG(mode):
            raise Odd("it is not a file but a FIFO, a socket or a device")
        return os.read(handle, 4096).decode(errors="replace").strip()
    finally:
        os.close(handle)


def at(git_dir: str, name: str) -> str | None:
    """Return what one ref holds, or None; what cannot be read counts as nothing."""
    try:
        return loose(git_dir, name)
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError, Odd):
        return packed(git_dir, name)


def packed(git_dir: str, name: str) -> str | None:
    """Return what packed-refs says of one ref, or None."""
    return next((oid for oid, found in packed_lines(git_dir, name.encode(errors="surrogateescape")) if found == name), None)


def packed_lines(git_dir: str, prefix: bytes) -> Iterator[tuple[str, str]]:
    """Yield (object id, name) of each line of packed-refs at or under a prefix."""
    try:
        with open(os.open(os.path.join(git_dir, "packed-refs"), os.O_RDONLY | os.O_NONBLOCK), "rb") as file:
            data = file.read() if stat.S_ISREG(os.fstat(file.fileno()).st_mode) else b""
    except FileNotFoundError:
        return
    for line in re.finditer(_PACKED % re.escape(prefix), data, re.MULTILINE):
        yield line[1].decode(), os.fsdecode(line[2])
