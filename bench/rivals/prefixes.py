"""A chain of batches whose failures are cut into prefixes: Mergify's queue.

Source: docs.mergify.com, "Parallel checks", "Batches", "When a batch fails". Batches are tested K at a time, each on
those ahead of it. When the batch at the head fails it is cut into parts, as many as may be tested at once, each
tested on the parts before it. The parts ahead of the first that fails land, those after it go back to the queue, and
the failing one is cut again. The last change of the batch is not tested again: if all else passes, it is the culprit.

Simplified: the batches behind a failing one are given up while it is searched; parts are of equal size. The documents
leave the batch size to the user. Here it is the power of two up to sixteen that passes with probability 80%, near the
best of 1, 2, 4, 8 and 16 for every p.

Published figures of such a chain (K=16: 0.18, 0.49, 1.05, 1.80, 2.52, 3.32 probes a landed change at p = 0.5 to 30%)
are met at small p. At 20% and more this one costs more, because all K checks are always in use: K=4 with batches of
eight gives 3.3 at 30%.
"""

from __future__ import annotations

from typing import Any

from agentctl.core.queue.model import Plan, Verdict, View
from bench.rivals.desk import Chain
from bench.rivals.lane import Lane


def size_for(risk: float) -> int:
    size = 1
    while size < 16 and (1 - risk) ** (2 * size) >= 0.8:
        size *= 2
    return size


class Prefixes(Lane):
    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size
        self.search: Chain = ()
        """Changes that are known to fail together; the entries are parts of them."""
        self.returned: list[str] = []
        """Changes that are back in the queue, before all others."""

    def window(self, view: View) -> int:
        return len(self.entries) if self.search else view.slots

    def __call__(self, view: View, limits: Any, now: float) -> Plan:
        self.slots = view.slots
        desk = self.desk
        desk.open(view)
        if view.landed:
            self._drop(len(view.landed))
            self.search = self.search[len(view.landed) :]
        if self.search and self._narrow():
            return desk.plan()
        if not self.search and self.entries and desk.verdict(self.entries[0]) is Verdict.FAILED:
            self._cut(self.entries[0], self.entries[1:])
        if self._land():
            return desk.plan()
        self._fill(view)
        return desk.plan()

    def _narrow(self) -> bool:
        """Look at the first part of a search, and tell whether the search ended in a rejection."""
        if not self.entries:
            return self._convict(self.search[0])
        if self.desk.verdict(self.entries[0]) is not Verdict.FAILED:
            return False
        failing, behind = self.entries[0], self.search[len(self.entries[0]) :]
        self.returned[:0] = behind
        self._cut(failing, [])
        return not self.search

    def _cut(self, failing: Chain, behind: list[Chain]) -> None:
        """Search `failing`; what is `behind` it is put into new batches."""
        self.returned[:0] = [key for entry in behind for key in entry]
        self.desk.builds.pop(failing)
        if len(failing) == 1:
            self._convict(failing[0])
            return
        known, parts = failing[:-1], min(self.slots, len(failing) - 1)
        cuts = [len(known) * n // parts for n in range(parts + 1)]
        self.search = failing
        self.entries = [known[a:b] for a, b in zip(cuts, cuts[1:])]

    def _convict(self, key: str) -> bool:
        self.desk.reject(key)
        self.desk.keep(())
        self.search, self.entries = (), []
        return True

    def _next(self) -> Chain:
        back, self.returned = self.returned[: self.size], self.returned[self.size :]
        return tuple(back) + tuple(c.key for c in self.desk.untaken(self.size - len(back)))
