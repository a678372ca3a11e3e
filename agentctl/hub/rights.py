"""The right to supersede, withdraw or bump a queued change, and who is an agent when somebody approves one.

The agent that submitted the change has that right, and so has the agent that works on its task now, or did so last. A
person at the command line acts in the name of the change's own agent, but approves in the person's own name.

The name in a ref is who asks. That keeps apart those who keep to the protocol. It is no barrier against somebody who
writes refs under the name of another one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from agentctl.core.policy import roles
from agentctl.core.queue.records import Approval, Record
from agentctl.core.tasks.task import Task
from agentctl.errors import AgentctlError
from agentctl.git import worktrees
from agentctl.git.repository import Hub
from agentctl.hub import tasks
from agentctl.hub.archive import Archive


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


@dataclass(frozen=True, slots=True)
class Agents:
    """The agents of a hub: whoever has the claim of a task, had a session of one, or has a worktree."""

    roles: Mapping[str, str]
    """The role of each agent; empty for one that has none."""
    grounds: Mapping[str, str]
    """What says of each that it is one, in words."""
    worked: Mapping[tuple[str, str], str]
    """The role of each task that an agent has now, or had a session of, by agent and task."""

    @classmethod
    def read(cls, hub: Hub) -> Agents:
        found = tasks.survey(hub)
        known = {name: ("", "it has a worktree") for name in worktrees.known(hub, "agents")}
        known |= {name: ("", "it had a session of a task in the archive") for name in Archive.if_readable(hub).agents}
        last = sorted((s.ended, s.agent, role_of(task), task.id) for task in found.tasks.values() for s in task.sessions)
        known |= {agent: (role, f"it had a session of task {task}") for _, agent, role, task in last}
        known |= {
            claim.agent: (role_of(found.tasks[name]), f"it has the claim of task {name}")
            for name, (claim, _) in found.claims.items()
        }
        worked = {(agent, task): role for _, agent, role, task in last}
        worked |= {(claim.agent, name): role_of(found.tasks[name]) for name, (claim, _) in found.claims.items()}
        roles, grounds = ({name: one[n] for name, one in known.items()} for n in range(2))
        return cls(roles, grounds, worked)

    def approval(self, name: str, now: float, task: str = "") -> Approval:
        """Return the approval of an agent or a person of that name.

        An agent has the role of the `task` in whose session it says so: by the time that the bot hears of it, it may work on
        another one. If it names none of its own, it has that of the task that it has claimed, or else of its last session.
        """
        role = self.worked.get((name, task), self.roles.get(name, ""))
        return Approval(name, now, person=name not in self.roles, role=role)


def role_of(task: Task) -> str:
    """Return the role of the agents that work on a task."""
    return roles.named(task.role)
