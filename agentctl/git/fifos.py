"""FIFOs in a folder that Git looks at, in the place of files that Git itself opens and reads there.

Git opens whatever has the name of such a file, and a FIFO holds it until somebody writes into it, which may be never. A folder can be
given one at any moment, so none is looked for in advance: a Git that takes long tells that there may be one.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator

NAMES = frozenset((".gitattributes", ".gitignore", ".gitmodules"))
REPOSITORY = ".git"
"""The name of folders in which Git may open anything: to find out whether it is a repository, and where its HEAD is."""


def clear(top: str) -> None:
    """Remove the FIFOs below `top` that may hold Git. Nothing of what was written is lost: a FIFO holds nothing."""
    for path in _found(top):
        remove(path)


def _found(top: str) -> Iterator[str]:
    """Yield the path of each FIFO with one of the names, or in a repository.

    No link is followed; what cannot be read is left out.
    """
    waiting = [(top, os.path.basename(top) == REPOSITORY)]
    while waiting:
        where, inside = waiting.pop()
        with contextlib.suppress(OSError), os.scandir(where) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    waiting.append((entry.path, inside or entry.name == REPOSITORY))
                elif (inside or entry.name in NAMES) and not entry.is_file(follow_symlinks=False):
                    if stat.S_ISFIFO(entry.stat(follow_symlinks=False).st_mode):
                        yield entry.path


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
