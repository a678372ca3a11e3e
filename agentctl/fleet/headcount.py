"""How many agents a fleet has, and their names: it feeds `core.tasks.scale`, and tells of changes."""

from __future__ import annotations

import time
from collections.abc import Callable

from agentctl.core.notices import Scaled, Told
from agentctl.core.tasks import scale
from agentctl.git.repository import Hub
from agentctl.hub import scale as hub_scale


class Headcount:
    def __init__(self, hub: Hub, asked: int | None, policy: int, tell: Callable[[Told], None]) -> None:
        """Begin with as many agents as the run was `asked` for, or as the policy says."""
        self.hub, self.asked, self.tell = hub, asked, tell
        self.size = asked or policy
        self._begun, self._written = time.time(), 0
        """`_written` is how many agents other commands see."""
        self.ever = set(self.names)
        """All agents that the fleet has had."""

    @property
    def names(self) -> list[str]:
        return [f"{self.hub.place}-{n}" for n in range(1, self.size + 1)]

    def follow(self, policy: int) -> int:
        """Take the number that was said last, and return it; `policy` is that of the policy."""
        size = scale.agents(hub_scale.read(self.hub), self.asked, self._begun, policy)
        if size != self.size:
            self.tell(Scaled(size, self.size))
        if size != self._written:
            hub_scale.tell_working(self.hub, size)
        self.size = self._written = size
        self.ever.update(self.names)
        return size
