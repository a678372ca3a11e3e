"""Who calls: a person, or an agent in its session. That speaks for itself and for what it has planned, and for nobody else.

A session is told by its environment, so this is a rule for agents that are mistaken, or do what a prompt told them; what an
agent can do to files of its user it can do anyhow.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable

from agentctl.core.tasks.task import Task
from agentctl.errors import Malformed, NotFound, Refused
from agentctl.fleet import session_folder
from agentctl.git.repository import Hub
from agentctl.hub import tasks


def is_one(hub: Hub) -> bool:
    """Tell whether this is called in a session of this hub."""
    where = os.environ.get("AGENTCTL_HUB", "")
    return bool(where and os.environ.get(session_folder.VARIABLE)) and os.path.realpath(where) == os.path.realpath(hub.git_dir)


def own_task(hub: Hub) -> Task | None:
    """Return the task in whose session this is called, or None."""
    with contextlib.suppress(NotFound, Malformed):
        if is_one(hub):
            return tasks.get(hub, os.environ.get("AGENTCTL_TASK", ""))
    return None


def refuse(hub: Hub, names: Iterable[str] = (), own: bool = True) -> None:
    """Raise Refused in a session.

    Tasks called `names` are an exception, if the session's task has planned all of them, or is one itself; with `own`
    False that one is none.
    """
    if not is_one(hub):
        return
    asked = list(names)
    if not asked or any(not _below(hub, name, own) for name in asked):
        raise Refused(
            "an agent does not do this in its session: it works on its own task, and no more",
            hint="if a person has to, agentctl task block 'REASON'",
        )


def _below(hub: Hub, name: str, own: bool) -> bool:
    """Tell whether a task was planned by the session's own, or is that itself, which counts if `own` says so."""
    mine, seen = os.environ.get("AGENTCTL_TASK", ""), set[str]()
    if name == mine and not own:
        return False
    while name and name not in seen:
        if name == mine:
            return True
        seen.add(name)
        try:
            name = tasks.get(hub, name).parent
        except (Malformed, NotFound):
            return False
    return False
