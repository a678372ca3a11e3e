"""Who works in a fleet: how many agents, and the program of each role."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field

from agentctl.core.policy.policy import Agents


@dataclass(frozen=True)
class Program:
    """How agents of a role are called."""

    settings: Agents
    argv: tuple[str, ...]
    stdin: bool

    @property
    def name(self) -> str:
        """What the program is called: the adapter, or the command's own name."""
        return self.settings.adapter if self.settings.adapter != "command" else os.path.basename(self.argv[0])


@dataclass(frozen=True)
class Crew:
    """How many agents work, and how their program is called."""

    agents: int | None
    """None: as many as the policy in force says."""
    argv: tuple[str, ...]
    stdin: bool
    roles: Mapping[str, Program] = field(default_factory=dict)
    """How the program of a role is called, for roles that are not as all others."""
