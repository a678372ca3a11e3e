"""How many sessions may start, after what became of the last ones. Facts in, decision out.

A failure that is likely to hit every agent, such as a refused key, holds all of them: nothing
starts for a while, then one session does, as a try. If that fails as well the next pause is
longer; if it does not, two may run, then four and so on until all do. Sessions that were
running when the pause began go on, and say nothing about it.

The state is a fold over the ends of sessions (`after`), so what a supervisor did not see,
its predecessor's tasks tell. Time and chance are given in.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from agentctl.core.tasks.ending import End
from agentctl.core.tasks.failure import NATURE, Failure, Kind
from agentctl.core.tasks.task import Session
from agentctl.core.text.json_form import replace

LONGEST = 10
"""Pauses grow to so many times the first one; twice that where only a person can help."""
GROWTH, GROWTH_UNMENDED = 2, 4
JITTER = 0.25
"""The share by which chance makes a pause longer: many fleets may share a provider."""

DEATHS, DEATHS_WITHIN = 3, 30.0
"""So many crashes that nobody explains, on more than one task and in so many seconds, hold the fleet;
so do as many sessions in a row that were cut off empty-handed."""
QUICK = 30.0
"""Seconds: a crash as soon as that proves nothing about whether the fleet can work again."""
CRASHES, CRASHES_WITHIN = 5, 900.0
"""So many crashes of one agent in so many seconds hold that agent."""
SETTLED = 10.0
"""Seconds that a try must have run at least to count as one that does not fail."""
HOPELESS = 3
"""Rounds after which a program that cannot be run ends the fleet."""


@dataclass(frozen=True, slots=True)
class EndedSession:
    task: str
    started: float
    session: Session

    @property
    def failure(self) -> Failure | None:
        """One that may hold the fleet."""
        found = self.session.failure
        return found if found and NATURE[found.kind].fleet else None

    @property
    def crash(self) -> bool:
        """One that nobody explains."""
        return self.session.end == End.CRASHED and self.session.failure is None

    @property
    def empty_handed(self) -> bool:
        """Cut off by us, with nothing to show: perhaps nobody answered."""
        found = self.session.failure
        return bool(found and found.kind == Kind.LIMIT and not self.session.salvage)


@dataclass(frozen=True, slots=True)
class Brakes:
    failure: Failure | None = None
    """What holds the fleet; None if nothing does."""
    paused: float = 0.0
    """When the newest pause began: whoever started later is a try."""
    until: float = 0.0
    row: int = 0
    """Tries that failed, one after the other, the first failure counted."""
    passed: int = 0
    """Tries that did not fail, in this row."""
    lasted: float = 0.0
    """Seconds that the failing session took to fail."""
    crashes: tuple[EndedSession, ...] = ()
    """Of the last minutes, unexplained."""
    silent: tuple[str, ...] = ()
    """Tasks of the last sessions in a row that were cut off empty-handed."""
    good: tuple[str, float] = ("", float("-inf"))
    """Task, and start, of the last session that had a result."""
    failed: frozenset[str] = frozenset()
    """Tasks with a failure of the fleet's since then."""

    @property
    def held_by(self) -> Failure:
        """What holds the fleet; of one that nothing holds there is no such thing."""
        assert self.failure, "nothing holds the fleet"
        return self.failure


def after(brakes: Brakes, outcome: EndedSession, earlier: Session | None, base: float, jitter: float) -> Brakes:
    """The state when a session has ended. `earlier` is the one before it on the same task, `base`
    the first pause in seconds, `jitter` a number from 0 to 1."""
    session = outcome.session
    if session.end == End.INTERRUPTED:
        return brakes
    brakes = replace(
        brakes,
        crashes=_recent(brakes.crashes, outcome),
        silent=(*brakes.silent, outcome.task)[-DEATHS:] if outcome.empty_handed else (),
    )
    if session.end == End.SUBMITTED:
        brakes = replace(
            brakes, good=max(brakes.good, (outcome.task, outcome.started), key=lambda pair: pair[1]), failed=frozenset()
        )
    alone = _alone(brakes, outcome, earlier)
    if outcome.failure:
        brakes = replace(brakes, failed=brakes.failed | {outcome.task})
    failure = outcome.failure or _deaths(brakes, outcome) or _silence(brakes, outcome)
    is_try = outcome.started >= brakes.paused
    if failure is None:
        proves = is_try and not (outcome.crash and session.seconds < QUICK)
        if brakes.failure and is_try and not proves:
            return _pause(brakes, brakes.failure, outcome, base, jitter)
        return replace(brakes, passed=brakes.passed + 1) if brakes.failure and proves else brakes
    if brakes.failure and not is_try:
        return replace(brakes, until=max(brakes.until, failure.after))
    return brakes if alone else _pause(brakes, failure, outcome, base, jitter)


