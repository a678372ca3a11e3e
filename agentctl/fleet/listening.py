"""Listening to an agent's program: what it prints is read as it comes, and what it told stands in a file for others to see."""

from __future__ import annotations

import contextlib
import os
import time

from agentctl.core.queue.spending import Spent
from agentctl.core.tasks import stream
from agentctl.core.tasks.stream import Heard, Reader
from agentctl.core.text.json_form import dump, load, replace
from agentctl.git import folders

PIECE = 1 << 20
"""The most bytes that are read at a time."""
FILE = "spent.json"
"""The file beside a session's output that says what the session has used up so far."""


class Listener:
    def __init__(self, log: str, reader: Reader) -> None:
        self.heard = Heard()
        self._log, self._reader = log, reader
        # What is there already is of the set-up command.
        self._read = folders.size(log)
        self._rest = b""
        self._begun = time.time()

    @property
    def spent(self) -> Spent:
        return replace(self.heard.spent, seconds=round(time.time() - self._begun, 3))

    def listen(self) -> Heard:
        """Read what is new, up to the last whole line, and return what is known then."""
        before = self.heard.spent
        while piece := folders.piece(self._log, self._read, PIECE):
            self._read += len(piece)
            *lines, rest = (self._rest + piece).split(b"\n")
            # A line without end is no event.
            self._rest = rest if len(rest) <= stream.LONGEST else b" " * (stream.LONGEST + 1)
            now = time.time()
            for line in lines:
                self.heard = stream.hear(self.heard, line, self._reader, now)
        if self.heard.spent != before:
            told = os.path.join(os.path.dirname(self._log), FILE)
            # What a session does to its own files is its own affair.
            with contextlib.suppress(OSError):
                folders.put(told, dump(self.heard.spent).decode())
        return self.heard


def spent_so_far(log: str) -> Spent:
    """Return what the session used up whose output is `log`, as far as it told, and the seconds until it wrote last."""
    folder, spent = os.path.dirname(log), Spent()
    with contextlib.suppress(ValueError):
        told = load(Spent, folders.content(os.path.join(folder, FILE)) or b"")
        spent = told if told.is_sane else spent
    with contextlib.suppress(OSError):
        seconds = os.stat(log).st_mtime - os.stat(os.path.join(folder, "prompt.md")).st_mtime
        spent = replace(spent, seconds=round(max(0.0, seconds), 3))
    return spent
