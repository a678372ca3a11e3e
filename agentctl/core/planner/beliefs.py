"""What the planner believes: how likely a change is bad, a gate lies, a prefix passes.

Beliefs choose probes; they never land or reject anything by themselves.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import log, prod, sqrt

from agentctl.core.planner.memory import Memory
from agentctl.core.queue.model import Change

FLAKE_PRIOR = (1.0, 299.0)
"""Beta prior of the flake rate: 0.33% on average, as if 300 runs had been seen."""
FLAKE_FLOOR = 0.0002
FLAKE_CEILING = 0.25
"""Above this a gate proves next to nothing; a bound keeps repeats finite."""
LIKENESS = 2.0
"""Bad changes that an agent must show before it counts as much as all the others."""
LIKE = 3.0
"""Risks that differ by more than this factor are tested apart: a change that is likely bad
spoils the answer for those that are likely good, and fails by itself with proof."""
FORGET = 1024
"""An agent's counts are halved here, so that it can get better or worse."""
BREAK_PRIOR = (0.2, 1000.0)
"""Beta prior of the share of changes that pass, and yet break with others that passed."""

STAGGER = 0.3
"""Chance that the green changes break together, from which on not every probe carries all."""
BARE = 0.3
"""Share of the probes that carry but one then: what they ask about is answered for certain."""
GOLDEN = (sqrt(5) - 1) / 2
"""Its multiples, modulo 1, are spread evenly, however many are taken."""


@dataclass(frozen=True)
class Settings:
    """The part of the policy that the planner needs."""

    batch: int = 64
    """Most suspects in one probe."""
    rejection: str = "strict"
    """"strict": only on a failed chain whose other members are literally trunk;
    "inference": also when they all landed, in whatever order."""
    risk: float = 0.10
    """Prior probability that a change of an unknown agent is bad."""
    doubt: float = 0.004
    """Reject only when the probability that the change is good is below this."""
    aging: float = 1800.0
    """Seconds of waiting that weigh as much as one level of priority."""


class Beliefs:
    def __init__(self, mem: Memory, limits: Settings) -> None:
        self._agents = mem.agents
        landed = sum(good for good, _ in mem.agents.values())
        rejected = sum(bad for _, bad in mem.agents.values())
        self._common = (20 * limits.risk + rejected) / (20 + landed + rejected)
        self._risks: dict[str, float] = {}
        self.flake = flake_rate(mem.flakes, mem.passes)
        self.breaks = (BREAK_PRIOR[0] + mem.broken) / (sum(BREAK_PRIOR) + mem.broken + landed)
        """Probability that one riding change breaks a probe that it did not break alone."""

    def sound(self, riding: int) -> float:
        """Probability that no two of `riding` green changes break together."""
        return (1 - self.breaks) ** riding

    def window(self, green: int, number: int) -> slice:
        """Which of the green changes probe `number` carries. Windows begin wherever a break is
        STAGGER likely since the last began; from one probe of a window to the next the chance
        that it breaks is spread evenly from 0 to that of all that follow, but for a share BARE."""
        size = self._length(STAGGER)
        if green < size:
            return slice(0, green)
        start = number % (green // size) * size
        spread = max(0.0, number * GOLDEN % 1.0 - BARE) / (1 - BARE)
        return slice(start, start + self._length(spread * (1 - self.sound(green - start))))

    def _length(self, broken: float) -> int:
        """How many green changes break together with this probability, or a little more."""
        return 1 + int(log(1 - broken) / log(1 - self.breaks))

    def risk_of_agent(self, agent: str) -> float:
        """Mean of the agent's Beta posterior around the rate common to all."""
        if agent not in self._risks:
            good, bad = self._agents.get(agent, (0, 0))
            weight = max(8.0, LIKENESS / self._common)
            mean = (weight * self._common + bad) / (weight + good + bad)
            self._risks[agent] = min(max(mean, 0.001), 0.95)
        return self._risks[agent]

    def risk(self, change: Change | None) -> float:
        """Probability that `change` is bad; of an average one if it is not known."""
        return min(max(self._common, 0.001), 0.95) if change is None else (self.risk_of_agent(change.agent))

    def record(self, agent: str) -> str:
        good, bad = self._agents.get(agent, (0, 0))
        if not good + bad:
            return f"{agent} is new, {self.risk_of_agent(agent):.0%} assumed"
        return f"{agent} failed {bad:.0f} of {good + bad:.0f}"


def flake_rate(flakes: int, passes: int) -> float:
    """Mean of the posterior; once a flake was seen plus one deviation, since an
    underestimate confirms itself: a good change that it rejects is never seen to land."""
    a, b = FLAKE_PRIOR[0] + flakes, FLAKE_PRIOR[1] + passes
    mean = a / (a + b)
    deviation = sqrt(mean * (1 - mean) / (a + b + 1)) if flakes else 0.0
    return min(max(mean + deviation, FLAKE_FLOOR), FLAKE_CEILING)


def prefix_passes(risks: Sequence[float], alts: Sequence[float], flake: float) -> list[float]:
    """For m = 1 .. n: the probability that a probe of the first m suspects passes,
    given that probes of all n failed. `alts` has one number a failed probe: the
    probability that it fails although all n are good.

    The posterior of the first bad position is w_i ~ p_i * prod(1 - p_k, k < i), that
    of "none is bad" is prod(1 - p_k) * prod(alts).
    """
    good, first = 1.0, []
    for p in risks:
        first.append(good * p)
        good *= 1 - p
    total = sum(first) + good * prod(alts)
    left, passes = total, []
    for weight in first:
        left -= weight
        passes.append((1 - flake) * max(left, 0.0) / total)
    return passes


def split(passes: Sequence[float], strict: bool) -> list[int]:
    """Sizes of the prefix of a failed segment to probe, best first: nearest to an even
    bet. Strict proof makes the last suspect dear: found guilty by elimination, it still
    has to fail a probe of its own, while one that fails alone is proven at once. So the
    last four are probed from the front, one by one: 1% fewer probes at p = 10%."""
    if strict and len(passes) <= 4:
        return list(range(1, len(passes) + 1))
    return sorted(range(1, len(passes) + 1), key=lambda m: (abs(passes[m - 1] - 0.5), m))


def group(untested: Iterable[tuple[str, float]], strict: bool) -> tuple[str, ...]:
    """The first of the (key, risk) that pass together with probability nearest 1/2; at
    least one. Strict proof pays for three where that would be two."""
    together, full = 1.0, False
    found: list[str] = []
    for key, p in untested:
        full = full or bool(found) and abs(together * (1 - p) - 0.5) >= abs(together - 0.5)
        if full and not (strict and len(found) == 2):
            break
        together *= 1 - p
        found.append(key)
    return tuple(found)


def like(risk: float, other: float) -> bool:
    return risk <= LIKE * other and other <= LIKE * risk


def odds_bad(risk: float, alts: Sequence[float]) -> float:
    """Odds that a change is bad after failures that a good one suffers with `alts`."""
    return risk / (1 - risk) / max(prod(alts), 1e-300)
