"""How many sessions may start, after what became of the last ones: facts in, decision out.

A failure that is likely to hit every agent, such as a refused key, holds all of them. Nothing starts for a while; then
one session does, as a try. If that fails as well, the next pause is longer. If it does not fail, four may run, then
sixteen and so on, until all do. Sessions that were running when the pause began go on. Their ends tell nothing about whether
the fleet can work again.

The state is a fold over the ends of sessions (`after`). So the tasks that a predecessor left tell a supervisor what it
did not see itself. Time and chance are arguments.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import reduce
from itertools import takewhile

from agentctl.core.tasks.cut_off import empty_handed
from agentctl.core.tasks.ending import End
from agentctl.core.tasks.failure import NATURE, Failure, Kind
from agentctl.core.tasks.task import Session
from agentctl.core.text.json_form import replace

LONGEST = 10
"""How many times longer than the first pause a pause can become; twice that if only a person can help."""
GROWTH, GROWTH_UNMENDED = 2, 4
JITTER = 0.25
"""The largest share by which chance makes a pause longer, because many fleets may share a provider."""

DEATHS, DEATHS_WITHIN = 3, 30.0
"""So many unexplained crashes, on more than one task and within so many seconds, hold the fleet.

So do as many sessions in a row, on more than one task, that were cut off empty-handed.
"""
QUICK = 30.0
"""A try that crashes within so many seconds does not show that the fleet can work again, and counts as failed."""
CRASHES, CRASHES_WITHIN = 5, 900.0
"""So many crashes of one agent within so many seconds hold that agent."""
REMEMBERED = 1000
"""The most crashes that are remembered."""
SETTLED = 10.0
"""The least number of seconds that a running try must last to count as one that does not fail."""
SURGE = 4
"""How many tries may run for each one that did not fail. With twice as many, a thousand agents need ten steps."""
BELIEVED = 3
"""After so many failed tries in a row, the first failure included, the far time that only one task was told is believed."""
HOPELESS = 3
"""After so many failed tries in a row, the first failure included, a program that cannot be run ends the fleet."""


@dataclass(frozen=True, slots=True)
class EndedSession:
    task: str
    started: float
    session: Session

    @property
    def failure(self) -> Failure | None:
        """The failure that may hold the fleet, or None."""
        found = self.session.failure
        return found if found and NATURE[found.kind].fleet else None

    @property
    def crash(self) -> bool:
        """True for a crash that nobody explains."""
        return self.session.end == End.CRASHED and self.session.failure is None


@dataclass(frozen=True, slots=True)
class Row:
    """The failures of a task in a row, of kinds that may hold the fleet."""

    first: float
    """When the first of them ended."""
    last: float


@dataclass(frozen=True, slots=True)
class RunningSession:
    started: float
    answered: bool | None = None
    """Whether the provider answers it; None if its program tells nothing of that."""


@dataclass(frozen=True, slots=True)
class Brakes:
    failure: Failure | None = None
    """The failure that holds the fleet; None if nothing does."""
    paused: float = 0.0
    """When the newest pause began: a session that started later is a try."""
    until: float = 0.0
    odd: Session | None = None
    """The try that failed last, if what holds the fleet does not explain it; None if it does."""
    row: int = 0
    """The number of failed tries in a row, the first failure included; that a program cannot be run begins a row of its own."""
    worked: bool = False
    """True if a session that was running already had a result since the row began, and not right after a pause did."""
    passed: int = 0
    """The number of tries that have not failed since the newest pause began."""
    lasted: float = 0.0
    """How many seconds the failing session took to fail; 0 if it was answered for so long before that this tells nothing."""
    unanswered: bool = False
    """True if the failing session told no answer: a try that tells one has come further."""
    crashes: tuple[EndedSession, ...] = ()
    """The unexplained crashes of the last CRASHES_WITHIN seconds."""
    silent: tuple[tuple[str, float], ...] = ()
    """The tasks and the starts of the last sessions, in a row, that were cut off empty-handed."""
    good: tuple[str, float, float] = ("", float("-inf"), float("-inf"))
    """The task, the start and the end of the session that started last among those with a result."""
    failed: frozenset[str] = frozenset()
    """The tasks that had a failure that may hold the fleet, since the last session with a result."""

    @property
    def held_by(self) -> Failure:
        """The failure that holds the fleet; to be asked only if one does."""
        assert self.failure, "nothing holds the fleet"
        return self.failure


def after(
    brakes: Brakes, outcome: EndedSession, row: Row | None, base: float, jitter: float, running: Iterable[RunningSession] = ()
) -> Brakes:
    """Return the state after a session has ended.

    `row` are the failures of its task right before it, None if there are none. `base` is the first pause in seconds. `jitter` is a number
    between 0 and 1. `running` are the sessions that run.
    """
    session = outcome.session
    if session.end in (End.INTERRUPTED, End.BEHIND):
        return brakes
    brakes = replace(brakes, crashes=_recent(brakes.crashes, outcome), silent=_silent(brakes.silent, outcome))
    if session.end == End.SUBMITTED:
        brakes = _with_result(brakes, outcome, base)
    alone = _alone(brakes, outcome, row)
    if outcome.failure:
        brakes = replace(brakes, failed=brakes.failed | {outcome.task})
    failure = outcome.failure or _deaths(brakes, outcome, running) or _silence(brakes, outcome)
    is_try = outcome.started >= brakes.paused
    if failure is None:
        if session.end == End.DEFERRED:
            return brakes  # It says nothing of the provider, which it may not have asked.
        proves = is_try and not (outcome.crash and session.seconds < QUICK or empty_handed(session))
        if brakes.failure and is_try and not proves and not brakes.passed:
            return replace(_pause(brakes, brakes.failure, outcome, base, jitter), odd=session)
        return replace(brakes, passed=brakes.passed + 1, odd=None) if brakes.failure and proves else brakes
    if alone:
        return brakes
    if brakes.failure and not is_try:
        return replace(brakes, until=max(brakes.until, _named(brakes, failure, session.ended, base)))
    return _pause(brakes, failure, outcome, base, jitter)


def _with_result(brakes: Brakes, outcome: EndedSession, base: float) -> Brakes:
    """Return the state after a result: whatever time was named, the next try is not far then."""
    ended = outcome.session.ended
    return replace(
        brakes,
        good=max(brakes.good, (outcome.task, outcome.started, ended), key=lambda one: one[1]),
        failed=frozenset(),
        # Right after a pause began, a session may hand in what it had before.
        worked=brakes.worked or brakes.failure is not None and ended >= brakes.paused + 2 * base,
        until=min(brakes.until, ended + LONGEST * base),
    )


def _pause(brakes: Brakes, failure: Failure, outcome: EndedSession, base: float, jitter: float) -> Brakes:
    known, now = brakes.failure, outcome.session.ended
    again = known is not None and not brakes.passed and (known.kind == Kind.PROGRAM) == (failure.kind == Kind.PROGRAM)
    row = brakes.row + 1 if again else 1
    brakes = replace(brakes, row=row, worked=again and brakes.worked)
    until = max(now + pause(failure.kind, row, base) * (1 + JITTER * jitter), _named(brakes, failure, now, base))
    unanswered = not outcome.session.spent.turns
    lasted = outcome.session.seconds if unanswered or 3 * outcome.session.seconds <= LONGEST * base else 0.0
    return replace(brakes, failure=failure, paused=now, until=until, odd=None, passed=0, lasted=lasted, unanswered=unanswered)


def _named(brakes: Brakes, failure: Failure, now: float, base: float) -> float:
    """Return the time that a failure names, or a nearer one as long as only one task has met it: that may be its own doing.

    After some failed tries it is believed all the same, unless another task has had a result meanwhile.
    """
    sure = len(brakes.failed) > 1 or brakes.row > BELIEVED and not brakes.worked
    return failure.after if sure else min(failure.after, now + LONGEST * base)


def pause(kind: Kind, row: int, base: float) -> float:
    """Return the seconds of a pause, without chance, after `row` failures.

    Each pause is twice as long as the one before, or four times as long if the failure does not mend itself.
    """
    mends = NATURE[kind].mends
    growth, longest = (GROWTH, LONGEST) if mends else (GROWTH_UNMENDED, 2 * LONGEST)
    return float(base * min(longest, growth ** min(row - 1, 30)))


def _alone(brakes: Brakes, outcome: EndedSession, row: Row | None) -> bool:
    """Tell whether the failure is the task's own and does not concern the fleet.

    This is so if the task failed before, another task has since been worked on from the beginning to a result, and no
    other task has failed after that. Such a result tells something for as long as it took: the next one may take as long.
    """
    task, began, ended = brakes.good
    return bool(
        outcome.failure
        and row
        and task != outcome.task
        and began > row.first
        and row.last < ended + (ended - began)
        and not brakes.failed - {outcome.task}
    )


def continued(row: Row | None, session: Session) -> Row | None:
    """Return the failures in a row of a task after one more session; None if it is none."""
    if session.end == End.INTERRUPTED:
        return row
    if not (session.failure and NATURE[session.failure.kind].fleet):
        return None
    return Row(row.first if row else session.ended, session.ended)


def row_of(sessions: Iterable[Session]) -> Row | None:
    """Return the failures in a row with which these sessions of a task end; None if the last one is none."""
    return reduce(continued, sessions, None)


def _recent(crashes: tuple[EndedSession, ...], outcome: EndedSession) -> tuple[EndedSession, ...]:
    listed = (*crashes, outcome)[-REMEMBERED:] if outcome.crash else crashes
    old = sum(1 for _ in takewhile(lambda one: outcome.session.ended - one.session.ended >= CRASHES_WITHIN, listed))
    return listed[old:]


def _silent(silent: tuple[tuple[str, float], ...], outcome: EndedSession) -> tuple[tuple[str, float], ...]:
    if outcome.session.end == End.DEFERRED:
        return silent  # It may not have asked the provider.
    return (*silent, (outcome.task, outcome.started))[-DEATHS:] if empty_handed(outcome.session) else ()


def _deaths(brakes: Brakes, outcome: EndedSession, running: Iterable[RunningSession]) -> Failure | None:
    """Return the failure that several quick crashes make together, if this outcome completes them; else None.

    They make none if a session that started after the first of them had a result, or if as many of the running ones
    started then and have lasted as long as any that crashed: in a large fleet a few crash at about the same time.
    """
    last = brakes.crashes[-DEATHS:]
    if not outcome.crash or len(last) < DEATHS or last[-1] is not outcome or len({one.task for one in last}) < 2:
        return None
    first, now = last[0].session.ended - last[0].session.seconds, outcome.session.ended
    longest = max(one.session.seconds for one in last)
    quick = now - last[0].session.ended <= DEATHS_WITHIN and longest < QUICK
    lived = brakes.good[1] > first or sum(first <= one.started <= now - longest for one in running) >= DEATHS
    return Failure(Kind.CRASHES, outcome.session.note) if quick and not lived else None


def _silence(brakes: Brakes, outcome: EndedSession) -> Failure | None:
    """Return the failure that several empty-handed sessions in a row, on more than one task, make together; else None.

    They make none if a session that started after one of them had a result: the provider answered meanwhile.
    """
    row = brakes.silent
    answered = any(start < brakes.good[1] for _, start in row)
    found = len(row) == DEATHS and len({task for task, _ in row}) > 1 and not answered
    return Failure(Kind.SILENT, outcome.session.note) if found else None


def room(brakes: Brakes, running: Iterable[RunningSession], size: int, base: float, now: float) -> int:
    """Return how many sessions may start in a fleet of `size`; `running` are those that run."""
    if brakes.failure is None:
        return size
    if now < brakes.until:
        return 0
    tries = [one for one in running if one.started >= brakes.paused]
    return max(0, max(1, SURGE * proven(brakes, tries, base, now)) - len(tries))


def proven(brakes: Brakes, running: Iterable[RunningSession], base: float, now: float) -> int:
    """Return how many tries did not fail, or have run for so long that they would have failed by now.

    A running try does not count as long as its program tells that no request is answered: it may try for minutes before
    it fails. If the failure was silence, no running try counts: a long silence proves nothing.
    """
    if brakes.failure and brakes.failure.kind == Kind.SILENT:
        return brakes.passed
    tries = (one for one in running if one.started >= brakes.paused and one.answered is not False)
    return brakes.passed + sum(now - one.started >= _settled(brakes, one, base) for one in tries)


def _settled(brakes: Brakes, one: RunningSession, base: float) -> float:
    """Return how many seconds a running try must last until it would have failed by now."""
    lasted = 0.0 if one.answered and brakes.unanswered else brakes.lasted
    return max(SETTLED, min(LONGEST * base, max(2 * base, 3 * lasted)))


def released(brakes: Brakes, running: Iterable[RunningSession], size: int, base: float, now: float) -> Brakes:
    """Return the state without its failure, once as many sessions may run as the fleet has agents."""
    if brakes.failure is None or SURGE * proven(brakes, running, base, now) < size:
        return brakes
    return Brakes(crashes=brakes.crashes, silent=brakes.silent, good=brakes.good, failed=brakes.failed)


def resting(brakes: Brakes, agent: str, now: float) -> float:
    """Return until when an agent that crashed too often gets no work; 0 if it gets work now."""
    mine = [one.session.ended for one in brakes.crashes if one.session.agent == agent][-CRASHES:]
    until = mine[0] + CRASHES_WITHIN if len(mine) == CRASHES else 0.0
    return until if until > now else 0.0


def hopeless(brakes: Brakes, running: bool) -> bool:
    """Tell whether the agents' program cannot be run at all; `running` tells whether sessions run, whose ends tell more."""
    return _given_up(brakes) and not running and (len(brakes.failed) > 1 or not brakes.good[0])


def blamed(brakes: Brakes) -> str:
    """Return the task for which alone the program cannot be run, though it could for others; empty if there is none."""
    return next(iter(brakes.failed)) if _given_up(brakes) and len(brakes.failed) == 1 and brakes.good[0] else ""


def _given_up(brakes: Brakes) -> bool:
    return bool(brakes.failure and brakes.failure.kind == Kind.PROGRAM and brakes.row >= HOPELESS)


def inherited(outcomes: Iterable[tuple[EndedSession, Row | None]], base: float, now: float) -> Brakes:
    """Return the state that a supervisor begins with, from the earlier outcomes in order of time.

    Its first session is a try at once, whatever time the provider named: whoever starts it again may have mended
    something, such as a quota.
    """
    brakes = Brakes()
    for outcome, row in outcomes:
        brakes = after(brakes, outcome, row, base, 0.0)
        brakes = released(brakes, (), 2, base, outcome.session.ended)
    # Why those crashed may be mended, too. The clock of the machine where a session ended may be ahead.
    brakes = replace(brakes, crashes=())
    return replace(brakes, until=min(brakes.until, now), paused=min(brakes.paused, now), row=1) if brakes.failure else brakes
