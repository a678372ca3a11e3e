"""Batch4 and BatchStop4, made into merge queues.

Source: M. J. Beheshtian, A. H. Bavand, P. C. Rigby, "Software Batch Testing to Save Build Test Resources and to
Reduce Feedback Time", IEEE TSE 2022. Batch4 tests four changes at a time and, if they fail, each of them alone.
BatchStop4 halves a failing batch until four changes are left, and tests those alone; here it begins with sixteen.

Simplified: the paper tests commits that are already on trunk. Here nothing may land that did not pass as it is, so
the batches form a lane: each one is tested on trunk with those ahead of it, K at a time, and those behind a failing
one are tested again without it. In one slot Batch4 costs 0.27 probes a landed change at p = 0.5%. With K = 16 it
costs 0.34, because what was tested behind a failing batch is lost.
"""

from __future__ import annotations

from bench.rivals.desk import Chain
from bench.rivals.lane import Lane


class Batch4(Lane):
    size = 4


class BatchStop4(Lane):
    size = 16

    def split(self, entry: Chain) -> list[Chain]:
        if len(entry) <= 4:
            return super().split(entry)
        middle = len(entry) // 2
        return [entry[:middle], entry[middle:]]
