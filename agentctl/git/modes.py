"""Folders and files that nobody else may look into, whatever the umask is.

These are what agentctl keeps for itself (logs, prompts, answers, locks) and the folders that gates and agents work in.
The umask itself is not changed, because gates, agents and what Git writes are subject to it too.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat

TRIES = 10
"""How often making a folder is tried when somebody else removes its empty parent."""


def folder(path: str) -> None:
    """Make a folder of mode 0700, and what is missing above it; a folder that exists is left alone."""
    for left in reversed(range(TRIES)):
        try:
            return os.mkdir(path, 0o700)
        except FileExistsError:
            return None
        except FileNotFoundError:
            if not left:
                raise
            folder(os.path.dirname(path))


def narrow(path: str) -> None:
    """Close an existing folder of ours to everybody else.

    Older versions left its mode to the umask. What a link leads to is left alone.
    """
    with contextlib.suppress(OSError):
        handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        try:
            if os.fstat(handle).st_mode & 0o077:
                os.fchmod(handle, 0o700)
        finally:
            os.close(handle)


def opener(path: str, flags: int) -> int:
    """Open a plain file for `open`; a file that is made has mode 0600.

    Raises OSError if something else is there: no link is followed, and nobody is waited for at a FIFO.
    """
    return plain(path, flags | os.O_CLOEXEC)


def plain(path: str, flags: int, at: int | None = None) -> int:
    """Open a plain file, below the folder that is open as `at` if there is one; raise OSError for anything else."""
    handle = os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK, 0o600, dir_fd=at)
    try:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise OSError(errno.EINVAL, "it is no plain file", path)
        os.set_blocking(handle, True)
    except OSError:
        os.close(handle)
        raise
    return handle


def write(path: str, text: str) -> None:
    with open(path, "w", encoding="utf-8", errors="surrogateescape", opener=opener) as file:
        file.write(text)
