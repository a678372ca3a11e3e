"""FIFOs in a folder that Git looks at, in the place of files that Git itself opens and reads there.

Git opens whatever has the name of such a file, and a FIFO holds it until somebody writes into it, which may be never. A folder can be
given one at any moment, so none is looked for in advance: a Git that takes long tells that there may be one.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator

from agentctl.git import folders

NAMES = frozenset((".gitattributes", ".gitignore", ".gitmodules"))
REPOSITORY = ".git"
"""The name of folders in which Git may open anything: to find out whether it is a repository, and where its HEAD is."""


POINTERS = {REPOSITORY: b"gitdir: ", "commondir": b""}
"""The files that name a folder in which Git goes on, and what their text begins with."""


def clear(top: str) -> None:
    """Remove the FIFOs below `top` that may hold Git. Nothing of what was written is lost: a FIFO holds nothing."""
    for path in _found(os.path.realpath(top)):
        remove(path)


def _found(top: str) -> Iterator[str]:
    """Yield the path of each FIFO with one of the names, or in a repository.

    Links are followed only where Git does: in a repository, or to one. What is outside `top`, or cannot be read, is left out.
    """
    waiting, seen = [(top, os.path.basename(top) == REPOSITORY)], set[str]()
    while waiting:
        where, inside = waiting.pop()
        if inside and (where in seen or not f"{where}/".startswith(f"{top}/")):
            continue
        seen.update([where] if inside else [])
        try:
            with os.scandir(where) as listed:
                entries = list(listed)
        except OSError:
            # A link may lead to a FIFO itself.
            yield from [where] if inside else []
            continue
        for entry in entries:
            within = inside or entry.name == REPOSITORY
            with contextlib.suppress(OSError):
                if entry.is_dir(follow_symlinks=False):
                    waiting.append((entry.path, within))
                elif entry.is_symlink():
                    waiting += [(os.path.realpath(entry.path), True)] if within else []
                elif entry.is_file(follow_symlinks=False):
                    waiting += [(path, True) for path in _named(where, entry.name)] if within else []
                elif (within or entry.name in NAMES) and stat.S_ISFIFO(entry.stat(follow_symlinks=False).st_mode):
                    yield entry.path


def _named(where: str, name: str) -> Iterator[str]:
    """Yield the folder that a file names if it is one of POINTERS."""
    said = folders.content(os.path.join(where, name)) if name in POINTERS else None
    if said and said.startswith(begin := POINTERS[name]):
        yield os.path.realpath(os.path.join(where, os.fsdecode(said.removeprefix(begin).rstrip(b"\r\n"))))


def remove(path: str) -> None:
    """Remove what is at `path` if it is a FIFO; whoever waits for it finds it empty, and goes on."""
    with contextlib.suppress(OSError):
        if stat.S_ISFIFO(os.lstat(path).st_mode):
            # This is a reader and a writer at once, so it does not wait, and nobody else does any longer.
            handle = os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
            try:
                if stat.S_ISFIFO(os.fstat(handle).st_mode) and os.path.samestat(os.fstat(handle), os.lstat(path)):
                    os.unlink(path)
            finally:
                os.close(handle)
