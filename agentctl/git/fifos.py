"""FIFOs in a folder that Git looks at, under the names of files that Git itself opens and reads there.

Git opens whatever has such a name, and a FIFO holds it until somebody writes into it, which may be never. A folder can be
given one at any moment, so none is looked for in advance: a Git that takes long tells that there may be one.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator

NAMES = frozenset((".gitattributes", ".gitignore", ".gitmodules"))


def clear(top: str) -> None:
    """Remove the FIFOs with these names below `top`. Nothing of what was written is lost: a FIFO holds nothing."""
    for path in _found(top):
        remove(path)


def _found(top: str) -> Iterator[str]:
    """Yield the path of each FIFO with one of the names. No link is followed; what cannot be read is left out."""
    waiting = [top]
    while waiting:
        with contextlib.suppress(OSError), os.scandir(waiting.pop()) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(entry.path)
                elif entry.name in NAMES and stat.S_ISFIFO(entry.stat(follow_symlinks=False).st_mode):
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
