"""Discrete events: a strategy, a traffic, K slots.

A strategy is whatever can be called as the planner is, `strategy(view, limits, now)`, and returns a Plan. It sees
verdicts only. The engine enforces the landing rule: trunk moves only to a tree that passed, and that is literally
`base + chain` of a passed probe. The base may be an older tip of trunk if what landed since is a prefix of the chain
(a *train*): then only the rest of the chain lands. A breach raises RuleBroken.

A commit is named by a hash of the literal sequence of changes since the beginning, so that t0 + [a] + [b] and t0 +
[a, b] are the same commit.

What is left out: staging takes no time, a gate never says "indeterminate", nobody else pushes to trunk, and a verdict
that is known is not reused.
"""

from __future__ import annotations

import heapq
import random
from array import array
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, fields
from time import perf_counter
from typing import Any

from agentctl.core.queue.model import Cancel, Change, Land, Plan, Probe, Reject, Result, Start, Verdict, View
from agentctl.core.text.json_form import replace
from agentctl.simulation.traffic import Arrival
from agentctl.simulation.truth import Truth

Strategy = Callable[[View, Any, float], Plan]

PRIME = (1 << 61) - 1
MOVES = 100_000
"""The most plans in one moment; a strategy that needs more goes in circles."""


class RuleBroken(AssertionError):
    """A strategy did what no queue may do."""


@dataclass
class Totals:
    """What was counted in a stretch of a simulation; times are in seconds."""

    landed: int = 0
    rejected: int = 0
    wronged: int = 0
    """How many of the rejected changes were good."""
    conflicts: int = 0
    """Changes that were sent back for a textual conflict with what landed; the rejected ones do not include them."""
    probes: int = 0
    """Probes that were started, also those that were cancelled later."""
    cancelled: int = 0
    busy: float = 0.0
    """Slot time that was used, also by cancelled probes until they were cancelled."""
    elapsed: float = 0.0
    plans: int = 0
    deciding: float = 0.0
    """Real time that the strategy took."""
    longest_decision: float = 0.0
    longest_wait: float = 0.0
    """The longest time from the arrival of a change to its end, whatever the end, or until now if it is still queued."""
    peak: int = 0
    """The largest number of changes in the queue."""
    overrun: bool = False
    """Whether the stretch was given up because more changes were waiting than it allowed."""
    turnaround: array[float] = field(default_factory=lambda: array("d"))
    """The time from arrival to landing of each landed change."""

    def __sub__(self, other: Totals) -> Totals:
        """Return the differences of the counts; the fields that are no counts are those of `self`."""
        return replace(self, **{name: getattr(self, name) - getattr(other, name) for name in COUNTS})

    def quantile(self, share: float) -> float:
        """Return the turnaround that `share` of the landed changes stayed within; nan if none landed."""
        times = sorted(self.turnaround)
        return times[min(len(times) - 1, int(share * len(times)))] if times else float("nan")


COUNTS = [f.name for f in fields(Totals) if f.name not in ("longest_decision", "longest_wait", "peak", "overrun", "turnaround")]


@dataclass(frozen=True, kw_only=True)
class Conditions:
    """What the traffic meets: slots, flakes, and how long gates take."""

    slots: int
    backlog: int | None = None
    """How many changes are kept in the queue, whatever their time of arrival; None: as they arrive."""
    flake: float = 0.0
    """Probability that a probe that should pass fails."""
    jitter: float = 0.0
    """By which share at most the time of a gate run is longer or shorter than it should be."""
    seed: int = 1


