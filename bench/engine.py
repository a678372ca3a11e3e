"""A merge queue in simulated time, driven by the planner that ships.

The world knows which changes are bad and which pairs break together; the planner
sees verdicts only. A change lands only in a tree that passed as a whole: the engine
checks it.
"""

from __future__ import annotations

import heapq
import random
from dataclasses import dataclass, field

from agentctl.core.model import Cancel, Change, Land, Probe, Reject, Result, Start, Verdict, View
from agentctl.core.planner import Limits, plan


@dataclass(kw_only=True)
class World:
    """What is true: `risks` are dealt to agents in turn; times in gate runs."""

    risks: tuple[float, ...]
    slots: int
    seed: int = 1
    flake: float = 0.0
    pairs: float = 0.0
    """Share of changes that break together with one of the 50 before them."""
    jitter: float = 0.0
    rate: float | None = None
    """Arrivals per gate run; None keeps `waiting` changes in the queue always."""
    waiting: int = 500
    limits: Limits = field(default_factory=Limits)


class Simulation:
    def __init__(self, world: World) -> None:
        self.world = world
        self.random = random.Random(world.seed)
        self.now = 0.0
        self.trunk = "t0"
        self.queue: dict[str, Change] = {}
        self.bad: set[str] = set()
        self.breaks_with: dict[str, str] = {}
        self.on_trunk: set[str] = set()
        self.memory: dict = {}
        self.running: dict[int, tuple[Probe, Verdict]] = {}
        self.events: list[tuple[float, int]] = []
        self.finished: list[Result] = []
        self.landed: list[str] = []
        self.made = self.probes = self.next = 0
        self.next_arrival = 0.0
        self.done = {"landed": 0, "rejected": 0, "wronged": 0}
        self.turnaround: list[float] = []

    def arrive(self) -> None:
        number = self.made
        agent = number % len(self.world.risks)
        change = Change(f"c{number}", 1, f"h{number}", f"agent-{agent}", number, self.now)
        self.made += 1
        self.queue[change.key] = change
        if self.random.random() < self.world.risks[agent]:
            self.bad.add(change.key)
        if self.random.random() < self.world.pairs:
            self.breaks_with[change.key] = f"c{max(0, number - self.random.randint(1, 50))}/1"

    def arrivals(self) -> None:
        if self.world.rate is None:
            while len(self.queue) < self.world.waiting:
                self.arrive()
            return
        while self.next_arrival <= self.now:
            self.arrive()
            self.next_arrival += self.random.expovariate(self.world.rate)

    def advance(self) -> None:
        """Go to the next moment at which something ends or arrives."""
        ends = self.events[0][0] if self.events else float("inf")
        arrives = self.next_arrival if self.world.rate is not None else float("inf")
        self.now = min(ends, arrives)
        while self.events and self.events[0][0] <= self.now:
            number = heapq.heappop(self.events)[1]
            if number in self.running:
                probe, verdict = self.running.pop(number)
                self.probes += 1
                self.finished.append(Result(probe, verdict, 1.0, f"s{number}"))

    def tick(self) -> None:
        """Plan and perform until a plan moves nothing."""
        moved = True
        while moved:
            self.arrivals()
            view = View(
                trunk=self.trunk,
                queued=tuple(self.queue.values()),
                memory=self.memory,
                running=tuple(p for p, _ in self.running.values()),
                finished=tuple(self.finished),
                landed=tuple(self.landed),
                next_probe=self.next,
                slots=self.world.slots,
            )
            decided = plan(view, self.world.limits, self.now)
            self.memory, self.finished, self.landed = decided.memory, [], []
            for action in decided.actions:
                self.perform(action)
            moved = any(not isinstance(a, Start) for a in decided.actions)

    def perform(self, action: object) -> None:
        match action:
            case Start(probe):
                self.start(probe)
            case Land(probe):
                assert probe.base == self.trunk and not self.red(probe.chain)
                for key in probe.chain:
                    self.turnaround.append(self.now - self.queue.pop(key).admitted)
                self.on_trunk.update(probe.chain)
                self.trunk, self.landed = f"s{probe.number}", list(probe.chain)
                self.done["landed"] += len(probe.chain)
            case Reject(certificate):
                del self.queue[certificate.change]
                wrong = not self.red((certificate.change,))
                self.done["rejected"] += 1
                self.done["wronged"] += wrong
            case Cancel(number):
                self.running.pop(number, None)

    def red(self, chain: tuple[str, ...]) -> bool:
        """True if trunk with `chain` on top is broken."""
        tree = self.on_trunk.union(chain) if self.world.pairs else chain
        pairs = ((k, self.breaks_with[k]) for k in tree if k in self.breaks_with)
        return not self.bad.isdisjoint(chain) or any(other in tree for _, other in pairs)

    def start(self, probe: Probe) -> None:
        assert len(self.running) < self.world.slots and probe.number == self.next
        assert probe.base == self.trunk
        self.next += 1
        bad = self.red(probe.chain)
        flaked = self.random.random() < self.world.flake
        verdict = Verdict.FAILED if bad or flaked else Verdict.PASSED
        self.running[probe.number] = (probe, verdict)
        time = 1.0 + self.world.jitter * (2 * self.random.random() - 1)
        heapq.heappush(self.events, (self.now + time, probe.number))

    def run(self, landed: int) -> None:
        """Until `landed` more changes landed."""
        goal = self.done["landed"] + landed
        while self.done["landed"] < goal:
            self.tick()
            self.advance()

