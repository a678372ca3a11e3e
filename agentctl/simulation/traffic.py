"""Traffic for a simulated queue: who submits what and when, and what is true of it.

It is made up from a seed (`Traffic`) or read from a file (`read_trace`). The same traffic can be given to several
strategies, because nothing in it depends on what they do.

A trace file has a JSON object on each line, in the order of arrival:

    {"at": 12.5, "agent": "ann", "bad": false, "seconds": 240}

`at` and `seconds` (of the gate on this change) are in seconds; only `at` is required. Also optional are `priority`,
`breaks_with` and `clashes_with`. The last two name an earlier change by the number of its line (from 0, blank lines
are not counted): together with it this change fails, or it conflicts with it textually, although both are good.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Arrival:
    """One change as it is submitted."""

    at: float
    agent: str = "agent-0"
    bad: bool = False
    seconds: float = 1.0
    """How long the gate takes on a tree whose last change is this one."""
    priority: int = 0
    breaks_with: int | None = None
    """The number of an earlier arrival; a tree with both fails."""
    clashes_with: int | None = None
    """The number of an earlier arrival; the two conflict textually if both are queued at the same time."""


@dataclass(frozen=True, kw_only=True)
class Traffic:
    """Made-up traffic; the same seed gives the same arrivals."""

    risks: tuple[float, ...]
    """For each agent, the probability that a change of it is bad; the agents submit in turn."""
    seed: int = 1
    rate: float | None = None
    """Arrivals a second, as a Poisson process; None: all at 0, for a queue that is kept full."""
    seconds: float = 1.0
    pairs: float = 0.0
    """Share of changes that break together with one of the `NEAR` changes before them."""
    clashes: float = 0.0
    """Share of changes that conflict textually with one of the `NEAR` changes before them."""
    priorities: tuple[int, ...] = (0,)
    """The priorities, drawn with equal chances."""
    count: int | None = None
    """How many changes arrive; None: without end."""

    def __iter__(self) -> Iterator[Arrival]:
        dice = random.Random(self.seed)
        at, number = 0.0, 0
        while number != self.count:
            agent = number % len(self.risks)
            if self.rate is not None:
                at += dice.expovariate(self.rate)
            bad = dice.random() < self.risks[agent]
            yield Arrival(
                at,
                f"agent-{agent}",
                bad,
                self.seconds,
                dice.choice(self.priorities) if len(self.priorities) > 1 else self.priorities[0],
                _partner(dice, number, self.pairs),
                _partner(dice, number, self.clashes),
            )
            number += 1

    @property
    def known_risks(self) -> dict[str, float]:
        """The risks by agent, for strategies that are told."""
        return {f"agent-{n}": risk for n, risk in enumerate(self.risks)}


NEAR = 50


def _partner(dice: random.Random, number: int, share: float) -> int | None:
    if not share or dice.random() >= share or not number:
        return None
    return number - dice.randint(1, min(NEAR, number))


_KINDS = {"at": float, "agent": str, "bad": bool, "seconds": float, "priority": int, "breaks_with": int, "clashes_with": int}


def read_trace(lines: Iterable[str]) -> list[Arrival]:
    """Return the arrivals of a trace file.

    Raises ValueError that names the line.
    """
    found: list[Arrival] = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            arrival = _arrival(json.loads(line), len(found))
        except (ValueError, TypeError) as error:
            raise ValueError(f"line {number}: {error}") from None
        if found and arrival.at < found[-1].at:
            raise ValueError(f"line {number}: arrives before the line above it")
        found.append(arrival)
    return found


def _arrival(raw: object, number: int) -> Arrival:
    if not isinstance(raw, dict) or "at" not in raw:
        raise ValueError('expected an object with a number "at"')
    if unknown := raw.keys() - _KINDS.keys():
        raise ValueError(f"unknown key {min(unknown)!r}")
    arrival = Arrival(**{key: _KINDS[key](value) for key, value in raw.items() if value is not None})
    if not arrival.seconds > 0:
        raise ValueError('"seconds" must be more than 0')
    if any(not 0 <= n < number for n in (arrival.breaks_with, arrival.clashes_with) if n is not None):
        raise ValueError('"breaks_with" and "clashes_with" name an earlier line, the first being 0')
    return arrival


def write_trace(arrivals: Iterable[Arrival]) -> Iterator[str]:
    """Yield the lines of a trace file, without values that are the default."""
    plain = Arrival(0.0)
    for arrival in arrivals:
        facts = {key: getattr(arrival, key) for key in _KINDS}
        yield json.dumps({k: v for k, v in facts.items() if k == "at" or v != getattr(plain, k)}) + "\n"
