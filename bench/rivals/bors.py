"""bors-ng: one batch at a time, halved when it fails.

Source: lib/worker/batcher.ex (`get_new_batch`, `sort_batches`), batcher/divider.ex (`split_batch`, `bisect`). One
batch runs; a change that is approved joins the newest batch that waits. A failing batch of several changes is split
in two, which wait at the end with priority 0 like every other batch; a failing batch of one is rejected. Nothing is
inferred: both halves are tested, although a passing first half tells that the second fails.

Simplified: no delays, no `single` flag, no rebase on a push by others. As shipped the batch size has no limit; here
it is `MOST`, since otherwise all of a queue that is kept full would be tested at once.
"""

from __future__ import annotations

from typing import Any

from agentctl.core.queue.model import Plan, Verdict, View
from bench.rivals.desk import Chain, Desk

MOST = 256


class Bors:
    def __init__(self) -> None:
        self.desk = Desk()
        self.waiting: list[Chain] = []
        self.now: Chain = ()

    def __call__(self, view: View, limits: Any, now: float) -> Plan:
        desk = self.desk
        desk.open(view)
        self._join(tuple(change.key for change in desk.untaken(len(view.queued))))
        if view.landed:
            self.now = ()
        verdict = desk.verdict(self.now)
        if verdict is Verdict.PASSED:
            desk.land(self.now)
            return desk.plan()
        if verdict is Verdict.FAILED:
            desk.builds.pop(self.now)
            if len(self.now) > 1:
                middle = len(self.now) // 2
                self.waiting += [self.now[:middle], self.now[middle:]]
            else:
                desk.reject(self.now[0])
            self.now = ()
        if not self.now and self.waiting:
            self.now = self.waiting.pop(0)
            desk.start(self.now)
        return desk.plan()

    def _join(self, new: Chain) -> None:
        while new:
            if not self.waiting or len(self.waiting[-1]) >= MOST:
                self.waiting.append(())
            room = MOST - len(self.waiting[-1])
            self.waiting[-1] += new[:room]
            new = new[room:]
