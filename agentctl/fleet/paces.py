"""The paces of a fleet: one for each program that its agents run, since a provider that refuses one says nothing of another."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from agentctl.core.notices import Braked, Released, Told
from agentctl.core.policy import roles
from agentctl.core.tasks.brakes import RunningSession
from agentctl.core.tasks.task import Session, Task
from agentctl.fleet.pace import Pace, PauseTimes

LOOK = 2.0
"""Seconds between two looks at what the machine has left."""
Under = tuple[Task, RunningSession]
"""A session that runs, after its task."""


class Paces:
    def __init__(
        self,
        size: int,
        base: float,
        known: Iterable[Task],
        now: float,
        tell: Callable[[Told], None],
        lacking: Callable[[], str],
        programs: Mapping[str, str],
    ) -> None:
        """Begin as `Pace` does.

        `programs` has the program of each role, by the role; of one that is not named, it is that of "". `lacking` tells
        what the machine is short of.
        """
        self._programs, self._tell = programs, tell
        self._lacking, self._looked, self._short_of = lacking, float("-inf"), ""
        by_program: dict[str, list[Task]] = {program: [] for program in programs.values()}
        for task in known:
            by_program[self._of_role(task.role)].append(task)
        several = len(by_program) > 1
        self._paces = {name: Pace(size, base, tasks, now, tell, name if several else "") for name, tasks in by_program.items()}
        self.size = size

    def _of_role(self, role: str) -> str:
        return self._programs.get(roles.named(role)) or self._programs[""]

    def follow(self, size: int, base: float, programs: Mapping[str, str], now: float) -> None:
        """Go on with these; a program that no role has had until now begins with nothing behind it."""
        self.size, self._programs = size, programs
        for program in {*programs.values()} - self._paces.keys():
            self._paces[program] = Pace(size, base, (), now, self._tell, program)
        for name, pace in self._paces.items():
            pace.size, pace.base, pace.program = size, base, name if len(self._paces) > 1 else ""

    def ended(self, task: Task, started: float, session: Session, now: float, running: Iterable[Under]) -> None:
        """Take note of the end of a session; `running` are those that run."""
        program = self._of_role(task.role)
        others = [one for other, one in running if self._of_role(other.role) == program]
        self._paces[program].ended(task, started, session, now, others)

    def room(self, running: Sequence[Under], asked: Iterable[str], now: float) -> list[tuple[frozenset[str], int]]:
        """Return how many more sessions of some roles together may start, for all of the roles that are `asked` for.

        Raises Infrastructure if a program cannot be run, so that there is no sense in trying.
        """
        short, asked = self._short(now), set(asked)
        found = []
        for program, pace in self._paces.items():
            own = frozenset(role for role in asked if self._of_role(role) == program)
            count = pace.room([one for task, one in running if self._of_role(task.role) == program], now)
            found.append((own, 0 if short else count))
        return found

    def _short(self, now: float) -> bool:
        """Tell whether the machine is short of something, and tell when that begins and ends."""
        if now - self._looked >= LOOK:
            self._looked, before, self._short_of = now, self._short_of, self._lacking()
            if self._short_of and not before:
                self._tell(Braked(f"nothing starts until there is more room: {self._short_of}", now + LOOK))
            elif before and not self._short_of:
                self._tell(Released("there is room again: the fleet goes on", 0.0, 0))
        return bool(self._short_of)

    def able(self, agents: Iterable[str], now: float) -> tuple[str, ...]:
        """Return those of the agents that need no rest after many crashes."""
        found = tuple(agents)
        for pace in self._paces.values():
            found = pace.able(found, now)
        return found

    def blames(self, task: Task) -> str:
        """See `Pace.blames`."""
        return self._paces[self._of_role(task.role)].blames(task.id)

    def trying(self, asked: Iterable[str]) -> frozenset[str]:
        """Return those of the roles that are `asked` for of which sessions start only to see whether their program can work again."""
        return frozenset(role for role in asked if self._paces[self._of_role(role)].trying)

    def held(self, now: float) -> str:
        """Return what holds the fleet or a part of it; empty if nothing does."""
        several, by_name = len(self._paces) > 1, {name: pace.held(now) for name, pace in self._paces.items()}
        held = [f"{name}: {why}" if several else why for name, why in by_name.items() if why]
        return "; ".join(filter(None, (self._short_of, *held)))

    def paused(self, now: float) -> PauseTimes:
        """Return the time of all pauses of the program that paused longest."""
        return max((pace.paused(now) for pace in self._paces.values()), key=lambda times: times.seconds)
