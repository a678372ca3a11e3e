"""Step three: which probes to start in the free slots, and which to stop."""

from __future__ import annotations

from collections import Counter
from itertools import islice, takewhile

from agentctl.core.planner.beliefs import group, like, prefix_passes, split
from agentctl.core.planner.bets import best_bet, odds
from agentctl.core.planner.judge import certificates, convicted
from agentctl.core.planner.memory import Segment
from agentctl.core.planner.planning import LONG_WAIT, Planning
from agentctl.core.planner.scenarios import Worlds, innocent
from agentctl.core.queue.model import Cancel, Probe, Start

CROWD = 1.3
"""Changes a slot that no probe asks about, from which on probes are chosen for what they teach alone."""


def cancel(turn: Planning) -> None:
    """Stop probes that can neither land nor teach: all they ask about is known, or they
    hold a change that is rejected, or the suspects of a failed probe and others besides."""
    view, green = turn.view, set(turn.mem.green)
    culprits = set(turn.mem.culprits)
    for probe in view.running:
        asked = [k for k in probe.asked if k in turn.queue and k not in green]
        rest = turn.rest(probe)
        held = culprits.intersection(probe.chain)
        if not asked and not (rest and all(k in turn.queue for k in rest)):
            reason = f"the {probe.suspects} changes it asks about are proven, gone or held back"
        elif held:
            reason = f"it holds {min(held)}, which is rejected"
        elif doomed(turn, probe):
            reason = "it is bound to fail: it holds all suspects of a probe that failed since"
        else:
            continue
        turn.actions.append(Cancel(probe.number, reason))


def doomed(turn: Planning, probe: Probe) -> bool:
    """True if it asks about others than the suspects of a failed probe, all of whom it holds;
    unless these may well be innocent."""
    chain = set(probe.chain)
    held = (s for s in turn.mem.segments if chain.issuperset(s.items))
    return any(not set(s.items).issuperset(probe.asked) and not innocent(turn, s) for s in held)


