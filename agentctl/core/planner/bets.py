"""Probes while slots are to spare: bets on where trunk will be when all that runs has ended.

Waiting costs more than probes then. A free slot takes the one of three that is worth most, and a change counts more the
longer it has waited:

- a *train*: on top of where trunk will probably be, the chain that lands most on average. If all goes well, each change
  lands one gate time after it came. Beside the train for that case run trains for the likeliest other cases;
- a *proof*: suspects apart from the rest, on trunk as it is. Those that pass there are green, and later trains count them
  as good;
- nothing, if neither is worth its price.

With several culprits in flight every long chain fails. So beyond `CULPRITS` only proven changes go into trains: a change
lands two gate times after it came, whatever the others are.

The prices below were set for the rule that stops doomed trains (`choose.doomed`). With both the 95th percentile of the
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
"""Number of bad changes expected in the queue (of a lane) beyond which only proven changes go into trains.

Higher: more trains fail. Lower: more changes take two gate times where one would do."""
LIKELIEST = 6
"""Number of places of trunk, the likeliest, for which a train is considered. More: rarer cases are bet on, and a plan
takes longer."""
LEAST = 0.35
"""Smallest probability with which a train passes if trunk gets where it should; it is not made longer than that.

Higher: shorter trains, that land more often. Lower: longer ones, that land more at once."""
PROOF = 0.6
"""What proving a change is worth, in changes landed. Higher: more proofs, fewer trains."""
PROOF_FIRST = 1.2
"""What proving a change is worth, in changes landed, where only proven ones go into trains: without it nothing lands."""
PRICE = 0.28
"""Smallest worth of a probe, in changes landed on average, while all slots are free; twice that for the last free slot.

Higher: a change that arrives finds a slot more often. Lower: slots are used for less likely cases."""
STEPS = 8
"""Number of steps in which changes are compared, in probability for a train, in worth for a proof.

Within a step the order of the queue holds. More: likelier changes come first. Fewer: older ones do."""
AGE = 0.25
"""How much more a change counts for each gate time that it has waited, up to LONG_WAIT of them.

