"""One cell of a table: a strategy on a traffic, simulated; several cells are simulated at a time.

A gate run takes one unit of time. Our planner learns its priors and the flake rate. Of the other strategies, only
SubmitQueue is told the risk of each agent; the prefix chain is told their mean.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from statistics import fmean
from typing import Any

from agentctl.core.planner import Settings, plan
from agentctl.simulation.simulator import Conditions, Simulation, Strategy, Totals
from agentctl.simulation.traffic import Arrival, Traffic
from bench.bounds import entropy_bound
from bench.rivals import RIVALS, SERIAL

OURS = ("ours, strict", "ours, inference")


@dataclass(frozen=True, kw_only=True)
class Cell:
    strategy: str
    risks: tuple[float, ...]
    """The risk of each agent; the agents submit in turn."""
    slots: int
    seed: int = 1
    load: float | None = None
    """Arrivals per gate time and slot; None: the queue is always full."""
    backlog: int | None = None
    """The length of a queue that is always full; None: enough for the slots."""
    flake: float = 0.0
    jitter: float = 0.0
    pairs: float = 0.0
    priorities: tuple[int, ...] = (0,)
    seconds: float = 1.0
    hidden: bool = False
    """Whether the strategy is not told whose change it is."""
    batch: int = 256
    doubt: float = Settings.doubt
    """Of our planner: a change is rejected only if it is good with less than this probability."""
    warm: int = 1500
    """How many changes land before counting begins."""
    landed: int = 6000

    @property
    def used(self) -> int:
        return 1 if self.strategy in SERIAL else self.slots


@dataclass(frozen=True)
class Figure:
    """Means over the seeds; times are in gate runs, decisions in milliseconds."""

    probes: float
    """Probes per landed change."""
    busy: float
    """Slot time per landed change."""
    ratio: float
    """The ratio of the probes to the entropy bound, at the share of bad changes that was dealt."""
    wronged: float
    """Good changes that were rejected, per landed one."""
    rate: float
    """Landed changes per gate time."""
    half: float
    most: float
    """`half` and `most`: the turnaround that 50% and 95% of the changes stay within."""
    longest: float
    """The longest wait of any change."""
    peak: float
    """The largest number of changes in the queue."""
    decision: float
    longest_decision: float
    unstable: bool
    """Whether the queue grew without end."""


def arrivals(cell: Cell) -> Iterator[Arrival]:
    rate = None if cell.load is None else cell.load * cell.slots / cell.seconds
    traffic = Traffic(
        risks=cell.risks, seed=cell.seed, rate=rate, seconds=cell.seconds, pairs=cell.pairs, priorities=cell.priorities
    )
    for arrival in traffic:
        yield replace(arrival, agent="agent-0") if cell.hidden else arrival


def simulate(cell: Cell) -> Totals:
    mean = sum(cell.risks) / len(cell.risks)
    backlog = None
    if cell.load is None:
        backlog = cell.backlog or max(
            100, min(4 * cell.slots * (int(0.69 / mean) + 1), 40_000 if cell.strategy in OURS else 4000)
        )
    strategy: Strategy = plan if cell.strategy in OURS else RIVALS[cell.strategy](Traffic(risks=cell.risks).known_risks)
    rejection = "inference" if "inference" in cell.strategy else "strict"
    limits = Settings(batch=cell.batch, rejection=rejection, doubt=cell.doubt)
    conditions = Conditions(slots=cell.used, backlog=backlog, flake=cell.flake, jitter=cell.jitter, seed=cell.seed)
    simulation = Simulation(arrivals(cell), strategy, conditions, limits)
    if hasattr(strategy, "truth"):
        strategy.truth = simulation.truth
    ceiling = None if cell.load is None else 60 * cell.slots + 500
    warm = simulation.run(cell.warm, ceiling)
    return warm if warm.overrun else simulation.run(cell.landed, ceiling)


def measure(cell: Cell) -> Figure:
    tally = simulate(cell)
    landed = max(1, tally.landed)
    dealt = (tally.rejected - tally.wronged) / max(1, tally.landed + tally.rejected)
    mean = sum(cell.risks) / len(cell.risks)
    scaled = [min(0.999, risk * dealt / mean) for risk in cell.risks] if mean else [0.0]
    bound = entropy_bound(scaled, cell.flake)
    unit = cell.seconds
    return Figure(
        tally.probes / landed,
        tally.busy / landed / unit,
        tally.probes / landed / bound if bound else float("nan"),
        tally.wronged / landed,
        tally.landed / tally.elapsed * unit if tally.elapsed else 0.0,
        tally.quantile(0.5) / unit,
        tally.quantile(0.95) / unit,
        tally.longest_wait / unit,
        tally.peak,
        1000 * tally.deciding / max(1, tally.plans),
        1000 * tally.longest_decision,
        tally.overrun,
    )


def measured(cells: Sequence[Cell], seeds: Sequence[int], jobs: int) -> Iterator[Figure]:
    """Yield the figure of each cell, in order, each as soon as it is known."""
    runs = [replace(cell, seed=seed) for cell in cells for seed in seeds]
    if jobs == 1:
        yield from _means(map(measure, runs), len(seeds))
        return
    with multiprocessing.Pool(jobs) as pool:
        yield from _means(pool.imap(measure, runs), len(seeds))


def _means(figures: Iterator[Figure], count: int) -> Iterator[Figure]:
    for group in zip(*[figures] * count):
        columns = zip(*(vars(figure).values() for figure in group))
        means: list[Any] = [any(values) if isinstance(values[0], bool) else fmean(values) for values in columns]
        yield Figure(*means)
