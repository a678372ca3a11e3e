"""Files that are written whole or not at all."""

from __future__ import annotations

import os
from contextlib import suppress


def replace(path: str, text: str, mode: int = 0o666) -> None:
    """Put `text` where `path` is, by a rename; `mode` as far as the user's umask allows.

    The file beside it has always the same name, so that whoever is killed here leaves nothing that doing
    it again does not use up. Of two who write the same text at once, one may find the work done.
    """
    beside = path + ".agentctl-new"
    with open(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), "w", errors="surrogateescape") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    with suppress(FileNotFoundError):
        os.replace(beside, path)
