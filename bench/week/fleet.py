"""The fleet of the simulation: what `Fleet` and `SessionRun` do, without processes, refs and sleep.

Every decision is made by the functions that ship: `dispatch`, `standings`, `Pace` (and so `brakes`), `classify`,
`stuck`, `left`, `meaning`. What is written here is only the order in which they are asked.
"""

from __future__ import annotations

import heapq
import random
import time
from collections import Counter, defaultdict, deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache

from agentctl.core.notices import Braked, Told
from agentctl.core.queue.model import Change
from agentctl.core.queue.records import GateFailed, Landed, Passed, Proof, Record, Rejected
from agentctl.core.queue.spending import Spent
from agentctl.core.tasks import ending, failure, watchdog
from agentctl.core.tasks.brakes import RunningSession
from agentctl.core.tasks.claim import Claim
from agentctl.core.tasks.dispatch import Rules, dispatch
from agentctl.core.tasks.ending import End, Left, Use
from agentctl.core.tasks.overlap import Scene
from agentctl.core.tasks.task import UNDER_WAY, Session, Status, Task, standings
from agentctl.core.tasks.watchdog import Patience, Sample, Verdict
from agentctl.core.text.json_form import replace
from agentctl.fleet.pace import Pace
from bench.week.world import (
    CHARGED,
    DAY,
    HANGS,
    HEALTHY,
    HOUR,
    MORNING,
    REJECTED,
    SPOILT,
    TIMEOUT,
    Cause,
    Course,
    Nature,
    Segment,
    World,
)

SILENCE, BACKOFF, ATTEMPTS = 600.0, 30.0, 3
"""As the policy has them if it says nothing."""
KEPT = 300
"""So many finished tasks stay in the list."""
PROBATION = {Nature.WRONG, Nature.REFUSED}
HUNG = HANGS | {Cause.CIRCLES, Cause.ENDLESS}
STEP = watchdog.interval(SILENCE)


def sampled(segments: tuple[tuple[str, int], ...]) -> list[Sample]:
    """Return what a watch sees of a session, whose segments are given in minutes."""
    found, output, cpu, same, mute = [Sample(0.0, 0, "base", "", 0.0, 1)], 0, 0.0, 0, True
    for what, minutes in segments:
        for _ in range(int(minutes * 60 / STEP)):
            mute = mute and what == "mute"
            acts = what in ("act", "circle")
            output, cpu = (output + 80, cpu + 0.1 * STEP) if acts else (output, cpu + 0.003 * STEP)
            same = same + 1 if what == "circle" else 0
            edits = "" if mute else found[-1].diff if what == "circle" else f"diff {output // 2000}"
            found.append(
                Sample(
                    len(found) * STEP,
                    output,
                    "base",
                    edits,
                    cpu,
                    2 if what == "tests" else 1,
                    finished=what == "finished",
                    waiting=what == "retry",
                    same=same,
                )
            )
    return found


@lru_cache(maxsize=None)
def judged(segments: tuple[tuple[str, int], ...]) -> tuple[float, Verdict] | None:
    """Return when a watch would end a session, and why; None if it would not."""
    samples, patience = sampled(segments), Patience(SILENCE, watchdog.QUIET_START * SILENCE)
    for n in range(1, len(samples) + 1):
        now = samples[n - 1].time
        if found := watchdog.verdict(samples[:n], now, Spent(), patience):
            return now, found
    return None


def in_minutes(segments: list[Segment]) -> tuple[tuple[str, int], ...]:
    """Return the segments of a session in whole minutes, up to its time limit."""
    left, found = int(TIMEOUT / 60), []
    for what, seconds in segments:
        minutes = min(left, round(min(seconds, TIMEOUT) / 60))
        if minutes:
            found.append((what, minutes))
            left -= minutes
    return tuple(found)


@dataclass(slots=True)
class Run:
    task: Task
    agent: str
    started: float
    course: Course
    end: End | None
    reason: str
    at: float


