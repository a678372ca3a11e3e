"""Two strategies that know the truth: what no queue can beat.

Both reject a bad change at sight, for nothing. They probe only good ones, on trunk with all that is in flight, so
that every probe passes. `Oracle` gives each change a probe of its own: with a free slot it lands exactly one gate
time after it arrived. `BatchOracle` puts everything that waits into one probe.
"""

from __future__ import annotations

from typing import Any

from agentctl.core.queue.model import Plan, Verdict, View
from agentctl.simulation.truth import Truth
from bench.rivals.desk import Chain, Desk


class Oracle:
    most = 1
    """The most changes in one probe."""

    def __init__(self) -> None:
        self.truth = Truth()
        """To be replaced by the truth of the simulation."""
        self.desk = Desk()
        self.landed = 0
        self.waiting: list[str] = []
        self.flying: list[Chain] = []

    def __call__(self, view: View, limits: Any, now: float) -> Plan:
        desk = self.desk
        desk.open(view)
        self.landed += len(view.landed)
        self.flying = [chain[len(view.landed) :] for chain in self.flying if len(chain) > len(view.landed)]
        passed = [chain for chain in self.flying if desk.verdict(chain) is Verdict.PASSED]
        if passed:
            desk.land(passed[-1])
            return desk.plan()
        for chain in self.flying:
            if desk.verdict(chain) is Verdict.FAILED:
                desk.builds.pop(chain)
                desk.start(chain)
        self.waiting += [change.key for change in desk.untaken(len(view.queued))]
        self._fly()
        return desk.plan()

    def _fly(self) -> None:
        while self.waiting and self.desk.free > 0:
            ahead = self.flying[-1] if self.flying else ()
            chain, taken = ahead, 0
            for key in self.waiting:
                if len(chain) - len(ahead) == self.most:
                    break
                taken += 1
                if self.truth.green((*chain, key), self.landed):
                    chain += (key,)
                else:
                    self.desk.reject(key)
            del self.waiting[:taken]
            if chain != ahead:
                self.desk.start(chain)
                self.flying.append(chain)


class BatchOracle(Oracle):
    most = 1_000_000
