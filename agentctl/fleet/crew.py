"""Who works in a fleet: how many agents, and the program of each role."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from agentctl.core.policy import roles
from agentctl.core.policy.policy import Agents

RUNS_OTHERS = re.compile(r"(?:ba|da|z)?sh|env|nice|timeout|python[\d.]*|node|ruby|perl|uv|npx")
"""Programs that say nothing of what they run: two agents that begin with such a one may have nothing in common."""
LONGEST = 80


@dataclass(frozen=True)
class Program:
    """How agents of a role are called."""

    settings: Agents
    argv: tuple[str, ...]
    stdin: bool

    @property
    def name(self) -> str:
        """What the program is called: the adapter, or the command; of one that runs whatever it is given, with that."""
        if self.settings.adapter != "command":
            return self.settings.adapter
        first = os.path.basename(self.argv[0])
        return " ".join((first, *self.argv[1:]))[:LONGEST] if RUNS_OTHERS.fullmatch(first) else first


@dataclass(frozen=True)
class Crew:
    """How many agents work, and how their program is called."""

    agents: int | None
    """None: as many as the policy in force says."""
    argv: tuple[str, ...]
    stdin: bool
    roles: Mapping[str, Program] = field(default_factory=dict)
    """How the program of a role is called, for roles that are not as all others."""

    def program(self, role: str, settings: Agents) -> Program:
        """Return how agents of a role are called; `settings` are those for all roles."""
        return self.roles.get(roles.named(role)) or Program(settings, self.argv, self.stdin)

    def programs(self, settings: Agents) -> dict[str, str]:
        """Return what the program of each role is called, by the role; that of all others is that of ""."""
        own = {role: program.name for role, program in self.roles.items()}
        return own | {"": Program(settings, self.argv, self.stdin).name}
