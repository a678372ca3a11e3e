"""SubmitQueue: builds of a change under assumptions on those before it, the likeliest first.

Source: S. Ananthanarayanan et al., "Keeping Master Green at Scale", EuroSys 2019. Changes are decided in order. Each
may be built on trunk with any subset of the undecided ones before it; the value of a build is the probability that
exactly that subset lands. The K most valuable builds run; one that is no longer among them is stopped.

Simplified: it is told the true probability of each agent, where the paper learns one. All changes may conflict with
one another, as in the other strategies (the paper's conflict analyser is what makes a wide window pay).
"""

from __future__ import annotations

import heapq
from collections.abc import Mapping
from itertools import islice
from typing import Any

from agentctl.core.queue.model import Change, Plan, Verdict, View
from bench.rivals.desk import Chain, Desk

DEPTH = 4
"""How many nodes of the tree are looked at for each slot."""


class SubmitQueue:
    eager = True
    """A plan is made at each arrival, because a new change may be worth more than what runs."""

    def __init__(self, risks: Mapping[str, float]) -> None:
        self.desk, self.risks = Desk(), risks
        self.pending: dict[str, Change] = {}

    def __call__(self, view: View, limits: Any, now: float) -> Plan:
        desk = self.desk
        desk.open(view)
        for key in view.landed:
            del self.pending[key]
        self.pending |= {c.key: c for c in desk.untaken(DEPTH * view.slots - len(self.pending))}
        while self.pending:
            head = next(iter(self.pending))
            if desk.verdict((head,)) is Verdict.PASSED:
                desk.land((head,))
                return desk.plan()
            if desk.verdict((head,)) is not Verdict.FAILED:
                break
            desk.reject(head)
            desk.drop(head)
            del self.pending[head]
        self._speculate(view)
        return desk.plan()

    def _speculate(self, view: View) -> None:
        """Walk the tree from its root, the likeliest node first, and have the first K without a verdict run."""
        order = list(islice(self.pending.values(), DEPTH * view.slots))
        heap: list[tuple[float, int, Chain]] = [(-1.0, 0, ())]
        chosen: dict[Chain, None] = {}
        ended: set[Chain] = set()
        while heap and len(chosen) < view.slots and len(chosen) + len(ended) < DEPTH * view.slots:
            worth, at, assumed = heapq.heappop(heap)
            if at == len(order):
                continue
            chain = (*assumed, order[at].key)
            match self.desk.verdict(chain):
                case Verdict.PASSED:
                    good = 1.0
                    ended.add(chain)
                case Verdict.FAILED:
                    good = 0.0
                    ended.add(chain)
                case _:
                    good = 1 - self.risks[order[at].agent]
                    chosen[chain] = None
            for share, then in ((good, chain), (1 - good, assumed)):
                if share > 0:
                    heapq.heappush(heap, (worth * share, at + 1, then))
        self.desk.keep(chosen.keys() | ended)
        for chain in chosen:
            self.desk.start(chain)
