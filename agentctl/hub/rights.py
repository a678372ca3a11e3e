"""Who may supersede, withdraw or bump a queued change: the agent that submitted it, and who works on
its task now. A person at the command line acts in the name of the change's own agent."""

from __future__ import annotations

from agentctl.core import refnames
from agentctl.core.queue.records import Record
from agentctl.core.tasks import task as tasks
from agentctl.core.tasks.task import Claim
from agentctl.errors import AgentctlError
from agentctl.git import refs
from agentctl.git.repository import Hub


def claim(hub: Hub, task: str) -> Claim | None:
    """Who works on a task. What is no claim is for the fleet to complain of: it gives no rights."""
    name = refnames.CLAIMS + task
    try:
        oid = hub.refs.get(name)
        return tasks.decode_claim(refs.describe(hub.objects, name, oid).subject) if oid else None
    except (AgentctlError, ValueError):
        return None


def allows(hub: Hub, agent: str, queued: Record) -> bool:
    """Whether an agent may change what is queued."""
    return agent == queued.change.agent or bool(queued.change.task and agent == _heir(hub, queued.change.task))


def _heir(hub: Hub, task: str) -> str:
    """Who has a task now, or had it last: a claim goes as soon as its session has submitted."""
    held = claim(hub, task)
    if held:
        return held.agent
    try:
        oid = hub.refs.get(refnames.TASKS + task)
        data = hub.objects.read(hub.objects.commit(oid).tree, "task.json") if oid else None
        sessions = tasks.decode(data).sessions if data else ()
    except (AgentctlError, ValueError):
        return ""
    return sessions[-1].agent if sessions else ""


def refusal(agent: str, queued: Record) -> str:
    return (
        f"{queued.key} is queued for {queued.change.agent}; {agent} neither submitted it nor has the claim of its "
        "task, and so may not replace, withdraw or bump it"
    )
