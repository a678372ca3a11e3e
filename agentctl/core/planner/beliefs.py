"""What the planner believes: how likely a change is bad, a gate flakes, a prefix passes.

Beliefs choose probes; they never land or reject anything by themselves.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import log, prod, sqrt
from typing import NamedTuple

from agentctl.core.planner.memory import Memory
from agentctl.core.queue.model import Change


class BetaPrior(NamedTuple):
    """What is believed of a share before anything is counted, as if so many cases had been seen."""

    hits: float
    misses: float


FLAKE_PRIOR = BetaPrior(hits=1.0, misses=299.0)
"""Prior of the flake rate, in runs: 0.33% on average, as if 300 runs had been seen.

A higher mean asks for more second looks in a new hub, a lower one wrongs more good changes there. More runs make the
planner slower to learn the rate."""
FLAKE_FLOOR = 0.0002
"""Smallest flake rate, a probability, that the planner believes, however many runs pass: no proof is ever absolute."""
FLAKE_CEILING = 0.25
"""Largest flake rate, a probability, that the planner believes.

Above this a gate proves next to nothing; the bound keeps the number of repeats finite."""
COMMON_PRIOR = 20.0
"""Weight of the policy's `risk` in the rate common to all agents, in ended changes.

Higher: the common rate is learned more slowly. Lower: the first few changes move it a lot."""
RISK_FLOOR = 0.001
"""Smallest risk, a probability, that a change is believed to have: no agent is trusted blindly."""
RISK_CEILING = 0.95
"""Largest risk, a probability, that a change is believed to have: no agent is given up."""
LEAST_WEIGHT = 8.0
"""Smallest weight of the common rate in an agent's risk, in ended changes. It matters where LIKENESS asks for less."""
LIKENESS = 2.0
"""Number of bad changes that an agent must show before its own record counts as much as everybody's.

Higher: agents are told apart later. Lower: a single bad change marks its agent. Knowing whose change it is saves 17 to 41%
of the probes where agents differ (docs/MEASUREMENTS.md, `agents`)."""
LAST_SUSPECTS = 4
"""Number of suspects of a segment from which on strict proof probes them one by one from the front.

Higher: fewer culprits need a probe of their own. Lower: each probe of the search tells more."""
LIKE = 3.0
"""Factor between two risks above which the changes are tested apart.

A change that is likely bad spoils the answer for those that are likely good, and fails by itself with proof. Higher: more
such answers are spoilt. Lower: groups are shorter, and changes are tested further out of order."""
FORGET = 1024
"""Number of an agent's ended changes at which its counts are halved, so that it can get better or worse.

Higher: risks are more exact. Lower: an agent that changes is noticed sooner."""
BREAK_PRIOR = BetaPrior(hits=0.2, misses=1000.0)
"""Prior of the share of changes that pass and yet break with others that passed, in changes.

Its mean is 0.02%. A fixed 0.05% made failures with 2,000 green changes aboard accuse nobody: 6% more probes at p = 0.5%
(docs/ARCHITECTURE.md)."""

STAGGER = 0.3
"""Probability that the green changes break together, from which on not every probe carries all of them.

Higher: more probes fail for what they carry. Lower: green changes land in more pieces. Windows and the blame by odds
together take 2% interacting changes on 16 slots from 1.6 times the bound to 1.3 (docs/ARCHITECTURE.md)."""
BARE = 0.3
"""Share of the probes that carry a single green change of their window while a break is likely.

What these ask about is answered nearly for certain. Higher: fewer probes look for the break. Lower: more answers are
spoilt by a break."""
GOLDEN = (sqrt(5) - 1) / 2
"""The golden ratio less one: its multiples, modulo 1, are spread evenly, however many are taken."""


