"""Replacing a file, whole or not at all."""

from __future__ import annotations

import os
from contextlib import suppress


def replace(path: str, text: str, mode: int = 0o666) -> None:
    """Replace the file `path` by one with `text`, by a rename. It gets `mode`, as far as the user's umask allows.

    The temporary file always has the same name, so that what a killed process leaves is used up by the next
    call. If two processes write the same text at once, one of them may find that the other has done the rename.
    """
    beside = path + ".agentctl-new"
    with open(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), "w", errors="surrogateescape") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    with suppress(FileNotFoundError):
        os.replace(beside, path)