@dataclass
class Tally:
    sessions: Counter[Cause] = field(default_factory=Counter)
    ends: Counter[tuple[Cause, End]] = field(default_factory=Counter)
    landed: int = 0
    rejected: int = 0
    parked: Counter[str] = field(default_factory=Counter)
    wrongly_parked: list[str] = field(default_factory=list)
    false_alarms: list[str] = field(default_factory=list)
    wrongly_charged: list[str] = field(default_factory=list)
    not_charged: Counter[Cause] = field(default_factory=Counter)
    found: dict[Cause, list[float]] = field(default_factory=dict)
    """Seconds from the moment at which a session hung until it was ended."""
    pauses: Counter[str] = field(default_factory=Counter)
    why: list[str] = field(default_factory=list)
    """What began the pauses that nothing planted."""
    tries: int = 0
    idle: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))
    """Seconds of agents without a session, by what kept them."""
    busy: float = 0.0
    clear: float = 0.0
    """Seconds of agents in which no outage was."""
    turns: int = 0
    deciding: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))
    """Seconds of processor time, by function."""


class Simulation:
    def __init__(self, world: World, agents: int, turn: float) -> None:
        self.world, self.size, self.turn = world, agents, turn
        self.agents = tuple(f"agent-{n}" for n in range(1, agents + 1))
        self.now, self.end = MORNING, MORNING + world.days * DAY
        self.tasks: dict[str, Task] = {}
        self.nature: dict[str, Nature] = {}
        self.causes: dict[str, list[Cause]] = {}
        self.records: dict[str, Record] = {}
        self.runs: dict[str, Run] = {}
        self.old: deque[str] = deque()
        self.tally = Tally()
        self.rnd = random.Random(f"{world.seed} fleet")
        # `Pace` draws its jitter from the generator that all share.
        random.seed(world.seed)
        self._events: list[tuple[float, int, str, str]] = []
        self._made = self._trunk = self._seq = 0
        self._looked = self.now
        self._begin()

    def _begin(self) -> None:
        """Let a supervisor begin, which knows what the tasks say."""
        self.rules = Rules(ATTEMPTS, BACKOFF, self.now)
        self.pace = Pace(self.size, BACKOFF, self.tasks.values(), self.now, self._hear)

    def _hear(self, told: Told) -> None:
        if isinstance(told, Braked) and told.agent:
            self.tally.pauses["one agent rests"] += 1

    def _later(self, at: float, what: str, name: str = "") -> None:
        self._seq += 1
        heapq.heappush(self._events, (at, self._seq, what, name))

    def go(self) -> Tally:
        for day in range(1, int(self.world.days) + 1):
            self._later(MORNING + day * DAY - 3 * HOUR, "killed")
        self._later(self.now, "turn")
        turn_due = True
        while self._events and (event := heapq.heappop(self._events))[0] < self.end:
            at, _, what, name = event
            if what == "turn":
                turn_due = False
                self._count_idle(at)
                self.now = at
                self._take_turn()
            else:
                self.now = max(self.now, at)
                {"ended": self._ended, "judged": self._judged, "killed": self._killed}[what](name)
            if not turn_due and (what != "turn" or len(self.runs) < self.size):
                turn_due = True
                self._later(self._looked + self.turn, "turn")
        return self.tally

    def _count_idle(self, at: float) -> None:
        passed, idle = at - self._looked, self.size - len(self.runs)
        outage = self.world.outage(self._looked)
        during = bool(outage and outage.begin <= self._looked)
        resting = len(self.agents) - len(self.pace.able(self.agents, at)) if self.pace.state.crashes else 0
        why = (
            "during an outage"
            if during
            else f"held after it: {self.pace.state.failure.kind}"
            if self.pace.state.failure
            else "by turns"
        )
        self.tally.idle["at rest"] += passed * resting
        self.tally.idle[why] += passed * max(0, idle - resting)
        self.tally.busy += passed * len(self.runs)
        self.tally.clear += 0.0 if during else passed * self.size
        self._looked = at

    # a turn, as `Fleet.take_turn` has it

    def _take_turn(self) -> None:
        now, tally = self.now, self.tally
        tally.turns += 1
        begun = time.process_time()
        claims = {name: Claim(run.agent, run.task.generation, 0.0) for name, run in self.runs.items()}
        statuses = standings(self.tasks, claims, self.records, ())
        seen = time.process_time()
        busy = {run.agent for run in self.runs.values()}
        free = self.pace.able((name for name in self.agents if name not in busy), now)
        room = self.pace.room(self._running(), now)
        paced = time.process_time()
        scene = Scene(tuple(task.paths for name, task in self.tasks.items() if statuses[name] in UNDER_WAY))
        trunk = f"trunk {self._trunk}"
        plan = dispatch(self.tasks, statuses, free, trunk, self.rules, now, ("",) if self.pace.trying else (), True, scene, room)
        done = time.process_time()
        for what, seconds in (("standings", seen - begun), ("pace", paced - seen), ("dispatch", done - paced)):
            tally.deciding[what] += seconds
        for name, reason in plan.park:
            self._park(name, reason)
        for name, agent in plan.start:
            self._start(name, agent)
        self._tidy()
        self._add(self.size // 2 - sum(status == Status.READY for status in statuses.values()) + len(plan.start))

    def _running(self) -> Iterator[RunningSession]:
        return (RunningSession(run.started, run.course.answered(self.now - run.started)) for run in self.runs.values())

    def _add(self, count: int) -> None:
        for _ in range(count):
            name, rnd = f"t-{self._made}", self.rnd
            before = f"t-{self._made - rnd.randrange(1, 50)}"
            after = (before,) if rnd.random() < 0.1 and before in self.tasks else ()
            paths = (f"src/{rnd.randrange(400)}/**",) if rnd.random() < 0.5 else ()
            priority = rnd.choice((0, 0, 0, 1))
            self.tasks[name] = Task(name, name, "", after=after, priority=priority, paths=paths, created=self.now)
            self.nature[name], self.causes[name] = self.world.nature(), []
            self._made += 1

    def _tidy(self) -> None:
        """Forget the oldest finished tasks, as a person does who begins a new list, but none that others come after."""
        needed = {other for task in self.tasks.values() for other in task.after} if len(self.old) > KEPT else set()
        for _ in range(len(self.old) - KEPT):
            name = self.old.popleft()
            if name in needed:
                self.old.append(name)
                continue
            del self.tasks[name], self.nature[name], self.causes[name]
            self.records.pop(name, None)

    def _park(self, name: str, reason: str) -> None:
        task = self.tasks[name]
        self.tasks[name] = replace(task, closed="parked", reason=reason)
        self.old.append(name)
        nature, causes = self.nature[name], self.causes[name]
        if nature in SPOILT:
            self.tally.parked[nature] += 1
        elif " of its own in a row" in reason and sum(c in HUNG for c in causes[-len(task.failures) :]) >= ATTEMPTS:
            self.tally.parked["plain, and its own sessions hung"] += 1
        elif "attempt" in reason and not [
            s for s, c in zip(task.sessions, causes) if s.charged and not s.revision and c not in CHARGED
        ]:
            self.tally.parked["plain, and each attempt failed by its own fault"] += 1
        else:
            self.tally.parked["for no planted reason"] += 1
            self.tally.wrongly_parked.append(f"{name} ({nature}): {reason}; {', '.join(causes)}")

    # a session, as `SessionRun` and `conclude` have it

    def _start(self, name: str, agent: str) -> None:
        task = self.tasks[name]
        course = self.world.course(self.nature[name], len(task.sessions), self.now)
        begun = time.process_time()
        watched = judged(in_minutes(course.segments))
        self.tally.deciding["verdict"] += time.process_time() - begun
        end, reason, seconds = course.end, course.reason, course.seconds
        if watched and watched[0] < min(seconds, TIMEOUT):
            end, reason, seconds = watched[1].end, "stopped", watched[0]
        elif seconds > TIMEOUT:
            end, reason, seconds = End.TIMEOUT, "timeout", TIMEOUT
        run = self.runs[name] = Run(task, agent, self.now, course, end, reason, self.now + seconds)
        self._later(run.at, "ended", name)

    def _ended(self, name: str) -> None:
        run = self.runs.get(name)
        if run is None or run.at > self.now:
            return
        del self.runs[name]
        task, course, seconds = self.tasks[name], run.course, run.at - run.started
        cut_off = run.end in (End.STUCK, End.CIRCLES, End.TIMEOUT, End.SPENT)
        committed = course.committed and (not cut_off or course.cause == Cause.HANG_AT_END)
        rejected = name in self.records
        excuse = rejected and self.nature[name] == Nature.REFUSED
        left = ending.left(committed, course.dirty and not committed, False, excuse)
        begun = time.process_time()
        why = failure.classify(run.end, run.reason, course.tail, run.at, 0.0)
        end, use = ending.meaning(run.end, left, "commit", bool(why))
        self.tally.deciding["classify"] += time.process_time() - begun
        revision = task.revision + 1 if use in (Use.SUBMIT, Use.SWEEP) else 0
        session = Session(
            task.generation,
            run.agent,
            end,
            run.at,
            seconds,
            f"trunk {self._trunk}",
            revision,
            str(course.cause),
            "kept" if use == Use.SALVAGE else "",
            failure.written_down(end, why),
            spent=Spent(turns=int(course.begun)),
        )
        self._written(task, run, session, left)
        if revision:
            self.records.pop(name, None)
            self._later(self.now + self.rnd.uniform(60, 400), "judged", name)

    def _written(self, task: Task, run: Run, session: Session, left: Left) -> None:
        name, cause, tally = task.id, run.course.cause, self.tally
        self.tasks[name] = task.add(session)
        self.causes[name].append(cause)
        before = self.pace.state
        begun = time.process_time()
        self.pace.ended(run.task, run.started, session, self.now, self._running())
        tally.deciding["pace"] += time.process_time() - begun
        if self.pace.state.paused != before.paused:
            tally.tries += self.pace.state.row > 1
            planted = run.course.weathered or self.nature[name] == Nature.POISON
            if self.pace.state.row == 1:
                tally.pauses["the provider" if run.course.weathered else "a poisoned task" if planted else "unplanted"] += 1
                if not planted:
                    tally.why.append(f"{cause}: {self.pace.why}; {run.course.tail[-300:]!r}")
        tally.sessions[cause] += 1
        tally.ends[cause, session.end] += 1
        if cause in HEALTHY and not run.course.weathered and session.end not in (End.SUBMITTED, End.EMPTY, End.GAVE_UP):
            tally.false_alarms.append(f"{cause}: {session.end} {session.failure}; {run.course.segments}")
        if session.charged and not session.revision and cause not in CHARGED and session.end != End.GAVE_UP:
            tally.wrongly_charged.append(f"{cause}: {session.end}, {left}; {run.course.tail[-200:]!r}")
        if cause == Cause.CRASH and not session.charged:
            tally.not_charged[cause] += 1
        if cause in HANGS | {Cause.CIRCLES}:
            hung = sum(seconds for _, seconds in run.course.segments if seconds < float("inf"))
            tally.found.setdefault(cause, []).append(session.seconds - hung)

    def _killed(self, _: str) -> None:
        """Let the supervisor be killed and started again: what ran is interrupted."""
        for name, run in list(self.runs.items()):
            del self.runs[name]
            task = self.tasks[name]
            seconds = self.now - run.started
            session = Session(task.generation, run.agent, End.INTERRUPTED, self.now, seconds, f"trunk {self._trunk}")
            self.tasks[name] = task.add(session)
            self.causes[name].append(Cause.STOPPED)
            self.tally.sessions[Cause.STOPPED] += 1
        begun = time.process_time()
        self._begin()
        self.tally.deciding["begin"] += time.process_time() - begun

    # the queue

    def _judged(self, name: str) -> None:
        task = self.tasks[name]
        change = Change(name, task.revision, "0" * 40, task.sessions[-1].agent, self._trunk + self.tally.rejected, self.now)
        if self.nature[name] in PROBATION or self.rnd.random() < REJECTED:
            self.tally.rejected += 1
            reason = GateFailed(0, (), "gate", "0" * 40, "0" * 40)
            self.records[name] = Rejected(change, at=self.now, said="the gate failed", reason=reason)
            return
        self._trunk += 1
        self.tally.landed += 1
        proof = Proof(0, "0" * 40, "0" * 40, Passed("0" * 40, "gate", self.now, "0" * 40))
        self.records[name] = Landed(change, at=self.now, commit="0" * 40, proof=proof)
        self.old.append(name)
