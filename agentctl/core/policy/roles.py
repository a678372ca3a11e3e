"""What kinds of work agents do: most change files, some plan, some judge what others changed."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace

from agentctl.core.policy.policy import DOES, Agents, Budget, Role
from agentctl.core.policy.schema import PLANNER, REVIEWER, WORKER

BUILT_IN = {WORKER: Role(), PLANNER: Role(does=DOES[PLANNER], count=1), REVIEWER: Role(does=DOES[REVIEWER])}
"""Roles that need not be in the policy."""


def names(agents: Agents) -> tuple[str, ...]:
    return tuple(dict.fromkeys((*BUILT_IN, *agents.roles)))


def named(name: str) -> str:
    """Return what a role is called that a task names; no name means a worker."""
    return name or WORKER


def role(agents: Agents, name: str) -> Role | None:
    """Return a role as a task names it, or None."""
    name = named(name)
    return agents.roles.get(name) or BUILT_IN.get(name)


def does(agents: Agents, name: str) -> str:
    """Return what a role is for: work, plan or review; work for one that does not exist."""
    found = role(agents, name)
    return found.does if found else "work"


def budget_key(agents: Agents, name: str) -> str:
    """Return the key of the policy that limits what a session of a role may use up; `agents` are the settings for that role."""
    own = role(agents, name)
    of_role = own and own.budget == agents.budget.session != Budget()
    return f"agents.roles.{named(name)}.budget" if of_role else "agents.budget.session"


def settings(agents: Agents, role: Role) -> Agents:
    """Return the settings of agents as they are for a role: what it does not say is as for all."""
    own = role.adapter or role.command
    return replace(
        agents,
        adapter=(role.adapter or "command") if own else agents.adapter,
        command=role.command if own else agents.command,
        model=role.model or ("" if own else agents.model),
        env=agents.env | role.env,
        budget=replace(agents.budget, session=role.budget) if role.budget != Budget() else agents.budget,
    )


def room(agents: Agents, asked: Collection[str], running: Mapping[str, int]) -> list[tuple[frozenset[str], int]]:
    """Return how many more sessions of each role may start, where that is limited; none of a role that does not exist.

    `asked` are the roles as tasks name them, and `running` how many sessions of each role run, by what the role is called.
    """
    found = []
    for name in dict.fromkeys(map(named, asked)):
        limit = role(agents, name)
        if limit is None or limit.count:
            own = frozenset(one for one in asked if named(one) == name)
            found.append((own, max(0, limit.count - running.get(name, 0)) if limit else 0))
    return found
