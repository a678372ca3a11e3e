"""What a turn tells, once the hub is known to have what it wrote.

At a hub on a remote the link may break before the answer to a push, and then nobody knows. If a later look finds the ledger of
that turn there, it is told then: what has landed, or was rejected, is never left untold.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable

from agentctl.core.notices import Told
from agentctl.git.repository import Hub


class Telling:
    def __init__(self, hub: Hub, tell: Callable[[Told], None]) -> None:
        self._hub, self._tell = hub, tell
        self._unsure: list[tuple[str, list[Told], float]] = []
        """The commits of the ledger of which nobody knows whether the hub has them, what they tell, and since when that is so."""

    def wrote(self, tip: str | None, new: bool, told: list[Told]) -> None:
        """Hear that this thread has written the ledger's commit `tip`, which may be the one before, and what it tells."""

        def settled(done: bool) -> None:
            if done:
                self._all(told)
            elif tip and new:
                # What is not done is undone from the last to the first.
                self._unsure.insert(0, (tip, told, time.time()))

        self._hub.refs.once_settled(settled)

    def catch_up(self, tip: str | None) -> None:
        """Tell what the hub has after all, by the ledger as of the last look, and forget what it has not."""
        unsure, self._unsure = self._unsure, []
        seen = self._hub.station.seen if self._hub.station else math.inf
        for oid, told, since in unsure:
            if tip and self._hub.holds(tip, oid):
                self._all(told)
            elif seen <= since:
                self._unsure.append((oid, told, since))

    def _all(self, told: Iterable[Told]) -> None:
        for event in told:
            self._tell(event)
