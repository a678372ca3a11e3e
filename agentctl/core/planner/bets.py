"""Probes while slots are to spare: bets on where trunk will be when all that runs has ended.

Waiting costs more than probes then. A free slot takes the one of three that is worth most, and a change counts more the
longer it has waited:

- on top of a place where trunk will probably be, the chain that lands most on average; a *train*, if what lands first is
  still running. If all goes well, each change lands one gate time after it came. Beside the chain for the likeliest
  place run chains for the likeliest other places;
- *apart* from the rest, on trunk as it is, changes that are not known to be good. Those that pass there are green, and
  later bets count them as good;
- nothing, if neither is worth its price.

With several bad changes in the queue every long chain fails. So beyond `CULPRITS` only green changes are put on top of a
place: a change lands two gate times after it came, whatever the others are.

The prices below were set for the rule that stops doomed probes (`choose.doomed`). With both the 95th percentile of the
turnaround on 16 slots is 2.03 gate times at half load and p = 5%, 2.54 at 10%, and 2.98 at nine tenths load and 5%; without
the rule and with older prices it was 2.13, 2.80 and 3.27 (docs/ARCHITECTURE.md).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import takewhile

from agentctl.core.planner.planning import LONG_WAIT, Planning
from agentctl.core.planner.scenarios import ALL, Place, Tracks, Worlds
from agentctl.core.queue.model import Change

CULPRITS = 4.0
"""Number of bad changes expected in the whole queue of a lane beyond which bets put only green ones on top of a place.

Higher: more chains fail. Lower: more changes take two gate times where one would do."""
LIKELIEST = 6
"""Number of places of trunk, the likeliest, on top of which a chain is considered. More: rarer cases are bet on, and a
plan takes longer."""
LEAST = 0.35
"""Smallest probability with which a chain of more than one new change passes if trunk gets to its place.

It is not made longer than that. Higher: shorter chains, that land more often. Lower: longer ones, that land more at once."""
PROOF = 0.6
"""What it is worth to show that a change is good, apart from the rest, in changes landed.

Higher: more is tested apart, less on top of a place."""
PROOF_FIRST = 1.2
"""The same as PROOF while only green changes are put on top of a place: the others have to pass apart first."""
PRICE = 0.28
"""Smallest worth of a probe, in changes landed on average, while all slots are free; twice that for the last free slot.

Higher: a change that arrives finds a slot more often. Lower: slots are used for less likely cases."""
STEPS = 8
"""Number of steps in which changes are compared, in probability on top of a place, in worth apart.

Within a step the order of the queue holds. More: likelier changes come first. Fewer: older ones do."""
AGE = 0.25
"""How much more a change counts for each gate time that it has waited, up to LONG_WAIT of them.

