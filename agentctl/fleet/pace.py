"""The pace at which the fleet starts sessions: it feeds `core.tasks.brakes`, and tells what they do."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from agentctl.core.notices import Braked, Released, Told
from agentctl.core.tasks import brakes
from agentctl.core.tasks.brakes import EndedSession, Row, RunningSession
from agentctl.core.tasks.ending import End
from agentctl.core.tasks.failure import NATURE
from agentctl.core.tasks.task import Session, Task, dated
from agentctl.errors import Infrastructure
from agentctl.messages import ago, clock

LATER = 60.0
"""Seconds by which the next try may be later than was told."""


@dataclass(frozen=True, slots=True)
class PauseTimes:
    """How long, in all, a fleet started nothing, or only one session as a try."""

    seconds: float = 0.0
    times: int = 0
    why: str = ""
    """Why the fleet paused: if for several reasons, how long for each, and the words of the last."""

    def __str__(self) -> str:
        return f"paused {ago(0.0, self.seconds)}{f' in {self.times} pauses' if self.times > 1 else ''}: {self.why}"


class Pace:
    def __init__(
        self, size: int, base: float, tasks: Iterable[Task], now: float, tell: Callable[[Told], None], program: str = ""
    ) -> None:
        """Begin with `size` agents and a first pause of `base` seconds; `tasks` tell what happened before.

        `program` is the name of the program whose pace it is; empty if the fleet has only one.
        """
        self.size, self.base, self.tell = size, base, tell
        self.program = program
        self.state = brakes.inherited(_history(dated(task, now) for task in tasks), base, now)
        self._past = PauseTimes()
        self._told = 0.0
        """When the next try is, as was told last."""
        self._since: float | None = None
        """When the present pause began; None if there is none."""
        self._seconds = defaultdict[str, float](float)
        """The seconds that each kind of failure has held the fleet until `_counted`."""
        self._counted = now
        self._resting: set[str] = set()
        if self.state.failure:
            self._since = now
            self.tell(self._braked(f"one agent begins, as a try: the last sessions failed: {self.why}"))

    def ended(self, task: Task, started: float, session: Session, now: float, running: Iterable[RunningSession] = ()) -> None:
        """Take note of the end of a session.

        `task` is its task as it was before the session, and `running` are those that run.
        """
        before, outcome = self.state, EndedSession(task.id, started, session)
        self._count(now)
        self.state = brakes.after(before, outcome, brakes.row_of(task.sessions), self.base, random.random(), running)
        failed = self.state.paused != before.paused
        # The failure of a session that ran already may only name a later time. A time that is told holds within a minute.
        if not failed and self.state.until <= max(self._told + LATER, now):
            return
        if self._since is None:
            what = f"{self.program or 'the fleet'} pauses"
        else:
            what = ("" if self.state.odd else "the try failed") if failed else "it is later"
        self.tell(self._braked(": ".join(filter(None, (what, self.held(now))))))
        self._since = now if self._since is None else self._since

    def room(self, running: Iterable[RunningSession], now: float) -> int:
        """Return how many sessions may start; `running` are those that run.

        Raises Infrastructure if the agents' program cannot be run, so that there is no sense in trying.
        """
        # As long as nothing is or was held, it does not matter what runs.
        running = tuple(running) if self.state.failure or self._since is not None else ()
        if brakes.hopeless(self.state, bool(running)):
            failure = self.state.held_by
            raise Infrastructure(f"the agents' program cannot be run: {failure.said}", hint=NATURE[failure.kind].todo)
        if self._since is not None and now >= self.state.until and brakes.proven(self.state, running, self.base, now):
            self._count(now)
            self._past, self._since = self.paused(now), None
            self.tell(
                Released(
                    f"the try did not fail: {self.program or 'the fleet'} goes on, more agents bit by bit; {self._past}",
                    self._past.seconds,
                    self._past.times,
                )
            )
        self.state = brakes.released(self.state, running, self.size, self.base, now)
        return brakes.room(self.state, running, self.size, self.base, now)

    def blames(self, task: str) -> str:
        """Return why a task is to be given up, of which alone the program cannot be run; empty if it is not."""
        return f"its program cannot be run: {self.state.held_by.said}" if task == brakes.blamed(self.state) else ""

    def able(self, agents: Iterable[str], now: float) -> tuple[str, ...]:
        """Return those of the agents that need no rest after many crashes."""
        found, crashed = [], {one.session.agent for one in self.state.crashes}
        for name in agents:
            until = brakes.resting(self.state, name, now) if name in crashed else 0.0
            if until and name not in self._resting:
                last = next(one for one in reversed(self.state.crashes) if one.session.agent == name)
                self.tell(
                    Braked(
                        f"{name} gets no work until {clock(until)}: it crashed {brakes.CRASHES} times in "
                        f"{brakes.CRASHES_WITHIN / 60:.0f} min, the last time on {last.task}: {last.session.note}",
                        until,
                        agent=name,
                    )
                )
            (self._resting.add if until else self._resting.discard)(name)
            if not until:
                found.append(name)
        return tuple(found)

    @property
    def trying(self) -> bool:
        """True while sessions start only to see whether the fleet can work again."""
        return self._since is not None

    @property
    def why(self) -> str:
        """What holds the fleet, with the program's own words; empty if nothing does."""
        failure = self.state.failure
        return f"{failure.kind}{': ' + failure.said if failure.said else ''}" if failure else ""

    def held(self, now: float) -> str:
        """Return what holds the fleet, how it goes on, what a person can do, and the program's own words; empty if nothing does.

        The words are last because they are long: a line on a terminal may be cut.
        """
        failure = self.state.failure
        if not failure:
            return ""
        before, todo = f"before that, {failure.kind}" if self.state.odd else str(failure.kind), NATURE[failure.kind].todo
        if now < self.state.until:
            goes_on = f"the next try is at {clock(self.state.until)}"
        elif self.trying:
            goes_on = "one try at a time until one does not fail"
        else:
            goes_on, todo = "a try did not fail, so it goes on with more agents bit by bit", ""
        parts = (self._odd, before, goes_on, todo)
        return "; ".join(filter(None, parts)) + (f": {failure.said}" if failure.said else "")

    @property
    def _odd(self) -> str:
        """How the last try failed, if what holds the fleet does not explain it; else empty."""
        odd = self.state.odd
        if not odd:
            return ""
        return (
            f"the try {'crashed, why is not known' if odd.end == End.CRASHED else f'ended empty-handed ({odd.end})'}: {odd.note}"
        )

    def paused(self, now: float) -> PauseTimes:
        """Return the time of all pauses, the present one included."""
        if self._since is None:
            return self._past
        self._count(now)
        by_kind = ", ".join(f"{kind} for {ago(0.0, seconds)}" for kind, seconds in self._seconds.items())
        why = f"{by_kind}; the last time: {self.why}" if len(self._seconds) > 1 else self.why
        return PauseTimes(self._past.seconds + now - self._since, self._past.times + 1, why)

    def _count(self, now: float) -> None:
        """Count the time since the last count for what holds the fleet."""
        if self._since is not None and self.state.failure:
            self._seconds[self.state.failure.kind] += now - self._counted
        self._counted = now

    def _braked(self, how: str) -> Braked:
        failure, self._told = self.state.held_by, self.state.until
        return Braked(how, self.state.until, failure.kind, failure.said, self.state.row)


def _history(tasks: Iterable[Task]) -> list[tuple[EndedSession, Row | None]]:
    """List (ended session, the failures of its task right before it) in order of time."""
    found = []
    for task in tasks:
        row: Row | None = None
        for session in task.sessions:
            found.append((EndedSession(task.id, session.ended - session.seconds, session), row))
            row = brakes.continued(row, session)
    return sorted(found, key=lambda pair: pair[0].session.ended)
