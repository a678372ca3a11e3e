"""A full disk ends no run: it goes on by itself when there is room again."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable

from agentctl.core.notices import NoRoom, Told
from agentctl.core.policy.policy import Headroom
from agentctl.core.tasks import headroom
from agentctl.core.text.json_form import replace
from agentctl.errors import is_full, told
from agentctl.fleet import machine
from agentctl.git.repository import Hub
from agentctl.hub.hindrance import Hindrance

LEAST = 1 << 20
"""Bytes: where the disk of the worktrees has less, whatever failed on this machine failed by that."""
LOOK = 5.0
"""Seconds between two looks whether there is room again."""


def explains(hub: Hub, error: BaseException) -> bool:
    """Tell whether an error says that a disk is full, or whether the disk of the worktrees is."""
    return is_full(error) or machine.seen(hub.worktrees).disk < LEAST


def wait(hub: Hub, least: Headroom, error: BaseException, tell: Callable[[Told], None]) -> None:
    """Tell of an error by a full disk, and return when the disk of the worktrees has room again."""
    how = f"{told(error)}; nothing is lost, and it goes on by itself when there is room"
    tell(NoRoom(how))
    hindrance, disk = Hindrance(hub), replace(least, memory=0, load=0.0)
    with contextlib.closing(hindrance):
        while True:
            with contextlib.suppress(OSError):
                hindrance.tell(how)
            time.sleep(LOOK)
            if not headroom.lacking(disk, machine.seen(hub.worktrees)):
                return
