"""The right to supersede, withdraw or bump a queued change.

The agent that submitted the change has it, and so has the agent that works on its task now, or did so last. A person at
the command line acts in the name of the change's own agent.
"""

from __future__ import annotations

from agentctl.core.queue.records import Record
from agentctl.errors import AgentctlError
from agentctl.git.repository import Hub
from agentctl.hub import tasks


def allows(hub: Hub, agent: str, queued: Record) -> bool:
    """Tell whether an agent may supersede, withdraw or bump a queued change."""
    return agent == queued.change.agent or bool(queued.change.task and agent == _heir(hub, queued.change.task))


def _heir(hub: Hub, task: str) -> str:
    """Return the agent that has a task now, or had it last: a claim ends as soon as its session has submitted."""
    held = tasks.held(hub, task)
    if held:
        return held.agent
    try:
        sessions = tasks.get(hub, task).sessions
    except AgentctlError:
        return ""
    return sessions[-1].agent if sessions else ""


def taken(hub: Hub, agent: str, change: str) -> str:
    """Return why an agent may not submit `change`, which is the name of a task that another one works on; else empty."""
    held = tasks.held(hub, change)
    return f"{change} is the change of a task that {held.agent} works on" if held and held.agent != agent else ""


def refusal(agent: str, queued: Record) -> str:
    return (
        f"{queued.key} is queued for {queued.change.agent}; {agent} neither submitted it nor has the claim of its "
        "task, and so may not replace, withdraw or bump it"
    )
