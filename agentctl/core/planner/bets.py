"""Probes while slots are to spare: bets on where trunk will be when all that runs has ended.

Waiting costs more than probes then. Three things may be asked, and a free slot takes
the one that is worth most, a change counting more the longer it has waited:

- a *train*: on top of where trunk will probably be, the chain that lands most on
  average. If all goes well each change lands one gate after it came, and beside the
  chain for that case run the chains for the likeliest other ones;
- a *proof*: suspects apart from the rest, on trunk as it is. What passes there rides in
  later trains for certain;
- nothing, if neither is worth its price.

With several culprits in flight every long chain fails, so beyond `CULPRITS` only proven
changes go into trains: a change lands two gates after it came, whatever the others are.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import takewhile

from agentctl.core.planner.planning import LONG_WAIT, Planning
from agentctl.core.planner.scenarios import ALL, Tracks, Worlds
from agentctl.core.queue.model import Change

CULPRITS = 4.0
"""Bad changes expected in the queue, beyond which unproven ones go into no train."""
LIKELIEST = 6
"""Places of trunk that a train is considered for."""
LEAST = 0.35
"""A train is not made longer than passes so often, if trunk gets where it is to."""
PROOF = 0.6
"""What proving a change is worth, landing it being 1."""
PROOF_FIRST = 1.2
"""The same where only proven changes go into trains: without it nothing lands."""
PRICE = 0.28
"""Changes landed on average, for less than which no probe is started while all slots are
free; twice that for the last one, so that what arrives finds a slot."""
AGE = 0.25
"""How much more a change counts for each gate time that it has waited."""


@dataclass(frozen=True)
class Bet:
    value: float
    """Changes that land on average, older ones counting more."""
    chain: tuple[str, ...]
    why: str


@dataclass
class Odds:
    """What is believed in one turn, and what the probes that run will show."""

    turn: Planning
    worlds: Worlds
    tracks: Tracks
    shown: dict[str, int] = field(default_factory=dict)
    """By change: the worlds in which a running probe proves it good."""
    weight: Mapping[str, float] = field(default_factory=dict)
    order: list[str] = field(default_factory=list)
    crowded: bool = False
    """Whether only proven changes go into trains."""

    def runs(self, chain: tuple[str, ...]) -> None:
        passes = self.worlds.pass_in(chain)
        for key in chain:
            self.shown[key] = self.shown.get(key, 0) | passes

    def starts(self, chain: tuple[str, ...]) -> None:
        self.tracks.run(chain)
        self.runs(chain)


def odds(turn: Planning, worlds: Worlds, trains: list[tuple[str, ...]], gates: tuple[str, ...] | None) -> Odds:
    """The odds of the changes that `gates` judge. `trains`: what the running probes will land if trunk is
    still on their way; what is landed of other lanes is in nobody's way."""
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
    """How much a change counts: more the longer it has waited, in gate times, a level
    of priority counting as `aging` seconds of waiting."""
    waited = turn.now - change.admitted + change.priority * turn.limits.aging
    return 1 + AGE * min(max(0.0, waited / turn.gate_seconds(change.gates)), LONG_WAIT)


def best_bet(odds: Odds, free: int, known: set[frozenset[str]]) -> Bet | None:
    """The probe that is worth most, if one is worth its price with `free` slots left;
    none that is `known`."""
    price = PRICE * (2 - free / odds.turn.view.slots)
    bets = [train(odds, known, state, where) for state, where in odds.tracks.states[:LIKELIEST]]
    worth = [b for b in [*bets, proof(odds, known)] if b and b.value > price]
    return max(worth, key=lambda b: b.value, default=None)


def train(odds: Odds, known: set[frozenset[str]], state: tuple[str, ...], where: int) -> Bet | None:
    """The chain on top of `state` that lands most on average, if trunk gets there in
    the worlds `where`."""
    turn, worlds = odds.turn, odds.worlds
    proven, inside = set(turn.mem.green), set(state)
    able = [k for k in odds.order if k not in inside and (not odds.crowded or k in proven)]
    whole = max(1, where.bit_count())
    able.sort(key=lambda k: -round(8 * (worlds.good[k] & where).bit_count() / whole))
    items = turn.compose(state, able)
    ride = len(tuple(takewhile(proven.__contains__, state + items)))
    value, size, passes, heavy = 0.0, 0, where, 0.0
    for n, key in enumerate(items, 1):
        passes &= worlds.good[key]
        if len(state) + n - ride > turn.limits.batch or (n > 1 and passes.bit_count() < LEAST * where.bit_count()):
            break
        heavy += odds.weight[key]
        gain = heavy * worlds.chance(passes)
        if gain > value and frozenset(state + items[:n]) not in known:
            value, size = gain, n
    if not size:
        return None
    behind = f" behind the {len(state)} in flight" if state else ""
    why = f"lands {size}{behind} if trunk gets there, {worlds.chance(where):.0%}; worth {value:.2f} changes"
    return Bet(value, state + items[:size], why)


def proof(odds: Odds, known: set[frozenset[str]]) -> Bet | None:
    """The suspects that no running probe is likely to prove, apart from the rest, as
    many as are worth most together."""
    turn, worlds = odds.turn, odds.worlds
    landed: dict[str, int] = {}
    for state, where in odds.tracks.states:
        for key in state:
            landed[key] = landed.get(key, 0) | where
    ranked = []
    for key in odds.order:
        if worlds.good[key] != ALL and turn.alone(key):
            left = worlds.seen & worlds.good[key] & ~(landed.get(key, 0) | odds.shown.get(key, 0))
            ranked.append((-round(8 * odds.weight[key] * worlds.chance(left)), key, left))
    ranked.sort(key=lambda r: r[0])
    items = turn.compose((), [key for _, key, _ in ranked], most=turn.limits.batch)
    unproven = {key: left for _, key, left in ranked}
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
    return Bet(value, items[:size], f"{why}; worth {value:.2f} changes")