def _pause(brakes: Brakes, failure: Failure, outcome: EndedSession, base: float, jitter: float) -> Brakes:
    now, row = outcome.session.ended, brakes.row + 1 if brakes.failure else 1
    until = max(now + pause(failure.kind, row, base) * (1 + JITTER * jitter), failure.after)
    return replace(brakes, failure=failure, paused=now, until=until, row=row, passed=0, lasted=outcome.session.seconds)


def pause(kind: Kind, row: int, base: float) -> float:
    """Seconds without chance: doubled each time; four times as long where it does not mend itself."""
    mends = NATURE[kind].mends
    growth, longest = (GROWTH, LONGEST) if mends else (GROWTH_UNMENDED, 2 * LONGEST)
    return float(base * min(longest, growth ** min(row - 1, 30)))


def _alone(brakes: Brakes, outcome: EndedSession, earlier: Session | None) -> bool:
    """True if this task failed before, since then another was worked on from its beginning to a
    result, and no other has failed after that: then what fails is no matter of the fleet's."""
    return bool(
        outcome.failure
        and earlier
        and earlier.failure
        and brakes.good[0] != outcome.task
        and brakes.good[1] > earlier.ended
        and not brakes.failed - {outcome.task}
    )


def _recent(crashes: tuple[EndedSession, ...], outcome: EndedSession) -> tuple[EndedSession, ...]:
    listed = (*crashes, outcome) if outcome.crash else crashes
    return tuple(one for one in listed if outcome.session.ended - one.session.ended < CRASHES_WITHIN)


def _deaths(brakes: Brakes, outcome: EndedSession) -> Failure | None:
    """The failure that several crashes in a row are, when this outcome completes them."""
    last = brakes.crashes[-DEATHS:]
    if not outcome.crash or len(last) < DEATHS or last[-1] is not outcome or len({one.task for one in last}) < 2:
        return None
    first = last[0].session.ended
    quick = outcome.session.ended - first <= DEATHS_WITHIN and all(one.session.seconds < QUICK for one in last)
    between = brakes.good[1] > first - last[0].session.seconds
    return Failure(Kind.CRASHES, outcome.session.note) if quick and not between else None


def _silence(brakes: Brakes, outcome: EndedSession) -> Failure | None:
    """The failure that it is when several in a row, on more than one task, came to nothing."""
    row = brakes.silent
    return Failure(Kind.SILENT, outcome.session.note) if len(row) == DEATHS and len(set(row)) > 1 else None


def room(brakes: Brakes, running: Iterable[float], size: int, base: float, now: float) -> int:
    """How many sessions may start in a fleet of `size`; `running` are the starts of those that run."""
    if brakes.failure is None:
        return size
    if now < brakes.until:
        return 0
    tries = [start for start in running if start >= brakes.paused]
    return max(0, max(1, 2 * proven(brakes, tries, base, now)) - len(tries))


def proven(brakes: Brakes, running: Iterable[float], base: float, now: float) -> int:
    """Tries that did not fail, or have run so long that they would have; if it was silence that
    failed, a long silence says nothing."""
    if brakes.failure and brakes.failure.kind == Kind.SILENT:
        return brakes.passed
    settled = max(SETTLED, min(LONGEST * base, max(2 * base, 3 * brakes.lasted)))
    return brakes.passed + sum(start >= brakes.paused and now - start >= settled for start in running)


def released(brakes: Brakes, running: Iterable[float], size: int, base: float, now: float) -> Brakes:
    """The state without its failure, once as many may run as there are."""
    if brakes.failure is None or 2 * proven(brakes, running, base, now) < size:
        return brakes
    return Brakes(crashes=brakes.crashes, silent=brakes.silent, good=brakes.good, failed=brakes.failed)


def resting(brakes: Brakes, agent: str, now: float) -> float:
    """Until when an agent that crashed too often gets no work; 0 if it does."""
    mine = [one.session.ended for one in brakes.crashes if one.session.agent == agent][-CRASHES:]
    until = mine[0] + CRASHES_WITHIN if len(mine) == CRASHES else 0.0
    return until if until > now else 0.0


def hopeless(brakes: Brakes) -> bool:
    """True if the agents' program cannot be run at all."""
    return bool(brakes.failure and brakes.failure.kind == Kind.PROGRAM and brakes.row >= HOPELESS)


def inherited(outcomes: Iterable[tuple[EndedSession, Session | None]], base: float, now: float) -> Brakes:
    """The state that a supervisor begins with, from what happened before in order of time. Its
    first session is a try at once: whoever starts it again has mended something."""
    brakes = Brakes()
    for outcome, earlier in outcomes:
        brakes = after(brakes, outcome, earlier, base, 0.0)
        brakes = released(brakes, (), 2, base, outcome.session.ended)
    if brakes.failure:
        return replace(brakes, until=min(brakes.until, max(now, brakes.failure.after)), row=1)
    return replace(brakes, crashes=())
