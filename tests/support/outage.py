"""A fleet in made-up time: the real decisions, on sessions that an outage makes fail."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from agentctl.core.tasks import brakes
from agentctl.core.tasks.brakes import Brakes, EndedSession, RunningSession
from agentctl.core.tasks.dispatch import Rules, dispatch
from agentctl.core.tasks.ending import End
from agentctl.core.tasks.failure import Failure, Kind
from agentctl.core.tasks.task import Session, Status, Task

STEP = 1.0


@dataclass(frozen=True)
class Outage:
    """All sessions that run in it fail."""

    begin: float
    end: float
    kind: Kind = Kind.RATE
    after: float = 0.0


@dataclass
class World:
    tasks: int
    agents: int
    outages: Sequence[Outage] = ()
    work: float = 60.0
    """Seconds of a session that has a result."""
    fails: float = 2.0
    """Seconds that a session takes to fail."""
    base: float = 30.0
    attempts: int = 3
    jitter: float = 0.5
    own: Callable[[str, int], Failure | End | None] = lambda task, nth: None
    """What a task's own nth session ends with, if not with a result."""
    known: dict[str, Task] = field(default_factory=dict)
    landed: set[str] = field(default_factory=set)
    parked: dict[str, str] = field(default_factory=dict)
    sessions: list[tuple[float, str, Session]] = field(default_factory=list)
    most: list[tuple[float, int]] = field(default_factory=list)
    """(time, sessions that run)"""

    def run(self, until: float = 1e5) -> World:
        self.known = {f"t{n}": Task(f"t{n}", "", "", created=float(n)) for n in range(self.tasks)}
        state, running, now = Brakes(), {}, 0.0
        while now < until and len(self.landed) + len(self.parked) < self.tasks:
            over = [n for n, run in running.items() if self._over(n, run[0], now)]
            for name in over:
                state = self._end(state, name, *running.pop(name), now)
            starts = [RunningSession(start) for start, _ in running.values()]
            state = brakes.released(state, starts, self.agents, self.base, now)
            room = brakes.room(state, starts, self.agents, self.base, now)
            busy = {agent for _, agent in running.values()}
            free = tuple(a for a in (f"a{n}" for n in range(self.agents)) if a not in busy and not brakes.resting(state, a, now))
            # Where nothing has ended, and nothing may start, nothing is decided.
            if over or free and room:
                trying = bool(state.failure) and not brakes.proven(state, starts, self.base, now)
                rules, roles = Rules(self.attempts, self.base), ("",) if trying else ()
                plan = dispatch(self.known, self._statuses(running), free, "tip", rules, now, roles)
                self.parked.update(plan.park)
                running.update((name, (now, agent)) for name, agent in plan.start[:room])
            self.most.append((now, len(running)))
            now += STEP
        return self

    def _statuses(self, running) -> dict[str, Status]:
        return {
            n: Status.LANDED
            if n in self.landed
            else Status.PARKED
            if n in self.parked
            else Status.WORKING
            if n in running
            else Status.READY
            for n in self.known
        }

    def _hit(self, start: float, now: float) -> Outage | None:
        return next((o for o in self.outages if start < o.end and now >= o.begin), None)

    def _over(self, name: str, start: float, now: float) -> bool:
        hit = self._hit(start, now)
        if hit and now >= max(start, hit.begin) + self.fails:
            return True
        nth = len(self.known[name].sessions)
        return now - start >= (self.fails if self.own(name, nth) else self.work)

    def _end(self, state: Brakes, name: str, start: float, agent: str, now: float) -> Brakes:
        task, hit = self.known[name], self._hit(start, now)
        own = Failure(hit.kind, "as scripted", hit.after) if hit else self.own(name, len(task.sessions))
        failure = own if isinstance(own, Failure) else None
        end = own if isinstance(own, End) else End.CRASHED if failure else End.SUBMITTED
        session = Session(task.generation, agent, end, now, now - start, "tip", failure=failure)
        self.known[name] = task.add(session)
        self.sessions.append((start, name, session))
        if end == End.SUBMITTED:
            self.landed.add(name)
        return brakes.after(state, EndedSession(name, start, session), brakes.row_of(task.sessions), self.base, self.jitter)

    @property
    def wasted(self) -> int:
        """Sessions without a result."""
        return sum(session.end != End.SUBMITTED for _, _, session in self.sessions)

    @property
    def over(self) -> float:
        return self.most[-1][0]
