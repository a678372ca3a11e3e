"""Other merge queues, each as its sources and documents describe it, to be driven by the simulator.

Each one has the planner's interface and keeps its state in itself: make a new one for each simulation.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from agentctl.simulation.simulator import Strategy
from bench.rivals.batches import Batch4, BatchStop4
from bench.rivals.bors import Bors
from bench.rivals.github import GitHub
from bench.rivals.oracle import BatchOracle, Oracle
from bench.rivals.prefixes import Prefixes, size_for
from bench.rivals.serial import Serial
from bench.rivals.submitqueue import SubmitQueue
from bench.rivals.zuul import Zuul

RIVALS: dict[str, Callable[[Mapping[str, float]], Strategy]] = {
    "serial": lambda risks: Serial(),
    "bors-ng": lambda risks: Bors(),
    "prefix chain": lambda risks: Prefixes(size_for(sum(risks.values()) / len(risks))),
    "Batch4": lambda risks: Batch4(),
    "BatchStop4": lambda risks: BatchStop4(),
    "Zuul": lambda risks: Zuul(),
    "GitHub": lambda risks: GitHub(),
    "SubmitQueue": SubmitQueue,
    "oracle": lambda risks: Oracle(),
    "batch oracle": lambda risks: BatchOracle(),
}
"""By name, what makes a fresh strategy from the true risk of each agent's changes.

Only SubmitQueue looks at each risk; the prefix chain takes its batch size from their mean.
"""

SERIAL = {"serial", "bors-ng"}
"""Strategies that use one slot, however many there are."""