Higher: old changes are served before more young ones, which shortens the tail. Lower: more land on average."""


@dataclass(frozen=True)
class Bet:
    """A probe that is worth starting."""

    value: float
    """How many changes it lands on average, older ones counting more."""
    chain: tuple[str, ...]
    """The keys of the chain, in order."""
    why: str
    """The reason, in words and numbers."""
    odds: Odds
    """The odds of the lane that it is placed in."""


@dataclass
class Odds:
    """What is believed in one turn, and what the probes that run will show."""

    turn: Planning
    worlds: Worlds
    tracks: Tracks
    shown: dict[str, int] = field(default_factory=dict)
    """By change: the worlds in which a running probe proves it good."""
    weight: Mapping[str, float] = field(default_factory=dict)
    """By change: how much it counts."""
    order: list[str] = field(default_factory=list)
    """The changes of the lane in the order of the queue."""
    crowded: bool = False
    """Whether only proven changes go into trains."""

    def runs(self, chain: tuple[str, ...]) -> None:
        """Take into account that a probe of `chain` will prove its members good in the worlds where it passes."""
        passes = self.worlds.pass_in(chain)
        for key in chain:
            self.shown[key] = self.shown.get(key, 0) | passes

    def starts(self, chain: tuple[str, ...]) -> None:
        """Take into account that a probe of `chain` starts now: it may land, too."""
        self.tracks.run(chain)
        self.runs(chain)


def odds(turn: Planning, worlds: Worlds, trains: list[tuple[str, ...]], gates: tuple[str, ...] | None) -> Odds:
    """Return the odds of the changes that `gates` judge.

    `trains` are the rests of the running probes (`Planning.rest`): what each lands if it passes. Members of other lanes are
    left out of them, since landings of other lanes are in nobody's way.
    """
    found = Odds(turn, worlds, Tracks(worlds))
    found.order = [k for k in turn.ranked() if turn.queue[k].gates == gates]
    others = turn.queue.keys() - found.order if len(turn.lanes) > 1 else ()
    for train in trains:
        found.tracks.run(tuple(k for k in train if k not in others) if others else train)
    for probe in turn.view.running:
        found.runs(probe.chain)
    found.weight = {key: weight(turn, change) for key, change in turn.queue.items()}
    found.crowded = sum(1 - worlds.chance(worlds.good[k]) for k in found.order) > CULPRITS
    return found


def weight(turn: Planning, change: Change) -> float:
    """Return how much a change counts: 1, and AGE more for each gate time of waiting.

    A level of priority counts as `aging` seconds of waiting.
    """
    waited = turn.now - change.admitted + change.priority * turn.limits.aging
    return 1 + AGE * min(max(0.0, waited / turn.gate_seconds(change.gates)), LONG_WAIT)


def best_bet(odds: Odds, free: int, known: set[frozenset[str]]) -> Bet | None:
    """Return the probe that is worth most, or None if none is worth its price with `free` slots left.

    A chain in `known` (as a set) is not probed again.
    """
    price = PRICE * (2 - free / odds.turn.view.slots)
    bets = [train(odds, known, place) for place in odds.tracks.places[:LIKELIEST]]
    worth = [b for b in [*bets, proof(odds, known)] if b and b.value > price]
    return max(worth, key=lambda b: b.value, default=None)


def train(odds: Odds, known: set[frozenset[str]], place: Place) -> Bet | None:
    """Return the chain that lands most on average if trunk gets to `place`: what has landed there, and more on top.

    For example, trunk will be at (a,) with 90%, and b and c, both good with 80%, can follow: a, b lands 0.72
    changes on average, a, b, c lands 2 * 0.58 = 1.15, so the train is a, b, c.
    """
    turn, worlds, where = odds.turn, odds.worlds, place.worlds
    proven = set(turn.mem.green)
    items = turn.compose(place.landed, by_likelihood(odds, place, proven))
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
        heavy += odds.weight[key]
        gain = heavy * worlds.chance(passes)
        if gain > value and frozenset(place.landed + items[:n]) not in known:
            value, size = gain, n
    if not size:
        return None
    behind = f" behind the {len(place.landed)} in flight" if place.landed else ""
    why = f"lands {size}{behind} if trunk gets there, {worlds.chance(where):.0%}; worth {value:.2f} changes"
    return Bet(value, place.landed + items[:size], why, odds)


def by_likelihood(odds: Odds, place: Place, proven: set[str]) -> list[str]:
    """Return the changes that a train on top of `place` may take, those first that are good in most of its worlds.

    Shares are compared in eighths (STEPS), so that about equally likely ones stay in the order of the queue.
    """
    worlds, inside, whole = odds.worlds, set(place.landed), max(1, place.worlds.bit_count())
    able = [key for key in odds.order if key not in inside and (not odds.crowded or key in proven)]
    able.sort(key=lambda key: -round(STEPS * (worlds.good[key] & place.worlds).bit_count() / whole))
    return able


def proof(odds: Odds, known: set[frozenset[str]]) -> Bet | None:
    """Return a probe of suspects that no running probe is likely to prove, as many as are worth most together."""
    turn, worlds = odds.turn, odds.worlds
    lands: dict[str, int] = {}
    for place in odds.tracks.places:
        for key in place.landed:
            lands[key] = lands.get(key, 0) | place.worlds
    unproven: dict[str, int] = {}
    for key in odds.order:
        in_doubt = worlds.good[key] != ALL
        if in_doubt and turn.alone(key):
            settled = lands.get(key, 0) | odds.shown.get(key, 0)
            unproven[key] = worlds.seen & worlds.good[key] & ~settled
    ranked = sorted(unproven, key=lambda key: -round(STEPS * odds.weight[key] * worlds.chance(unproven[key])))
    items = turn.compose((), ranked, most=turn.limits.batch)
    worth = PROOF_FIRST if odds.crowded else PROOF
    value, size, passes = 0.0, 0, worlds.seen
    for n, key in enumerate(items, 1):
        passes &= worlds.good[key]
        gain = worth * sum(odds.weight[k] * worlds.chance(unproven[k] & passes) for k in items[:n])
        if gain < value:
            break
        if gain > value and frozenset(items[:n]) not in known:
            value, size = gain, n
    if not size:
        return None
    why = f"tests {size} apart from the rest, {worlds.chance(worlds.pass_in(items[:size])):.0%} to pass"
    return Bet(value, items[:size], f"{why}; worth {value:.2f} changes", odds)
