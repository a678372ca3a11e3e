"""How tasks are put aside, and sessions ended, by somebody who does not run them."""

from __future__ import annotations

from collections.abc import Collection

from agentctl.core.tasks.task import FINISHED, Status, Task
from agentctl.core.text.json_form import replace
from agentctl.engine.local import LOCAL
from agentctl.engine.locks import holder
from agentctl.errors import NotFound, Refused
from agentctl.git.repository import Hub
from agentctl.hub import tasks


def put_aside(hub: Hub, statuses: dict[str, Status], names: Collection[str], reason: str) -> dict[str, str]:
    """Park tasks, all or none, and ask the sessions that work on them to end; return their agents by task.

    The tasks are parked first, or a fleet would offer them again. It ends a session of a parked task by itself, too: one
    that has only a claim yet is not found as a process.
    """

    def parked(task: Task) -> Task:
        where = statuses.get(task.id)
        if where in FINISHED:
            raise Refused(f"it is {where} already", hint=f"agentctl task show {task.id}")
        return replace(task, closed="parked", reason=reason)

    tasks.change_all(hub, names, f"parked: {reason}", parked)
    working = {name: claim.agent for name, (claim, _) in tasks.survey(hub).claims.items() if name in names}
    for agent in working.values():
        LOCAL.stop(session_mark(hub, agent))
    return working


def stop(hub: Hub, name: str) -> tuple[str, str]:
    """End the session of an agent, named by itself or by its task; return (agent, its task or "").

    The task is parked, unless it is closed already. Raises NotFound if no such session runs here.
    """
    claims = {task: claim.agent for task, (claim, _) in tasks.survey(hub).claims.items()}
    agent = name if name in claims.values() else claims.get(name, name)
    task = next((task for task, other in claims.items() if other == agent), "")
    runs = holder(hub.own_path("locks", "agents", f"{agent}.lock")) is not None
    if task and runs:
        reason = "stopped by hand"
        tasks.change(hub, task, f"parked: {reason}", lambda t: t if t.closed else replace(t, closed="parked", reason=reason))
    if not (LOCAL.stop(session_mark(hub, agent)) or task and runs):
        elsewhere = f"agentctl task park {task}" if task else "agentctl ps"
        raise NotFound(f"agent {agent!r} runs no session here", hint=elsewhere)
    return agent, task if runs else ""


def session_mark(hub: Hub, agent: str) -> str:
    """Return the prefix of the marks of the processes of an agent's sessions."""
    return f"{hub.mark}session/{agent}/"
