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


def log_of_task(hub: Hub, task: str) -> str:
    """Return the path of the output of the newest session of a task that ran here; "" if there is none."""
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
        generations = [int(name) for name in os.listdir(hub.own_path("sessions", task)) if name.isdecimal()]
        return hub.own_path("sessions", task, str(max(generations)), "output.log") if generations else ""
    return ""


def link_log(hub: Hub, agent: str, target: str) -> None:
    link = _link(hub, agent)
    folders.remove(link)
    os.symlink(target, link)
