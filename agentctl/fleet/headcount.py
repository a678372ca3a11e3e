"""How many agents a fleet has, and their names: it feeds `core.tasks.scale`, and tells of changes."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable

from agentctl.core.notices import Scaled, Told
from agentctl.core.tasks import scale
from agentctl.errors import AgentctlError
from agentctl.git.repository import Hub
from agentctl.hub import policy_file
from agentctl.hub import scale as hub_scale


class Headcount:
    def __init__(self, hub: Hub, asked: int | None, policy: int, tell: Callable[[Told], None]) -> None:
        """Begin with as many agents as the run was `asked` for, or as the policy says."""
        self.hub, self.asked, self.tell = hub, asked, tell
        self.size = asked or policy
        self._begun, self._tip, self._policy = time.time(), "", policy
        """`_policy` is the count of the policy at `_tip`."""
        self._written = 0
        """How many agents other commands see."""
        self.ever = set(self.names)
        """All agents that the fleet has had."""

    @property
    def names(self) -> list[str]:
        return [f"{self.hub.place}-{n}" for n in range(1, self.size + 1)]

    def follow(self, tip: str) -> int:
        """Take the number that was said last, and return it; `tip` is that of trunk."""
        if not self._tip or not policy_file.same_policy(self.hub, tip, self._tip):
            # As long as trunk's policy cannot be read, its count stays.
            with contextlib.suppress(AgentctlError):
                self._policy = policy_file.read_policy(self.hub, tip).agents.count
        self._tip = tip
        size = scale.agents(hub_scale.read(self.hub), self.asked, self._begun, self._policy)
        if size != self.size:
            self.tell(Scaled(size, self.size))
        if size != self._written:
            hub_scale.tell_working(self.hub, size)
        self.size = self._written = size
        self.ever.update(self.names)
        return size