@dataclass(frozen=True)
class Settings:
    """The part of the policy that the planner needs."""

    batch: int = 64
    """The largest number of suspects in one probe."""
    rejection: str = "strict"
    """What proves a change bad: a failed chain whose base, with its other members on top, was literally trunk at some
    time ("strict"), or also one whose other members all landed, in whatever order ("inference"). On 16 slots strict
    costs 1.06 to 1.13 times the bound, inference 1.01 to 1.03 (docs/MEASUREMENTS.md)."""
    risk: float = 0.10
    """Prior probability that a change of an unknown agent is bad."""
    doubt: float = 0.004
    """A change is rejected only when the probability that it is good is below this: odds of 249 to 1.

    Higher: fewer second looks. Lower: fewer good changes rejected (0.02% of them instead of 0.08% with 0.015, at
    f = 1% and p = 10%). With 0.02 the learned flake rate stayed at half the true one (docs/ARCHITECTURE.md)."""
    aging: float = 1800.0
    """Seconds of waiting that weigh as much as one level of priority."""


class Beliefs:
    """The probabilities of one turn, computed from the counts in the memory."""

    def __init__(self, mem: Memory, limits: Settings) -> None:
        self._agents = mem.agents
        landed = sum(good for good, _ in mem.agents.values())
        rejected = sum(bad for _, bad in mem.agents.values())
        self._common = (COMMON_PRIOR * limits.risk + rejected) / (COMMON_PRIOR + landed + rejected)
        self._risks: dict[str, float] = {}
        self.flake = flake_rate(mem.flakes, mem.passes)
        self.breaks = (BREAK_PRIOR.hits + mem.broken) / (sum(BREAK_PRIOR) + mem.broken + landed)
        """The probability that one riding change breaks a probe although it passed in another one."""

    def sound(self, riding: int) -> float:
        """Return the probability that `riding` green changes do not break together."""
        return (1 - self.breaks) ** riding

    def window(self, green: int, number: int) -> slice:
        """Return which of the `green` changes of its lane probe `number` carries: all, or a window of them.

        This holds for first probes and searches. Bets and `Chooser.integrate` carry green changes without asking here.

        In a stride of changes a break is STAGGER likely. Windows begin at multiples of it, the last one at least a stride
        before the end. Over the numbers of probes, the probability that the ride breaks is spread evenly from 0 to that of
        all changes from its start on, except that a share BARE carries one change only. Probes without a ride, and those
        of other lanes, use up numbers too, so the spread is only about even.

        For example, with breaks = 1% a break is 30% likely within 36 changes. Of 35 green changes all ride; of 100 the
        windows begin at 0 for even and at 36 for odd numbers of the probe, and are 1 to 100 or 1 to 64 long.
        """
        stride = self._length(STAGGER)
        if green < stride:
            return slice(0, green)
        windows = green // stride
        start = (number % windows) * stride
        evenly_spread = (number * GOLDEN) % 1.0
        share = max(0.0, evenly_spread - BARE) / (1 - BARE)
        all_break = 1 - self.sound(green - start)
        return slice(start, start + self._length(share * all_break))

    def _length(self, broken: float) -> int:
        """Return how many green changes break together with probability `broken`, or a little more."""
        return 1 + int(log(1 - broken) / log(1 - self.breaks))

    def risk_of_agent(self, agent: str) -> float:
        """Return the mean of the agent's Beta posterior around the rate that is common to all."""
        if agent not in self._risks:
            good, bad = self._agents.get(agent, (0, 0))
            weight = max(LEAST_WEIGHT, LIKENESS / self._common)
            mean = (weight * self._common + bad) / (weight + good + bad)
            self._risks[agent] = within_bounds(mean)
        return self._risks[agent]

    def risk(self, change: Change | None) -> float:
        """Return the probability that `change` is bad; for None, that of an average change."""
        return within_bounds(self._common) if change is None else self.risk_of_agent(change.agent)

    def history(self, agent: str) -> str:
        """Return in words what became of the agent's changes."""
        good, bad = self._agents.get(agent, (0, 0))
        if not good + bad:
            return f"{agent} is new, {self.risk_of_agent(agent):.0%} assumed"
        return f"{agent} failed {bad:.0f} of {good + bad:.0f}"


