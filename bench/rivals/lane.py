"""A lane of entries in order, each built on trunk with all entries ahead of it.

Serial, GitHub's merge groups, Zuul and the batches of four are all such lanes. They differ in how many changes are in
an entry, how many entries are built at a time, when a failed entry is left out of the builds behind it, and what
becomes of an entry that fails at the head.
"""

from __future__ import annotations

from typing import Any

from agentctl.core.queue.model import Plan, Verdict, View
from bench.rivals.desk import Chain, Desk


class Lane:
    size = 1
    """The most changes in an entry."""
    skips_failing = False
    """Whether entries behind a failing one are rebuilt without it at once, and not only when it leaves at the head."""

    def __init__(self) -> None:
        self.desk = Desk()
        self.entries: list[Chain] = []

    def window(self, view: View) -> int:
        """Return how many entries are built at a time."""
        return view.slots

    def split(self, entry: Chain) -> list[Chain]:
        """Return the entries that replace a failed one of several changes."""
        return [(key,) for key in entry]

    def succeeded(self, count: int) -> None:
        """Note that `count` entries landed."""

    def failed(self) -> None:
        """Note that the head was rejected or split."""

    def __call__(self, view: View, limits: Any, now: float) -> Plan:
        desk = self.desk
        desk.open(view)
        if view.landed:
            self._drop(len(view.landed))
        while self.entries and desk.verdict(self.entries[0]) is Verdict.FAILED:
            head = self.entries.pop(0)
            self.failed()
            if len(head) == 1:
                desk.reject(head[0])
                desk.drop(head[0])
            else:
                desk.builds.pop(head)
                self.entries[:0] = self.split(head)
        if self._land():
            return desk.plan()
        self._fill(view)
        return desk.plan()

    def _drop(self, landed: int) -> None:
        count = 0
        while landed > 0:
            landed -= len(self.entries.pop(0))
            count += 1
        self.succeeded(count)

    def _land(self) -> bool:
        """Land the passed entries at the head; the build of the last one has all of them."""
        best: Chain | None = None
        chain: Chain = ()
        for entry in self.entries:
            chain += entry
            if self.desk.verdict(chain) is not Verdict.PASSED:
                break
            best = chain
        if best:
            self.desk.land(best)
        return best is not None

    def _fill(self, view: View) -> None:
        window = self.window(view)
        while len(self.entries) < window:
            new = self._next()
            if not new:
                break
            self.entries.append(new)
        wanted: list[Chain] = []
        ahead: Chain = ()
        for entry in self.entries[:window]:
            chain = ahead + entry
            wanted.append(chain)
            if not (self.skips_failing and self.desk.verdict(chain) is Verdict.FAILED):
                ahead = chain
        self.desk.keep(set(wanted))
        for chain in wanted:
            self.desk.start(chain)

    def _next(self) -> Chain:
        """Return the changes of a new entry."""
        return tuple(change.key for change in self.desk.untaken(self.size))
