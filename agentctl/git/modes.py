"""Folders and files that nobody else may look into, whatever the umask.

What agentctl keeps for itself (logs, prompts, answers, locks) and the folders that gates and
agents work in. The umask itself is left as it is: it is that of the gates and agents, too, and
of what Git writes.
"""

from __future__ import annotations

import contextlib
import os

TRIES = 10
"""How often a folder is made whose parent somebody else removes, for it is empty."""


def folder(path: str) -> None:
    """Make a folder, and what is missing above it, of mode 0700. One that is there is left alone."""
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
    """Close a folder of ours that is there to everybody else: older versions left it to the umask.
    What a link leads to is left alone."""
    with contextlib.suppress(OSError):
        handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        try:
            if os.fstat(handle).st_mode & 0o077:
                os.fchmod(handle, 0o700)
        finally:
            os.close(handle)


def opener(path: str, flags: int) -> int:
    """For `open`: a file that is made is of mode 0600."""
    return os.open(path, flags, 0o600)


def write(path: str, text: str) -> None:
    with open(path, "w", encoding="utf-8", errors="surrogateescape", opener=opener) as file:
        file.write(text)
