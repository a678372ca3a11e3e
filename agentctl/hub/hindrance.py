"""What holds up the bot or the fleet of this repository, written down for commands in other terminals.

It is a file of the process that runs them, and says nothing once that process has ended.
"""

from __future__ import annotations

import contextlib
import os

import msgspec

from agentctl.core.text.json_form import Plain, Struct, dump, load
from agentctl.engine import owner
from agentctl.git import folders, modes
from agentctl.git.repository import Hub

LONGEST = 1 << 16
"""The most bytes of the file."""


class Told(Struct, frozen=True):
    owner: Plain
    lines: tuple[str, ...]


class Hindrance:
    def __init__(self, hub: Hub) -> None:
        self._path, self._lines = _path(hub), tuple[str, ...]()

    def tell(self, *lines: str) -> None:
        """Write down what holds this process up; empty lines count for nothing."""
        lines = tuple(filter(None, lines))
        if lines != self._lines:
            self._lines = lines
            modes.write(self._path, dump(Told(owner.identity(), lines)).decode())

    def close(self) -> None:
        if self._lines:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self._path)


def read(hub: Hub) -> tuple[str, ...]:
    """Return what holds up a process that runs here, a line each."""
    with contextlib.suppress(msgspec.MsgspecError, ValueError):
        told = load(Told, folders.content(_path(hub), LONGEST) or b"")
        return told.lines if owner.alive(told.owner) else ()
    return ()


def _path(hub: Hub) -> str:
    return hub.own_path("hindrance.json")