Higher: old changes are served before more young ones, which shortens the tail. Lower: more land on average."""


@dataclass(frozen=True)
class Bet:
    """A probe that is worth starting."""

    value: float
    """How many changes it lands on average, older ones counting more; for a test apart, what it is worth in such."""
    chain: tuple[str, ...]
    """The keys of the chain, in order."""
    why: str
    """The reason, in words and numbers."""
    outlook: Outlook
    """What is believed of the lane that it is placed in."""


@dataclass
class Outlook:
    """What is believed of one lane in one turn: where trunk will be, and what the running probes will show."""

    turn: Planning
    worlds: Worlds
    tracks: Tracks
    shown: dict[str, int] = field(default_factory=dict)
    """By change: the worlds in which a running probe proves it good."""
    weight: Mapping[str, float] = field(default_factory=dict)
    """By change: how much it counts."""
    order: list[str] = field(default_factory=list)
    """The changes of the lane in the order of the queue."""
    proven_only: bool = False
    """Whether only green changes are put on top of a place, as more than CULPRITS bad ones are expected."""

    def runs(self, chain: tuple[str, ...]) -> None:
        """Take into account that a probe of `chain` will prove its members good in the worlds where it passes."""
        passes = self.worlds.pass_in(chain)
        for key in chain:
            self.shown[key] = self.shown.get(key, 0) | passes

    def starts(self, chain: tuple[str, ...]) -> None:
        """Take into account that a probe of `chain` starts now: it may land, too."""
        self.tracks.run(chain)
        self.runs(chain)


def outlook(turn: Planning, worlds: Worlds, landing_if_passed: list[tuple[str, ...]], gates: tuple[str, ...] | None) -> Outlook:
    """Return what is believed of the lane of the changes that `gates` judge.

    `landing_if_passed` is what each running probe lands if it passes (`Planning.rest`). Members of other lanes are left
    out, since landings of other lanes are in nobody's way.
    """
    found = Outlook(turn, worlds, Tracks(worlds))
    found.order = [k for k in turn.ranked() if turn.queue[k].gates == gates]
    others = turn.queue.keys() - found.order if len(turn.lanes) > 1 else ()
    for chain in landing_if_passed:
        found.tracks.run(tuple(k for k in chain if k not in others) if others else chain)
    for probe in turn.running:
        found.runs(probe.chain)
    found.weight = {key: weight(turn, change) for key, change in turn.queue.items()}
    found.proven_only = sum(1 - worlds.chance(worlds.good[k]) for k in found.order) > CULPRITS
    return found


def weight(turn: Planning, change: Change) -> float:
    """Return how much a change counts: 1, and AGE more for each gate time of waiting.

    A level of priority counts as `aging` seconds of waiting.
    """
    waited = turn.now - change.admitted + change.priority * turn.limits.aging
    return 1 + AGE * min(max(0.0, waited / turn.gate_seconds(change.gates)), LONG_WAIT)


def best_bet(outlook: Outlook, free: int, known: set[frozenset[str]]) -> Bet | None:
    """Return the probe that is worth most, or None if none is worth its price with `free` slots left.

    A chain in `known` (as a set) is not probed again.
    """
    price = PRICE * (2 - free / outlook.turn.view.slots)
    bets = [best_chain_on(outlook, known, place) for place in outlook.tracks.places[:LIKELIEST]]
    worth = [b for b in [*bets, bet_apart(outlook, known)] if b and b.value > price]
    return max(worth, key=lambda b: b.value, default=None)


def best_chain_on(outlook: Outlook, known: set[frozenset[str]], place: Place) -> Bet | None:
    """Return the chain that lands most on average on top of `place`: what has landed there, and more.

    Only what is on top counts, and only in the worlds in which trunk gets there. For example, trunk will be at (a,) with
    90%, and b and c, both good with 80%, can follow. The chain a, b lands 0.72 changes more than a on average; a, b, c
    lands 2 * 0.58 = 1.15 more, so the chain is a, b, c.
    """
    turn, worlds, where = outlook.turn, outlook.worlds, place.worlds
    proven = set(turn.mem.green)
    items = turn.compose(place.landed, by_likelihood(outlook, place, proven))
    ride = len(tuple(takewhile(proven.__contains__, place.landed + items)))
    least = LEAST * where.bit_count()
    value, size, passes, heavy = 0.0, 0, where, 0.0
    for n, key in enumerate(items, 1):
        passes &= worlds.good[key]
        suspects = len(place.landed) + n - ride
        if suspects > turn.limits.batch:
            break
        if n > 1 and passes.bit_count() < least:
            break
        heavy += outlook.weight[key]
        gain = heavy * worlds.chance(passes)
        if gain > value and frozenset(place.landed + items[:n]) not in known:
            value, size = gain, n
    if not size:
        return None
    behind = f" behind the {len(place.landed)} in flight" if place.landed else ""
    why = f"lands {size}{behind} if trunk gets there, {worlds.chance(where):.0%}; worth {value:.2f} changes"
    return Bet(value, place.landed + items[:size], why, outlook)


def by_likelihood(outlook: Outlook, place: Place, proven: set[str]) -> list[str]:
    """Return the changes that a chain on top of `place` may take, those first that are good in most of its worlds.

    Shares are compared in eighths (STEPS), so that about equally likely ones stay in the order of the queue.
    """
    worlds, inside, whole = outlook.worlds, set(place.landed), max(1, place.worlds.bit_count())
    able = [key for key in outlook.order if key not in inside and (not outlook.proven_only or key in proven)]
    able.sort(key=lambda key: -round(STEPS * (worlds.good[key] & place.worlds).bit_count() / whole))
    return able


def bet_apart(outlook: Outlook, known: set[frozenset[str]]) -> Bet | None:
    """Return a probe, apart from the rest, of changes that no running probe is likely to show good or to land.

    It holds as many as are worth most together. Untested changes may be among them, and parked suspects too.
    """
    turn, worlds = outlook.turn, outlook.worlds
    lands: dict[str, int] = {}
    for place in outlook.tracks.places:
        for key in place.landed:
            lands[key] = lands.get(key, 0) | place.worlds
    unproven: dict[str, int] = {}
    for key in outlook.order:
        in_doubt = worlds.good[key] != ALL
        if in_doubt and turn.alone(key):
            settled = lands.get(key, 0) | outlook.shown.get(key, 0)
            unproven[key] = worlds.seen & worlds.good[key] & ~settled
    ranked = sorted(unproven, key=lambda key: -round(STEPS * outlook.weight[key] * worlds.chance(unproven[key])))
    items = turn.compose((), ranked, most=turn.limits.batch)
    worth = PROOF_FIRST if outlook.proven_only else PROOF
    value, size, passes = 0.0, 0, worlds.seen
    for n, key in enumerate(items, 1):
        passes &= worlds.good[key]
        gain = worth * sum(outlook.weight[k] * worlds.chance(unproven[k] & passes) for k in items[:n])
        if gain < value:
            break
        if gain > value and frozenset(items[:n]) not in known:
            value, size = gain, n
    if not size:
        return None
    why = f"tests {size} apart from the rest, {worlds.chance(worlds.pass_in(items[:size])):.0%} to pass"
    return Bet(value, items[:size], f"{why}; worth {value:.2f} changes", outlook)
