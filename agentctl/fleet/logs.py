"""The place of the output of sessions."""

from __future__ import annotations

import contextlib
import os

from agentctl.git import folders
from agentctl.git.repository import Hub


def log_of(hub: Hub, agent: str) -> str:
    """Return the path of the output of an agent's newest session."""
    link = _link(hub, agent)
    with contextlib.suppress(OSError):
        return os.path.join(os.path.dirname(link), os.readlink(link))
    return link


def _link(hub: Hub, agent: str) -> str:
    return hub.own_path("logs", "agents", f"{agent}.log")


def log_of_task(hub: Hub, task: str, generation: int | None = None) -> str:
    """Return the path of the output of a session of a task that ran here, by default the newest; "" if there is none."""
    found = sessions_of_task(hub, task)
    number = max(found, default=None) if generation is None else generation
    return hub.own_path("sessions", task, str(number), "output.log") if number in found else ""


def sessions_of_task(hub: Hub, task: str) -> list[int]:
    """Return the generations of a task whose sessions ran here."""
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
        return sorted(int(name) for name in os.listdir(hub.own_path("sessions", task)) if name.isdecimal())
    return []


def link_log(hub: Hub, agent: str, target: str) -> None:
    link = _link(hub, agent)
    folders.remove(link)
    os.symlink(target, link)
