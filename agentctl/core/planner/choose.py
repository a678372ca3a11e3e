"""Step three: which probes to stop, and which to start in the free slots."""

from __future__ import annotations

from collections import Counter
from itertools import islice, takewhile

from agentctl.core.planner.beliefs import group, like, prefix_passes, split
from agentctl.core.planner.bets import best_bet, outlook
from agentctl.core.planner.judge import convicted, find_certificates
from agentctl.core.planner.memory import Segment
from agentctl.core.planner.planning import LONG_WAIT, Planning
from agentctl.core.planner.scenarios import Worlds, chance_all_good
from agentctl.core.queue.model import Cancel, Probe, Start
from agentctl.core.text.plural import many

CROWD = 1.3
"""Number of changes for each slot, that no probe asks about, above which probes cost more than waiting.

Then segments are searched and first probes started, and no bets are placed. Higher: more bets, and changes land sooner.
Lower: fewer probes for a landed change."""

UNRIDDEN = 2
"""Number of probes for each slot, without a ride of the first green changes, after which these have a probe of their own.

Higher: fewer probes that ask about nothing new. Lower: green changes land sooner where breaks keep them back."""


def cancel(turn: Planning) -> None:
    """Stop probes that can neither land nor teach.

    All that they ask about is known, or they hold a rejected change, or all suspects of a failed probe and others besides.
    """
    green = set(turn.mem.green)
    culprits = set(turn.mem.culprits)
    for probe in turn.running:
        rest = turn.rest(probe)
        may_land = rest and all(k in turn.queue for k in rest)
        teaches = any(k in turn.queue and k not in green for k in probe.asked)
        held = culprits.intersection(probe.chain)
        if not teaches and not may_land:
            reason = "all changes it asks about are proven, gone or held back"
        elif held:
            reason = f"it holds {min(held)}, which is rejected"
        elif doomed(turn, probe):
            reason = "it is bound to fail: it holds all suspects of a probe that failed since"
        else:
            continue
        turn.actions.append(Cancel(probe.number, reason))


def doomed(turn: Planning, probe: Probe) -> bool:
    """Tell whether the probe holds all suspects of a segment, so that it is bound to fail, and asks about others too.

    The failed probe of the segment may be older than this one, and have lost its other suspects since. The answer is no if
    those that are left may well all be good (`scenarios.chance_all_good`).
    """
    chain = set(probe.chain)
    for segment in turn.mem.segments:
        holds_all = chain.issuperset(segment.items)
        asks_about_others = holds_all and not set(segment.items).issuperset(probe.asked)
        if asks_about_others and not chance_all_good(turn, segment):
            return True
    return False


