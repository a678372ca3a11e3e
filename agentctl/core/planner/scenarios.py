"""Ways things could be: a sample of worlds, in each of which every change is good or bad.

A set of worlds is an int, bit w for world w. Which worlds a change is good in follows
from its key and its risk alone, so that the same view gives the same worlds.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from hashlib import shake_128
from math import prod

from agentctl.core.planner.memory import Segment
from agentctl.core.planner.planning import Planning

WORLDS = 1024
ENOUGH = 40
"""Worlds that must be left: a failure that fewer agree with is not taken into account."""
NEXT_TO_NONE = 0.05
"""A chance that suspects are all good, below which they are taken to hold a bad one."""
ALL = (1 << WORLDS) - 1
DIGITS = 12
"""Binary digits of a probability."""

State = tuple[tuple[str, ...], int]
"""What landed on trunk, and the worlds in which it did."""


@lru_cache(maxsize=1 << 12)
def dice(name: str) -> tuple[int, ...]:
    """Independent fair coins: DIGITS of them in each world."""
    data = shake_128(name.encode()).digest(DIGITS * WORLDS // 8)
    size = WORLDS // 8
    return tuple(int.from_bytes(data[i * size : (i + 1) * size]) for i in range(DIGITS))


@lru_cache(maxsize=1 << 14)
def happens(name: str, chance: int) -> int:
    """The worlds in which something of probability `chance` / 2**DIGITS happens: the
    coins of a world, read as a binary fraction, are below it."""
    if chance >> DIGITS:
        return ALL
    worlds = 0
    for digit, coins in enumerate(dice(name)):
        worlds = (worlds | coins) if chance >> digit & 1 else (worlds & coins)
    return worlds


def quantum(probability: float) -> int:
    return min(max(round(probability * (1 << DIGITS)), 0), 1 << DIGITS)


def innocent(turn: Planning, segment: Segment) -> float:
    """Probability that none of the suspects is bad, given their failures; 0 if it is next to none."""
    bad = turn.together(segment.items)
    other = (1 - bad) * prod(alt for _, alt in segment.evidence)
    return other / (bad + other) if other >= NEXT_TO_NONE * (bad + other) else 0.0


class Worlds:
    """Where each queued change is good: drawn from its risk, from the evidence of its
    segment, everywhere if it is proven."""

    def __init__(self, turn: Planning) -> None:
        mem = turn.mem
        self.good: dict[str, int] = dict.fromkeys(mem.green, ALL)
        for segment in mem.segments:
            self._suspect(turn, segment)
        for key in turn.queue:
            if key not in self.good:
                self.good[key] = ALL & ~happens(key, quantum(turn.risk(key)))
        self.seen = self._agree(turn)
        self.count = self.seen.bit_count()

    def _agree(self, turn: Planning) -> int:
        """The worlds in which each failed probe held a bad change, or flaked; what accuses the
        suspects of a segment is in their own odds."""
        seen, used = ALL, {n for s in turn.mem.segments for n, _ in s.evidence}
        for failure in sorted(turn.mem.failures, key=lambda f: (len(f.open), f.number)):
            if failure.number in used:
                continue
            flaked = happens(f"flake {failure.number}", quantum(turn.beliefs.flake))
            left = seen & (flaked | ~self.pass_in(failure.open))
            if left.bit_count() >= ENOUGH:
                seen = left
        return seen

    def chance(self, worlds: int) -> float:
        """Probability of a set of worlds, given all that was seen."""
        return (worlds & self.seen).bit_count() / self.count

    def _suspect(self, turn: Planning, segment: Segment) -> None:
        """At least one of the suspects is bad, or their failures have another cause."""
        good, first = 1.0, []
        for key in segment.items:
            first.append(good * turn.risk(key))
            good *= 1 - turn.risk(key)
        left, none_yet = sum(first) / (1 - innocent(turn, segment)), ALL
        for key, weight in zip(segment.items, first, strict=True):
            bad = none_yet & happens(f"{key} {segment.evidence[-1][0]}", quantum(weight / left if left else 0))
            bad |= ~none_yet & happens(key, quantum(turn.risk(key)))
            self.good[key] = ALL & ~bad
            none_yet &= ~bad
            left -= weight

    def pass_in(self, chain: Iterable[str]) -> int:
        """The worlds in which all of `chain` are good."""
        worlds = ALL
        for key in chain:
            worlds &= self.good.get(key, 0)
        return worlds


class Tracks:
    """Where trunk will be when all that runs has ended, world by world."""

    MOST = 24
    """States kept, the likeliest; what goes further matters little."""

    def __init__(self, worlds: Worlds) -> None:
        self.worlds = worlds
        self.states: list[State] = [((), worlds.seen)]

    def run(self, train: tuple[str, ...]) -> None:
        """A probe of `train` ends: it lands where it passes and trunk is on its way."""
        passes, states, arrived = self.worlds.pass_in(train), [], 0
        for at, where in self.states:
            moves = where & passes if len(at) < len(train) and train[: len(at)] == at else 0
            arrived |= moves
            if where & ~moves:
                states.append((at, where & ~moves))
        if arrived:
            states.append((train, arrived))
        states.sort(key=lambda state: (-state[1].bit_count(), len(state[0]), state[0]))
        self.states = states[: self.MOST]