class Simulation:
    def __init__(self, arrivals: Iterable[Arrival], strategy: Strategy, conditions: Conditions, limits: Any = None) -> None:
        self.strategy, self.conditions, self.limits = strategy, conditions, limits
        self._eager = getattr(strategy, "eager", False)
        self.dice = random.Random(conditions.seed)
        self.truth = Truth()
        self.now = 0.0
        self.queue: dict[str, Change] = {}
        self.count = Totals()
        self.trunk: list[str] = []
        """The keys of the landed changes, in the order of landing."""
        self.tip = "0"
        self.tips = {"0": 0}
        """How many changes are below each tip that trunk ever had."""
        self.memory = b""
        self.running: dict[int, tuple[Probe, Verdict, float]] = {}
        """By number of a probe: the probe, its verdict to come, and the time of its start."""
        self.next = 1
        self.passed: set[str] = set()
        self._arrivals = iter(arrivals)
        self._coming = next(self._arrivals, None)
        self._ends: list[tuple[float, int]] = []
        self._finished: list[Result] = []
        self._landed: list[str] = []
        self._queued: tuple[Change, ...] = ()
        self._fresh = False
        """Whether `_queued` is the same as `queue`."""
        self._stirred = True
        """Whether something happened to which a strategy could react although all slots are taken."""

    def run(self, landed: int | None = None, most_waiting: int | None = None) -> Totals:
        """Run until `landed` more changes landed or all arrivals have ended, and return what was counted in this stretch.

        The stretch is given up when more than `most_waiting` changes are queued.

        Raises RuleBroken for a breach, and for a strategy that stands still or goes in circles.
        """
        before, begun = self.count, self.now
        self.count = Totals(**{name: getattr(before, name) for name in COUNTS})
        goal = float("inf") if landed is None else before.landed + landed
        while self.count.landed < goal:
            self.take_turn()
            if self.count.landed >= goal or not self.advance():
                break
            if most_waiting is not None and len(self.queue) > most_waiting:
                self.count.overrun = True
                break
        self.count.elapsed = before.elapsed + self.now - begun
        waits = (self.now - change.admitted for change in self.queue.values())
        self.count.longest_wait = max(self.count.longest_wait, max(waits, default=0.0))
        return self.count - before

    # time

    def advance(self) -> bool:
        """Go to the next moment at which something ends or arrives; return False if there is none."""
        while self._ends and self._ends[0][1] not in self.running:
            heapq.heappop(self._ends)
        ends = self._ends[0][0] if self._ends else float("inf")
        coming = self._coming if self.conditions.backlog is None else None
        moment = min(ends, float("inf") if coming is None else coming.at)
        if moment == float("inf"):
            if self.queue:
                raise RuleBroken(f"{len(self.queue)} changes wait and nothing runs")
            return False
        self.now = max(self.now, moment)
        while self._ends and self._ends[0][0] <= self.now:
            number = heapq.heappop(self._ends)[1]
            if number in self.running:
                self._end(number)
        return True

    def _end(self, number: int) -> None:
        probe, verdict, started = self.running.pop(number)
        staged = self.name(probe.base, probe.chain)
        self.count.busy += self.now - started
        if verdict is Verdict.PASSED:
            self.passed.add(staged)
        self._finished.append(Result(probe, verdict, self.now - started, staged))
        self._stirred = True

    def _arrive(self) -> None:
        backlog = self.conditions.backlog
        while self._coming is not None:
            if backlog is None and self._coming.at > self.now or backlog is not None and len(self.queue) >= backlog:
                return
            at = self._coming.at if backlog is None else self.now
            change = self.truth.learn(self._coming, at)
            self.queue[change.key] = change
            self._fresh = False
            self._coming = next(self._arrivals, None)
            self.count.peak = max(self.count.peak, len(self.queue))

    # decisions

    def take_turn(self) -> None:
        """Plan and perform until a plan moves nothing.

        While all slots are taken and nothing has ended, an arrival alone is no reason to plan, unless the strategy
        says that it is `eager`.
        """
        self._arrive()
        if not (self._stirred or self._eager) and len(self.running) >= self.conditions.slots:
            return
        for _ in range(MOVES):
            moved = False
            for action in self._plan().actions:
                moved |= self._perform(action)
            self._arrive()
            if not moved:
                self._stirred = False
                return
        raise RuleBroken(f"{MOVES} plans at {self.now} and no end")

    def _plan(self) -> Plan:
        if not self._fresh:
            self._queued, self._fresh = tuple(self.queue.values()), True
        view = View(
            trunk=self.tip,
            queued=self._queued,
            memory=self.memory,
            running=tuple(probe for probe, _, _ in self.running.values()),
            finished=tuple(self._finished),
            clashes=self.truth.met,
            landed=tuple(self._landed),
            next_probe=self.next,
            slots=self.conditions.slots,
        )
        self._finished, self._landed = [], []
        begun = perf_counter()
        plan = self.strategy(view, self.limits, self.now)
        took = perf_counter() - begun
        self.count.plans += 1
        self.count.deciding += took
        self.count.longest_decision = max(self.count.longest_decision, took)
        self.memory = plan.memory
        return plan

    def _perform(self, action: object) -> bool:
        """Perform an action, and tell whether the strategy has to plan again at once."""
        match action:
            case Start(probe):
                return self._start(probe)
            case Land(probe):
                self._land(probe)
            case Reject(certificate):
                self._reject(certificate.change)
            case Cancel(number):
                if number in self.running:
                    self.count.busy += self.now - self.running.pop(number)[2]
                    self.count.cancelled += 1
        return True

    def _start(self, probe: Probe) -> bool:
        if probe.number < self.next or len(self.running) >= self.conditions.slots:
            raise RuleBroken(f"probe {probe.number} has no slot, or a number that was used")
        if probe.base not in self.tips:
            raise RuleBroken(f"probe {probe.number} is based on what trunk never was")
        if missing := [key for key in self._rest(probe) if key not in self.queue]:
            raise RuleBroken(f"probe {probe.number} tests {missing[0]}, which is not queued")
        self.next = probe.number + 1
        if self.truth.clash(probe.chain):
            return True
        good = self.truth.green(probe.chain, self.tips[probe.base]) and not (
            self.conditions.flake and self.dice.random() < self.conditions.flake
        )
        time = self.truth.seconds(probe.chain)
        if self.conditions.jitter:
            time *= 1 + self.conditions.jitter * (2 * self.dice.random() - 1)
        self.running[probe.number] = (probe, Verdict.PASSED if good else Verdict.FAILED, self.now)
        heapq.heappush(self._ends, (self.now + time, probe.number))
        self.count.probes += 1
        return False

    def _rest(self, probe: Probe) -> Sequence[str]:
        """Return the part of the chain that is not on trunk as a literal prefix."""
        since = len(self.trunk) - self.tips[probe.base]
        return probe.chain[since:] if tuple(self.trunk[self.tips[probe.base] :]) == probe.chain[:since] else probe.chain

    def _land(self, probe: Probe) -> None:
        since = self.trunk[self.tips[probe.base] :]
        rest, staged = probe.chain[len(since) :], self.name(probe.base, probe.chain)
        if staged not in self.passed:
            raise RuleBroken(f"probe {probe.number} lands and did not pass")
        if tuple(since) != probe.chain[: len(since)] or not rest or self.name(self.tip, rest) != staged:
            raise RuleBroken(f"probe {probe.number} lands, and is not trunk with more on top")
        for key in rest:
            change = self._leave(key)
            self.count.turnaround.append(self.now - change.admitted)
        self.truth.land(rest, len(self.trunk))
        self.trunk += rest
        self._landed += rest
        self.tip = staged
        self.tips[staged] = len(self.trunk)
        self.count.landed += len(rest)
        for key in self.truth.fallen:
            if key in self.queue:
                self._leave(key)
                self.count.conflicts += 1
        self.truth.fallen.clear()

    def _reject(self, key: str) -> None:
        self.count.rejected += 1
        self.count.wronged += self.truth.green((key,), len(self.trunk))
        self._leave(key)

    def _leave(self, key: str) -> Change:
        if key not in self.queue:
            raise RuleBroken(f"{key} ends and is not queued")
        change = self.queue.pop(key)
        self.count.longest_wait = max(self.count.longest_wait, self.now - change.admitted)
        self._fresh = False
        return change

    def name(self, base: str, chain: Sequence[str]) -> str:
        """Return the name of the commit that has `chain` on top of `base`."""
        value = int(base, 16)
        for key in chain:
            value = (value * 1_000_003 + int(key[1:-2]) + 1) % PRIME
        return f"{value:x}"