class Chooser:
    """What fills the free slots: `turn.actions` gets a Start for each probe."""

    def __init__(self, turn: Planning) -> None:
        view, mem = turn.view, turn.mem
        self.turn = turn
        self.free = view.slots - len(view.running)
        self.next = view.next_probe
        self.rides = {gates: turn.green_of(gates) for gates in turn.lanes}
        """By lane: its green changes. Lanes are not mixed, so that none waits for another's gate or culprits."""
        self.landing_if_passed = [rest for p in turn.running if (rest := turn.rest(p)) is not None]
        """What the running probes will land if they pass; those that trunk has left are not here."""
        self.pending = {frozenset(rest) for rest in self.landing_if_passed}
        settled = [*map(turn.rest, mem.passed), *map(turn.rest, mem.failures)]
        self.known = self.pending | {frozenset(rest) for rest in settled if rest is not None}
        self.busy = {k for p in turn.running for k in p.asked}
        self.certificates = find_certificates(turn)

    def ride(self, gates: tuple[str, ...] | None) -> tuple[str, ...]:
        """Return the green changes of a lane that its next probe carries.

        All of them, unless some are likely to break together: then a window of them, of another length in each probe. The
        probes that pass show what is sound, and those that fail show where the break is. A window that begins further
        back leaves out the changes that depend on a green one in front of it.
        """
        green = self.rides[gates]
        window = self.turn.beliefs.window(len(green), self.next)
        return self.turn.compose((), green[window]) if window.start else green[window]

    def fill(self) -> None:
        """Start probes in the free slots, the most urgent kind first.

        Green changes that did not ride for long; then segments that no probe searches (those of one suspect only, while
        bets are placed), without the parked suspects; then first probes or bets; then what else integrates green changes;
        last the parked suspects.
        """
        if self.turn.mem.unridden >= UNRIDDEN * self.turn.view.slots:
            self.integrate(sure=False)
        waiting = [s for s in self.turn.mem.segments if not self.in_search(s)]
        parked = [s for s in waiting if self.parked(s)]
        crowded = self.crowded()
        for segment in waiting:
            if segment not in parked and (crowded or len(segment.items) == 1):
                self.search(segment)
        if crowded:
            self.start_first_probes()
        else:
            self.bet()
        self.integrate(sure=True)
        for segment in parked:
            self.search(segment)

    def crowded(self) -> bool:
        """Tell whether probes cost more than waiting.

        Of the changes that are not green and that no running probe asks about there are too many for the slots (CROWD), or
        one was admitted more than LONG_WAIT gate times ago.
        """
        turn = self.turn
        aside = self.busy.union(turn.mem.green)
        waiting = [c for key, c in turn.queue.items() if key not in aside]
        if len(waiting) > CROWD * turn.view.slots:
            return True
        long_ago = {gates: turn.now - LONG_WAIT * turn.gate_seconds(gates) for gates in turn.lanes}
        return any(c.admitted < long_ago[c.gates] for c in waiting)

    def bet(self) -> None:
        """Start the bets that are worth their price; if none is and nothing runs, search all segments, parked ones too.

        Then first probes start, as in a crowd.
        """
        if self.free <= 0 or not self.turn.queue:
            return
        worlds = Worlds(self.turn)
        outlooks = [outlook(self.turn, worlds, self.landing_if_passed, gates) for gates in self.turn.lanes]
        green = set(self.turn.mem.green)
        while self.free > 0:
            bets = [bet for lane in outlooks if (bet := best_bet(lane, self.free, self.known))]
            if not bets:
                break
            best = max(bets, key=lambda bet: bet.value)
            ride = tuple(takewhile(green.__contains__, best.chain))
            self.start(ride, best.chain[len(ride) :], best.why)
            best.outlook.starts(best.chain)
        if self.free == self.turn.view.slots:
            for segment in self.turn.mem.segments:
                self.search(segment)
            self.start_first_probes()

    def start(self, ride: tuple[str, ...], asked: tuple[str, ...], why: str, again: bool = False) -> bool:
        """Start a probe of `ride` and `asked`; return False if no slot is free, the chain is empty or its answer is known.

        With `again` it is started although the answer is known, unless the same probe is running.
        """
        chain = ride + asked
        members = frozenset(chain)
        seen = self.pending if again else self.known
        if self.free <= 0 or not chain or members in seen:
            return False
        if ride and asked:
            why += f"; {many(len(ride), 'green one')} along"
        self.enter(Probe(self.next, self.turn.view.trunk, chain, len(asked), why, again), members)
        rides = all(members.issuperset(green[:1]) for green in self.rides.values())
        self.turn.mem.unridden = 0 if rides else self.turn.mem.unridden + 1
        return True

    def enter(self, probe: Probe, members: frozenset[str]) -> None:
        """Note that `probe` starts."""
        self.turn.actions.append(Start(probe))
        self.landing_if_passed.append(probe.chain)
        self.known.add(members)
        self.pending.add(members)
        self.busy.update(probe.asked)
        self.next += 1
        self.free -= 1

    def carried(self, ride: tuple[str, ...], sure: bool) -> bool:
        """Tell whether a probe on trunk carries all of `ride`; with `sure`, whether one carries some of it and nothing else."""
        green = set(ride)
        if sure:
            return any(rest and green.issuperset(rest) for rest in self.landing_if_passed)
        return any(green.issubset(rest) for rest in self.landing_if_passed)

    def integrate(self, sure: bool) -> None:
        """Start a probe of the green changes alone in each lane where none is `carried`."""
        for ride in self.rides.values():
            if ride and not self.carried(ride, sure):
                self.start(ride, (), f"lands {many(len(ride), 'change')} that passed on older bases")

    def in_search(self, segment: Segment) -> bool:
        """Tell whether a running probe asks about suspects of this segment and nothing else."""
        items = set(segment.items)
        return any(p.suspects and items.issuperset(p.asked) for p in self.turn.running)

    def parked(self, segment: Segment) -> bool:
        """Tell whether a lone suspect is searched last, as what becomes of its mates may prove it bad without a probe.

        Its mates are those that failed with it. If there is a certificate against it, most often as it failed by itself,
        and they pass, it alone explains the common failure. So it is parked until each mate is green, or a lone suspect
        too. By inference no certificate is needed before: when its mates are green, it is parked until they have landed,
        and then the common failure convicts it. Bets do not ask whether a suspect is parked.

        For example, a, b and c failed together, and then a alone. a is parked while b and c are tested. If both pass, a is
        rejected without another probe; if b fails alone too, nothing is left to wait for as soon as c has passed.
        """
        if len(segment.items) > 1:
            return False
        mem, key = self.turn.mem, segment.items[0]
        common_failures = [f.open for f in mem.failures if key in f.open and len(f.open) > 1]
        passed = {key, *mem.green}
        has_certificate = key in self.certificates
        if not has_certificate:
            by_inference = self.turn.limits.rejection == "inference"
            return by_inference and any(passed.issuperset(members) for members in common_failures)
        lone_suspects = {s.items[0] for s in mem.segments if len(s.items) == 1}
        decided = passed | lone_suspects
        return not all(decided.issuperset(members) for members in common_failures)

    def search(self, segment: Segment) -> None:
        """Probe the prefix of a segment that passes with probability nearest 1/2.

        A single suspect goes without the green changes: its failure is then a certificate at once, and a likely culprit
        does not hold them up.
        """
        if self.free <= 0:
            return
        if len(segment.items) == 1:
            self.probe_lone_suspect(segment)
            return
        risks = [self.turn.risk(k) for k in segment.items]
        alts = [failed.alt for failed in segment.evidence]
        passes = prefix_passes(risks, alts, self.turn.beliefs.flake)
        for size in split(passes, self.turn.limits.rejection == "strict"):
            items = tuple(segment.items[:size])
            bare = size == 1 and self.turn.alone(items[0])
            ride = () if bare else self.ride(self.turn.queue[items[0]].gates)
            asked = self.turn.compose(ride, items[: self.turn.limits.batch])
            why = (
                f"probes {len(asked)} of {len(segment.items)} suspects of probe"
                f" {segment.evidence[-1].number}: {passes[size - 1]:.0%} to pass; {self.worst(asked)}"
            )
            if asked and self.start(ride, asked, why):
                return

    def probe_lone_suspect(self, segment: Segment) -> None:
        """Probe the only suspect of a segment; once more if that answer is known, and the certificates are not enough."""
        key = segment.items[0]
        bare = self.turn.alone(key)
        ride = () if bare else self.ride(self.turn.queue[key].gates)
        asked = self.turn.compose(ride, (key,))
        if not asked:
            return
        record = self.worst(asked)
        if self.start(ride, asked, f"proves the one suspect left of a failed probe; {record}"):
            return
        certificates = self.certificates.get(key, [])
        doubted = key in self.turn.mem.audited or not convicted(self.turn, key, certificates)
        if bare and certificates and doubted:
            self.start(ride, asked, f"second look after {many(len(certificates), 'failure')}; {record}", True)

    def worst(self, keys: tuple[str, ...]) -> str:
        """Return in words what is known of the most suspected agent among those of `keys`."""
        if not keys:
            return ""
        key = max(keys, key=self.turn.risk)
        return self.turn.beliefs.history(self.turn.queue[key].agent)

    def start_first_probes(self) -> None:
        """Start the first probes of untested changes while slots are free, each from the oldest change that is left.

        A segment is made only when such a probe fails. Of several lanes the one with the fewest probes comes first.
        """
        queue = self.turn.queue
        waiting: dict[tuple[str, ...] | None, list[str]] = {}
        for key in self.untested():
            waiting.setdefault(queue[key].gates, []).append(key)
        probes = Counter(queue[k].gates for p in self.turn.running for k in p.chain[-1:] if k in queue)
        while self.free > 0 and waiting:
            gates = min(waiting, key=probes.__getitem__)
            order = waiting.pop(gates)
            ride = self.ride(gates)
            asked = self.even_group(ride, order)
            if not asked:
                continue  # All that wait in this lane depend on what is in no chain yet.
            if len(asked) == 1 and self.turn.alone(asked[0]):
                ride = ()  # Its failure is proof at once.
            chance = 1 - self.turn.together(asked)
            why = f"first probe of {len(asked)} of {len(order)} waiting: {chance:.0%} to pass; {self.worst(asked)}"
            started = self.start(ride, asked, why)
            probes[gates] += 1
            taken = set(asked if started else asked[:1])
            if left := [k for k in order if k not in taken]:
                waiting[gates] = left

    def even_group(self, ride: tuple[str, ...], order: list[str]) -> tuple[str, ...]:
        """Return the group to test next: the first of `order` that can follow `ride`, and as many like it as are an even bet."""
        risk = self.turn.risk
        first = next(self.turn.following(ride, order), None)
        if first is None:
            return ()
        alike = (key for key in order if like(risk(key), risk(first)))
        able = islice(self.turn.following(ride, alike), self.turn.limits.batch)
        return group(((key, risk(key)) for key in able), self.turn.limits.rejection == "strict")

    def untested(self) -> list[str]:
        """Return, in order, the changes that are not green, in no segment, and asked about by no running probe.

        Nothing is held against them. They may have failed in a probe whose failure is put down to others.
        """
        if self.free <= 0:
            return []
        aside = self.busy.union(self.turn.mem.green)
        aside.update(k for s in self.turn.mem.segments for k in s.items)
        return self.turn.ranked(aside)
