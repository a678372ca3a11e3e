"""What holds up the bot or the fleet of this repository, written down for commands in other terminals."""

from __future__ import annotations

import contextlib
import os

from agentctl.git.repository import Hub
from agentctl.hub import process_file


class Hindrance:
    def __init__(self, hub: Hub) -> None:
        self._path, self._lines = _path(hub), tuple[str, ...]()

    def tell(self, *lines: str) -> None:
        """Write down what holds this process up; empty lines count for nothing."""
        lines = tuple(filter(None, lines))
        if lines != self._lines:
            process_file.write(self._path, lines)
            self._lines = lines

    def close(self) -> None:
        if self._lines:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self._path)


def read(hub: Hub) -> tuple[str, ...]:
    """Return what holds up a process that runs here, a line each."""
    return process_file.read(_path(hub), tuple[str, ...]) or ()


def _path(hub: Hub) -> str:
    return hub.own_path("hindrance.json")
