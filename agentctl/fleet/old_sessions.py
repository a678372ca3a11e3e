"""The folders of sessions that are over go when they are many (see `core.tasks.old_sessions`)."""

from __future__ import annotations

import contextlib
import os
import time

from agentctl.core import refnames
from agentctl.core.tasks.old_sessions import superfluous
from agentctl.git import folders
from agentctl.git.repository import Hub

EVERY = 3600.0
"""Seconds between two looks."""
AT_A_TIME, SOON = 1000, 60.0
"""The most folders that go at one look, and the seconds until the next one if more are to go."""


class OldSessions:
    def __init__(self, hub: Hub) -> None:
        self._hub, self._next = hub, 0.0

    def turn(self) -> None:
        """Remove the folders that are to go, if it is time to look."""
        if time.monotonic() >= self._next:
            more = remove(self._hub)
            self._next = time.monotonic() + (SOON if more else EVERY)


def remove(hub: Hub) -> bool:
    """Remove the folders that are to go, so many at a time; tell whether more are left."""
    top = hub.own_path("sessions")
    found = {task: [int(name) for name in _listed(os.path.join(top, task)) if name.isdecimal()] for task in _listed(top)}
    listed = {ref.rpartition("/")[2] for ref in hub.refs.names([refnames.TASKS, refnames.CLAIMS]).oids}

    def folder(task: str, number: int) -> str:
        return os.path.join(top, task, str(number))

    def when(task: str, number: int) -> float:
        for path in (os.path.join(folder(task, number), "output.log"), folder(task, number)):
            with contextlib.suppress(OSError):
                return os.lstat(path).st_mtime
        return 0.0

    going = superfluous(found, listed, when, time.time())
    for task, number in going[:AT_A_TIME]:
        # What somebody else has put there may resist; it is tried again.
        with contextlib.suppress(OSError):
            folders.remove(folder(task, number))
        with contextlib.suppress(OSError):
            os.rmdir(os.path.join(top, task))
    return len(going) > AT_A_TIME


def _listed(path: str) -> list[str]:
    """List a folder; nothing if there is none, or a link."""
    with contextlib.suppress(OSError):
        return os.listdir(path) if folders.identity(path) else []
    return []