def within_bounds(risk: float) -> float:
    """Return the risk, or the bound that it exceeds."""
    return min(max(risk, RISK_FLOOR), RISK_CEILING)


def flake_rate(flakes: int, passes: int) -> float:
    """Return the mean of the posterior, plus one standard deviation once a flake was seen.

    An underestimate would confirm itself: a good change that it rejects is never seen to land.
    """
    a, b = FLAKE_PRIOR.hits + flakes, FLAKE_PRIOR.misses + passes
    mean = a / (a + b)
    deviation = sqrt(mean * (1 - mean) / (a + b + 1)) if flakes else 0.0
    return min(max(mean + deviation, FLAKE_FLOOR), FLAKE_CEILING)


def prefix_passes(risks: Sequence[float], alts: Sequence[float], flake: float) -> list[float]:
    """Return, for m = 1 .. n, the probability that a probe of the first m suspects passes after probes of all n failed.

    `alts` has one number for each failed probe: the probability that it fails although all n are good. The posterior that
    the first bad change is at i is w_i ~ p_i * prod(1 - p_k, k < i), that of "none is bad" is prod(1 - p_k) * prod(alts).

    For example, two suspects with risk 1/2 each and a gate that never flakes: the first is bad in two of the three
    cases that are left, so prefix_passes([0.5, 0.5], [0.0], 0.0) is [1/3, 0.0].
    """
    all_good, first_bad = 1.0, []
    for p in risks:
        first_bad.append(all_good * p)
        all_good *= 1 - p
    total = sum(first_bad) + all_good * prod(alts)
    left, passes = total, []
    for weight in first_bad:
        left -= weight
        passes.append((1 - flake) * max(left, 0.0) / total)
    return passes


def split(passes: Sequence[float], strict: bool) -> list[int]:
    """Return the sizes of the prefix of a failed segment to probe, best first: nearest to an even bet.

    Strict proof makes the last suspect dear: if it is bad by elimination it still has to fail a probe of its own, while
    one that fails alone is proven at once. So the last four are probed from the front, one by one: 1% fewer probes at
    p = 10%.
    """
    if strict and len(passes) <= LAST_SUSPECTS:
        return list(range(1, len(passes) + 1))
    return sorted(range(1, len(passes) + 1), key=lambda m: (abs(passes[m - 1] - 0.5), m))


def group(untested: Iterable[tuple[str, float]], strict: bool) -> tuple[str, ...]:
    """Return the first keys of the pairs (key, risk) that pass together with probability nearest 1/2; at least one.

    With strict proof it returns three where that would be two, if there are so many. Of three, fewer are found bad by
    elimination, and each of these costs a probe of its own: at p = 30%, by calculation, three cost 0.99 probes for a
    decided change, two 1.01.

    For example, of changes with risk 10% it returns the first seven, since 0.9 ** 7 = 0.478 is nearer to 1/2 than
    0.9 ** 6 = 0.531 is.
    """
    all_good, full = 1.0, False
    found: list[str] = []
    for key, risk in untested:
        with_it = all_good * (1 - risk)
        further_off = abs(with_it - 0.5) >= abs(all_good - 0.5)
        full = full or (bool(found) and further_off)
        rather_three = strict and len(found) == 2
        if full and not rather_three:
            break
        all_good = with_it
        found.append(key)
    return tuple(found)


def like(risk: float, other: float) -> bool:
    """Tell whether two risks differ by no more than the factor LIKE."""
    return risk <= LIKE * other and other <= LIKE * risk


def odds_bad(risk: float, alts: Sequence[float]) -> float:
    """Return the odds that a change is bad after failures that a good one suffers with the probabilities `alts`.

    If all c of them are f, that is p/(1-p) * f^-c.
    """
    return risk / (1 - risk) / max(prod(alts), 1e-300)
