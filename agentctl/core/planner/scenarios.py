"""A sample of imagined worlds, in each of which every change is good or bad.

A set of worlds is an int: bit w is set if world w is in it. In which worlds a change is good follows from its key, its risk
and the failures that accuse it, so the same view gives the same worlds.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from hashlib import shake_128
from math import prod
from typing import NamedTuple

from agentctl.core.planner.memory import Segment
from agentctl.core.planner.planning import Planning

WORLDS = 1024
"""Number of worlds. More: probabilities are more exact. Fewer: a plan takes less time."""
ENOUGH = 40
"""Number of worlds that must be left: a failure that fewer worlds agree with is not taken into account.

Higher: more failures are ignored. Lower: probabilities are those of few worlds, and inexact."""
NEXT_TO_NONE = 0.05
"""Probability that suspects are all good, below which one of them is taken to be bad for certain.

Higher: more probes that hold suspects are stopped although the failure was a flake. Lower: more doomed probes hold their
slots. (At 5% or more they run on; docs/ARCHITECTURE.md has the figures for stopping them.)"""
ALL = (1 << WORLDS) - 1
"""The set of all worlds."""
DIGITS = 12
"""Number of binary digits of a probability: its step is 1/4096. More: exacter, and slower."""


class Place(NamedTuple):
    """Where trunk may be when what runs has ended."""

    landed: tuple[str, ...]
    """What landed on trunk as it is, in order."""
    worlds: int
    """The worlds in which trunk ends exactly there."""


@lru_cache(maxsize=1 << 12)
def dice(name: str) -> tuple[int, ...]:
    """Return DIGITS independent fair coins for each world: the set of worlds in which coin i shows heads, for each i."""
    data = shake_128(name.encode()).digest(DIGITS * WORLDS // 8)
    size = WORLDS // 8
    return tuple(int.from_bytes(data[i * size : (i + 1) * size]) for i in range(DIGITS))


@lru_cache(maxsize=1 << 14)
def happens(name: str, chance: int) -> int:
    """Return the worlds in which an event of probability `chance` / 2**DIGITS happens.

    It does where the coins of a world, read as a binary fraction, are below that.
    """
    if chance >> DIGITS:
        return ALL
    worlds = 0
    for digit, coins in enumerate(dice(name)):
        worlds = (worlds | coins) if chance >> digit & 1 else (worlds & coins)
    return worlds


def quantum(probability: float) -> int:
    """Return a probability in steps of 1 / 2**DIGITS."""
    return min(max(round(probability * (1 << DIGITS)), 0), 1 << DIGITS)


def chance_all_good(turn: Planning, segment: Segment) -> float:
    """Return the probability that all suspects of the segment are good, given their failures; 0 if below NEXT_TO_NONE."""
    bad = turn.together(segment.items)
    other = (1 - bad) * prod(failed.alt for failed in segment.evidence)
    return other / (bad + other) if other >= NEXT_TO_NONE * (bad + other) else 0.0


class Worlds:
    """In which worlds each queued change is good.

    In all of them if it is green; else drawn from its risk and from the evidence of its segment.
    """

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
        """Return the worlds in which each failed probe held a bad change, or flaked.

        Failures that accuse a segment are left out: they are in the odds of its suspects already (`_suspect`).
        """
        seen, used = ALL, {failed.number for segment in turn.mem.segments for failed in segment.evidence}
        for failure in sorted(turn.mem.failures, key=lambda f: (len(f.open), f.number)):
            if failure.number in used:
                continue
            flaked = happens(f"flake {failure.number}", quantum(turn.beliefs.flake))
            left = seen & (flaked | ~self.pass_in(failure.open))
            if left.bit_count() >= ENOUGH:
                seen = left
        return seen

    def chance(self, worlds: int) -> float:
        """Return the probability of a set of worlds, given all that was seen."""
        return (worlds & self.seen).bit_count() / self.count

    def _suspect(self, turn: Planning, segment: Segment) -> None:
        """Draw the suspects of a segment: at least one of them is bad, or their failures have another cause.

        If another cause is less likely than NEXT_TO_NONE, it is left out: one of them is bad in every world.

        From the front, each is the first bad one with the probability that it has after those before it were good.
        Nothing is known of those behind the first bad one but their risk. For example, of two suspects with risk 10%
        the first is bad in 0.1 / (0.1 + 0.09) = 53% of the worlds; where it is good the second is bad, and where it is bad
        the second is bad in 10%.
        """
        all_good, first_bad = 1.0, []
        for key in segment.items:
            first_bad.append(all_good * turn.risk(key))
            all_good *= 1 - turn.risk(key)
        left = sum(first_bad) / (1 - chance_all_good(turn, segment))
        none_yet = ALL
        for key, weight in zip(segment.items, first_bad, strict=True):
            chance = weight / left if left else 0
            is_first = none_yet & happens(f"{key} {segment.evidence[-1].number}", quantum(chance))
            is_later = ~none_yet & happens(key, quantum(turn.risk(key)))
            self.good[key] = ALL & ~(is_first | is_later)
            none_yet &= ~is_first
            left -= weight

    def pass_in(self, chain: Iterable[str]) -> int:
        """Return the worlds in which all of `chain` are good."""
        worlds = ALL
        for key in chain:
            worlds &= self.good.get(key, 0)
        return worlds


class Tracks:
    """Where trunk will be when all that runs has ended, world by world."""

    MOST = 24
    """Number of places that are kept, the likeliest. More: rare places of trunk are seen. Fewer: a plan takes less time."""

    def __init__(self, worlds: Worlds) -> None:
        self.worlds = worlds
        self.places = [Place((), worlds.seen)]

    def run(self, chain: tuple[str, ...]) -> None:
        """Take into account that a probe of `chain` ends: it lands in the worlds where it passes and trunk is on its way.

        It is what a probe lands if it passes: its whole chain, or what of it is not on trunk yet.

        For example, after a probe of (a,) trunk is at (a,) in the worlds where a is good, and at () in the others. After a
        probe of (a, b) the worlds at (a,) in which b is good move to (a, b); those at () stay, since a is bad in them.
        """
        passes, arrived = self.worlds.pass_in(chain), 0
        places: list[Place] = []
        for landed, worlds in self.places:
            on_its_way = len(landed) < len(chain) and chain[: len(landed)] == landed
            moves = worlds & passes if on_its_way else 0
            arrived |= moves
            if stays := worlds & ~moves:
                places.append(Place(landed, stays))
        if arrived:
            places.append(Place(chain, arrived))
        places.sort(key=lambda place: (-place.worlds.bit_count(), len(place.landed), place.landed))
        self.places = places[: self.MOST]
