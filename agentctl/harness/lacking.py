"""What keeps a cluster from running anything, told once each time that it changes."""

from __future__ import annotations

from collections.abc import Callable

from agentctl.core.notices import NoRoom, Told


class Lacking:
    def __init__(self, tell: Callable[[Told], None]) -> None:
        self._tell, self.told = tell, ""

    def look(self, *reasons: str) -> str:
        """Take what gates and sessions lack, empty where they lack nothing; return the first of them."""
        found = next(filter(None, reasons), "")
        if found and found != self.told:
            self._tell(NoRoom(found))
        self.told = found
        return found