class Chooser:
    """Fills the free slots; `turn.actions` gets a Start for each."""

    def __init__(self, turn: Planning) -> None:
        view, mem = turn.view, turn.mem
        self.turn = turn
        self.free = view.slots - len(view.running)
        self.next = view.next_probe
        self.rides = {gates: turn.green_of(gates) for gates in turn.lanes}
        """By lane: what passed in it. Lanes are not mixed, so that none waits for another's gate or culprits."""
        self.trains = [rest for p in view.running if (rest := turn.rest(p)) is not None]
        """What the running probes will land, if they pass and trunk is still on its way."""
        self.pending = {frozenset(rest) for rest in self.trains}
        settled = [*map(turn.rest, mem.passed), *map(turn.rest, mem.failures)]
        self.known = self.pending | {frozenset(rest) for rest in settled if rest is not None}
        self.busy = {k for p in view.running for k in p.asked}
        self.proofs = certificates(turn)

    def ride(self, gates: tuple[str, ...] | None) -> tuple[str, ...]:
        """The green changes of a lane that its next probe carries. All of them, unless it is likely
        that some break together: then a window of them, less in one probe than in the other, so
        that those that pass show what is sound, and those that fail where the break is."""
        green = self.rides[gates]
        window = self.turn.beliefs.window(len(green), self.next)
        return self.turn.compose((), green[window]) if window.start else green[window]

    def fill(self) -> None:
        if self.turn.mem.unridden >= 2 * self.turn.view.slots:
            self.integrate(sure=False)
        waiting = [s for s in self.turn.mem.segments if not self.in_search(s)]
        parked = [s for s in waiting if self.parked(s)]
        crowded = self.crowded()
        for segment in waiting:
            if segment not in parked and (crowded or len(segment.items) == 1):
                self.search(segment)
        if crowded:
            self.open_segments()
        else:
            self.bet()
        self.integrate(sure=True)
        for segment in parked:
            self.search(segment)

    def crowded(self) -> bool:
        """True if probes cost more than waiting: there are more untested changes than
        slots to try them in, or one that no bet includes has waited long."""
        turn = self.turn
        aside = self.busy.union(turn.mem.green)
        waiting = [c for key, c in turn.queue.items() if key not in aside]
        long_ago = {gates: turn.now - LONG_WAIT * turn.gate_seconds(gates) for gates in turn.lanes}
        return len(waiting) > CROWD * turn.view.slots or any(c.admitted < long_ago[c.gates] for c in waiting)

    def bet(self) -> None:
        """Take the bets that are worth it; search as in a crowd if none is, and nothing runs."""
        if self.free <= 0 or not self.turn.queue:
            return
        worlds = Worlds(self.turn)
        lanes = [odds(self.turn, worlds, self.trains, gates) for gates in self.turn.lanes]
        green = set(self.turn.mem.green)
        while self.free > 0:
            bets = [(best, chances) for chances in lanes if (best := best_bet(chances, self.free, self.known))]
            if not bets:
                break
            best, chances = max(bets, key=lambda bet: bet[0].value)
            ride = tuple(takewhile(green.__contains__, best.chain))
            self.start(ride, best.chain[len(ride) :], best.why)
            chances.starts(best.chain)
        if self.free == self.turn.view.slots:
            for segment in self.turn.mem.segments:
                self.search(segment)
            self.open_segments()

    def start(self, ride: tuple[str, ...], asked: tuple[str, ...], why: str, again: bool = False) -> bool:
        """False if there is no slot, nothing to ask, or the answer is known."""
        chain = ride + asked
        members = frozenset(chain)
        seen = self.pending if again else self.known
        if self.free <= 0 or not chain or members in seen:
            return False
        if ride and asked:
            why += f"; {len(ride)} green ones ride along"
        self.enter(Probe(self.next, self.turn.view.trunk, chain, len(asked), why, again), members)
        rides = all(members.issuperset(green[:1]) for green in self.rides.values())
        self.turn.mem.unridden = 0 if rides else self.turn.mem.unridden + 1
        return True

    def enter(self, probe: Probe, members: frozenset[str]) -> None:
        self.turn.actions.append(Start(probe))
        self.trains.append(probe.chain)
        self.known.add(members)
        self.pending.add(members)
        self.busy.update(probe.asked)
        self.next += 1
        self.free -= 1

    def carried(self, ride: tuple[str, ...], sure: bool) -> bool:
        """True if a probe on trunk carries all green changes; `sure`: some of them, and nothing else."""
        green = set(ride)
        return any(t and green.issuperset(t) if sure else green.issubset(t) for t in self.trains)

    def integrate(self, sure: bool) -> None:
        for ride in self.rides.values():
            if ride and not self.carried(ride, sure):
                self.start(ride, (), f"lands {len(ride)} changes that passed on older bases")

    def in_search(self, segment: Segment) -> bool:
        """True if a running probe asks about nothing but suspects of this segment."""
        items = set(segment.items)
        return any(p.suspects and items.issuperset(p.asked) for p in self.turn.view.running)

    def parked(self, segment: Segment) -> bool:
        """True if what becomes of those that failed with a lone suspect is about to prove it.
        It had a failure of its own, and if they pass it alone explains theirs; by inference,
        they passed, and when they land their failure convicts it."""
        key, settled = segment.items[0], {segment.items[0], *self.turn.mem.green}
        if len(segment.items) > 1:
            return False
        shared = [f.open for f in self.turn.mem.failures if key in f.open and len(f.open) > 1]
        if key not in self.proofs:
            return self.turn.limits.rejection == "inference" and any(map(settled.issuperset, shared))
        settled.update(s.items[0] for s in self.turn.mem.segments if len(s.items) == 1)
        return not all(map(settled.issuperset, shared))

    def search(self, segment: Segment) -> None:
        """Probe the prefix that passes with probability nearest 1/2.

        A single suspect goes without the green changes, so that its failure is a
        certificate at once, and that of a likely culprit costs them nothing.
        """
        if self.free <= 0:
            return
        if len(segment.items) == 1:
            self.prove(segment)
            return
        risks = [self.turn.risk(k) for k in segment.items]
        alts = [alt for _, alt in segment.evidence]
        passes = prefix_passes(risks, alts, self.turn.beliefs.flake)
        for size in split(passes, self.turn.limits.rejection == "strict"):
            items = tuple(segment.items[:size])
            bare = size == 1 and self.turn.alone(items[0])
            ride = () if bare else self.ride(self.turn.queue[items[0]].gates)
            asked = self.turn.compose(ride, items[: self.turn.limits.batch])
            why = (
                f"probes {len(asked)} of {len(segment.items)} suspects of probe"
                f" {segment.evidence[-1][0]}: {passes[size - 1]:.0%} to pass; {self.worst(asked)}"
            )
            if asked and self.start(ride, asked, why):
                return

    def prove(self, segment: Segment) -> None:
        key = segment.items[0]
        bare = self.turn.alone(key)
        ride = () if bare else self.ride(self.turn.queue[key].gates)
        asked = self.turn.compose(ride, (key,))
        if not asked:
            return
        record = self.worst(asked)
        if self.start(ride, asked, f"proves the one suspect left of a failed probe; {record}"):
            return
        proofs = self.proofs.get(key, [])
        doubted = key in self.turn.mem.audited or not convicted(self.turn, key, proofs)
        if bare and proofs and doubted:
            self.start(ride, asked, f"second look after {len(proofs)} failures; {record}", True)

    def worst(self, keys: tuple[str, ...]) -> str:
        """The agent most suspected among `keys`, and its record."""
        if not keys:
            return ""
        key = max(keys, key=self.turn.risk)
        return self.turn.beliefs.record(self.turn.queue[key].agent)

    def open_segments(self) -> None:
        """Each from the oldest change that is left on; of several lanes first in the one with
        the fewest probes."""
        strict = self.turn.limits.rejection == "strict"
        queue = self.turn.queue
        orders: dict[tuple[str, ...] | None, list[str]] = {}
        for key in self.untested():
            orders.setdefault(queue[key].gates, []).append(key)
        probes = Counter(queue[k].gates for p in self.turn.view.running for k in p.chain[-1:] if k in queue)
        while self.free > 0 and orders:
            gates = min(orders, key=probes.__getitem__)
            ride, order = self.ride(gates), orders.pop(gates)
            first = next(self.turn.following(ride, order), None)
            if first is None:
                continue
            alike = (k for k in order if like(self.turn.risk(k), self.turn.risk(first)))
            window = islice(self.turn.following(ride, alike), self.turn.limits.batch)
            asked = group(((key, self.turn.risk(key)) for key in window), strict)
            if len(asked) == 1 and self.turn.alone(asked[0]):
                ride = ()  # Its failure is proof at once.
            chance = 1 - self.turn.together(asked)
            why = f"first probe of {len(asked)} of {len(order)} waiting: {chance:.0%} to pass"
            taken = set(asked if self.start(ride, asked, f"{why}; {self.worst(asked)}") else asked[:1])
            probes[gates] += 1
            if left := [k for k in order if k not in taken]:
                orders[gates] = left

    def untested(self) -> list[str]:
        """Changes of which nothing is known, in order."""
        if self.free <= 0:
            return []
        aside = self.busy.union(self.turn.mem.green)
        aside.update(k for s in self.turn.mem.segments for k in s.items)
        return self.turn.ranked(aside)
