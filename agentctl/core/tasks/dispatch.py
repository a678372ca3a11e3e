"""Which ready tasks go to which free agents, and which tasks are given up."""

from __future__ import annotations

import heapq
from bisect import bisect_left
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from statistics import median

from agentctl.core.policy import roles
from agentctl.core.policy.policy import Agents, Budget
from agentctl.core.queue.priority_lending import lent
from agentctl.core.queue.records import Ended, Landed, Record
from agentctl.core.queue.spending import over
from agentctl.core.tasks import overlap
from agentctl.core.tasks.claim import SKEW
from agentctl.core.tasks.cut_off import hit, in_silence, shared, tells
from agentctl.core.tasks.ending import End
from agentctl.core.tasks.failure import NATURE, Kind
from agentctl.core.tasks.task import UNDER_WAY, Session, Status, Task, dated
from agentctl.core.text.plural import many

DEFERRALS = 3
"""How often in all a task is asked on a trunk that nothing is left to move."""

FIRST_PAUSE, LONGEST_PAUSE = 5.0, 60.0
"""The seconds for which a task that said "not yet" is left alone, doubled for each time in a row."""

STUBBORN = 10
"""A task is parked after so many failures in a row that are said not to be its fault, but hit no other task."""
WITNESSES = 3
"""So many sessions of other tasks tell whether the provider was silent."""
TROUBLED = 0.1
"""The share of sessions without an answer by which a provider was in trouble: a program hangs by itself far less often."""
LONGEST_BACKOFF = 10
"""The longest pause of a task that fails like this, as a multiple of its first pause."""


@dataclass(frozen=True, slots=True)
class Dispatch:
    """What the supervisor does next."""

    start: tuple[tuple[str, str], ...] = ()
    """Pairs (task, agent)."""
    park: tuple[tuple[str, str], ...] = ()
    """Pairs (task, reason)."""


@dataclass(frozen=True, slots=True)
class Rules:
    """How patient the fleet is with a task."""

    attempts: int
    backoff: float = 30.0
    """The seconds before a task is tried again whose session failed by no fault of its own; doubled each time."""
    begun: float = 0.0
    """When the fleet was started: what failed before then is tried at once."""
    budget: Budget = Budget()
    """What the sessions of one task may use up."""
    room: Sequence[tuple[frozenset[str], int]] = ()
    """How many more sessions of some roles together may start; a role that is not named has no limit."""


TRIES = 3
"""The results that a fleet hands in on a red trunk; if none of them mends it, no session begins."""


def on_red_trunk(free: int, running: int, statuses: Iterable[Status | None]) -> int:
    """Return how many sessions may begin while trunk is red.

    One of the tasks may be to mend it. All of them would be paid for while nothing can land.
    """
    handed_in = sum(status == Status.SUBMITTED for status in statuses)
    return min(free, 1) if not running and handed_in < TRIES else 0


def fate(last: Record | None) -> str:
    """Return how a task's last submission ended without landing, as the end of a sentence; empty if there is no such end."""
    return f"; {last.key} was {last.stage}: {last.why}" if isinstance(last, Ended) and not isinstance(last, Landed) else ""


def hopeless(task: Task, settings: Agents) -> str:
    """Return why nobody can ever work on a task; empty if somebody can."""
    return "" if roles.role(settings, task.role) else f"there is no role {task.role!r} in agents.roles"


def without_agent(ready: Iterable[Task], names: Collection[str]) -> str:
    """Return which of the ready tasks wait for an agent that there is not; `names` are those there are. Empty if none does."""
    found = [task for task in ready if set(names) <= set(task.avoid)]
    if not found:
        return ""
    who = ", ".join(sorted(set().union(*(task.avoid for task in found))))
    what = found[0].id if len(found) == 1 else f"{found[0].id} and {len(found) - 1} more"
    return f"{what}: for another agent than {who}, and there is no other"


def dispatch(
    tasks: Mapping[str, Task],
    statuses: Mapping[str, Status],
    free: tuple[str, ...],
    trunk: str,
    rules: Rules,
    now: float,
    trying: Collection[str] = (),
    adopted: bool = True,
    scene: overlap.Scene = overlap.Scene(),
    most: int | None = None,
) -> Dispatch:
    """Return which ready tasks go to which free agents, at most `most` of them, and which tasks are given up.

    Tasks are taken by priority, then by age; of one priority, first those whose declared paths are apart from what the
    `scene` says is being worked on. A task takes over the highest priority of the blocked tasks that come
    after it, if that is higher than its own. Of the roles in `trying`, whose sessions only show whether their program
    can work again, the task that was tried least comes first. An agent gets back the task it worked on before, if free.

    A deferred task is ready again once trunk has moved, after a pause that doubles each time: asking a hundred tasks
    that build on one another after each landing of one of them would cost more than their work. If nothing is under way
    that could move trunk, no task pauses, and a task that was asked DEFERRALS times in all on this trunk is given up.

    A task whose change is gone from trunk is given up too, once that trunk is `adopted`: until then the change may come
    back.
    """
    if any(task.ended > now + SKEW for task in tasks.values()):
        tasks = {name: dated(task, now) for name, task in tasks.items()}
    found = _by_status(tasks, statuses)
    ready, blocked = found.get(Status.READY, []), found.get(Status.BLOCKED, [])
    elsewhere = _Elsewhere(tasks)
    # Of the tasks of a long list most have no session yet, and each turn looks at all of them.
    given_up = {t.id: reason for t in ready if t.sessions and (reason := _given_up(t, elsewhere, rules))}
    open_still = {name for name in given_up if _too_early(tasks[name], tasks, statuses)}
    gone = "its change {} landed, and trunk no longer holds it: opened, it is done anew"
    park = [(name, reason) for name, reason in given_up.items() if name not in open_still]
    park += [(t.id, gone.format(_revision(t))) for t in found.get(Status.GONE, ()) if adopted]
    held = open_still.union(name for name, _ in park)
    rank = _priorities(ready, blocked)
    able = sorted(
        (t for t in ready if t.id not in held),
        key=lambda t: (len(t.sessions) if t.role in trying else 0, -rank[t.id], t.created, t.id),
    )
    backing_off = {t.id for t in able if t.sessions and _backs_off(t, rules, now)}
    waiting = [t for t in able if not t.sessions or t.id not in backing_off and _due(t, trunk, now)]
    if able and not waiting and not backing_off and not UNDER_WAY & set(statuses.values()):
        waiting = [t for t in able if _asked(t, trunk) < DEFERRALS]
        park += [(t.id, "not yet, it says, and nothing is left that moves trunk") for t in able if t not in waiting]
    # What nobody who is free may take, such as the review of the only free agent's own change, keeps no other from starting.
    able_to = [t for t in waiting if not t.avoid or any(name not in t.avoid for name in free)] if free else []
    waiting = _with_room(able_to, rules.room)
    offered = [
        overlap.Waiting(t.id, (len(t.sessions) if t.role in trying else 0, -rank[t.id]), t.created, t.paths) for t in waiting
    ]
    in_order = map(tasks.__getitem__, overlap.apart(offered, scene))
    return Dispatch(_assigned(in_order, free, most), tuple(dict(park).items()))


def _assigned(in_order: Iterable[Task], free: Sequence[str], most: int | None) -> tuple[tuple[str, str], ...]:
    """Give each task an agent that may work on it, as long as there are some; return pairs (task, agent)."""
    agents, start = list(free), dict[str, str]()
    count = len(agents) if most is None else min(most, len(agents))
    for task in in_order if count else ():
        last = task.sessions[-1].agent if task.sessions else ""
        if able := [name for name in agents if name not in task.avoid]:
            start[task.id] = last if last in able else able[0]
            agents.remove(start[task.id])
        if len(start) == count:
            break
    return tuple(start.items())


def _by_status(tasks: Mapping[str, Task], statuses: Mapping[str, Status]) -> dict[Status, list[Task]]:
    found: dict[Status, list[Task]] = {}
    for task in tasks.values():
        found.setdefault(statuses[task.id], []).append(task)
    return found


def _with_room(waiting: list[Task], room: Sequence[tuple[frozenset[str], int]]) -> list[Task]:
    """Return the first of the tasks of each role, so many as may start."""
    left = [count for _, count in room]
    kept, of_role = list[Task](), dict[str, list[int]]()
    for task in waiting:
        if task.role not in of_role:
            of_role[task.role] = [n for n, (names, _) in enumerate(room) if task.role in names]
        limits = of_role[task.role]
        if all(left[n] > 0 for n in limits):
            kept.append(task)
            for n in limits:
                left[n] -= 1
    return kept


def _backs_off(task: Task, rules: Rules, now: float) -> bool:
    """Tell whether a task still waits after a failure that others may share; a task that was cut off goes on at once."""
    row = [s for s, failure in task.failures if NATURE[failure.kind].fleet]
    if not row or row[-1].ended < rules.begun:
        return False
    return now - row[-1].ended < rules.backoff * min(LONGEST_BACKOFF, float(2 ** min(len(row) - 1, 30)))


def _priorities(ready: Iterable[Task], blocked: Iterable[Task]) -> dict[str, int]:
    own = {t.id: t.priority for t in (*ready, *blocked)}
    return own | lent(own, {t.id: t.after for t in blocked if t.after})


def _revision(task: Task) -> str:
    return f"{task.id}/{task.revision}"


def _due(task: Task, trunk: str, now: float) -> bool:
    """Tell whether a task may start: it neither pauses nor waits for trunk to move."""
    row = _deferrals(task)
    if not row or row[-1].trunk == trunk:
        return not row
    return now - row[-1].ended >= min(LONGEST_PAUSE, FIRST_PAUSE * float(2 ** min(len(row) - 1, 30)))


def _deferrals(task: Task) -> list[Session]:
    """Return the task's last sessions, in a row, that found trunk not ready."""
    last = [s for s in task.sessions if s.end != End.INTERRUPTED and not s.failure]
    start = len(last)
    while start and last[start - 1].end == End.DEFERRED:
        start -= 1
    return last[start:]


def _asked(task: Task, trunk: str) -> int:
    """Return how often in a row the task has said "not yet" on this trunk."""
    return sum(s.trunk == trunk for s in _deferrals(task))


def _given_up(task: Task, elsewhere: _Elsewhere, rules: Rules) -> str:
    """Return why a task is to be parked; empty if it is not."""
    told = [s for s in task.sessions[task.opened :] if s.end != End.INTERRUPTED]
    if not told:
        return ""
    if told[-1].end == End.GAVE_UP:
        return f"it needs a person: {told[-1].note}"
    if used := over(rules.budget, task.spent):
        return f"its budget is used up: {used}; a larger agents.budget.task, or smaller tasks, may help"
    if task.attempts >= rules.attempts:
        last = next(s for s in reversed(told) if s.charged)
        return f"{many(task.attempts, 'attempt')}; the last one: {_ended(last)}"
    row = [s for s, _ in task.failures]
    own = [s for s, failure in task.failures if not NATURE[failure.kind].fleet]
    if len(own) >= STUBBORN or len(own) >= rules.attempts and len(_own(own, task, elsewhere)) >= rules.attempts:
        return f"{many(len(own), 'failure')} of its own in a row; the last one: {_ended(own[-1])}{_what_helps(own[-1])}"
    if len(row) >= STUBBORN and _others_worked(row, elsewhere):
        return f"{len(row)} failures in a row, while other tasks were worked on; the last one: {_ended(row[-1])}"
    return ""


def _what_helps(last: Session) -> str:
    """Return what may help a task after its last session; empty if that is not known."""
    limits = {End.TIMEOUT: "agents.timeout", End.STUCK: "agents.silence", End.CRASHED: "limits.output"}
    if last.failure and last.failure.kind == Kind.CONTEXT:
        return "; smaller tasks may help"
    if not last.failure or last.failure.kind != Kind.LIMIT:
        return ""
    limit = last.failure.limit or limits.get(last.end)
    return f"; a larger {limit}, or smaller tasks, may help" if limit else ""


def _too_early(task: Task, others: Mapping[str, Task], statuses: Mapping[str, Status]) -> bool:
    """Tell whether it is open still whose silence cut a task off last: sessions of others run, and none has ended since."""
    last = task.sessions[-1]
    if not in_silence(last) or Status.WORKING not in {where for name, where in statuses.items() if name != task.id}:
        return False
    return all(s.ended <= last.ended for other in others.values() if other.id != task.id for s in other.sessions[-1:])


class _Elsewhere:
    """The sessions of all tasks in order of time; an order is made when it is first needed, and once for each look."""

    def __init__(self, tasks: Mapping[str, Task]) -> None:
        self._tasks = tasks

    @cached_property
    def _telling(self) -> list[tuple[float, str, Session]]:
        found = [(s.ended, task.id, s) for task in self._tasks.values() for s in task.sessions if tells(s)]
        return sorted(found, key=lambda one: one[0])

    def near(self, session: Session, task: Task) -> list[Session]:
        """Return the WITNESSES, of different other tasks, that ended nearest to a session in time."""
        told, at = self._telling, bisect_left(self._telling, session.ended, key=lambda one: one[0])
        sides = (told[n] for n in range(at - 1, -1, -1)), (told[n] for n in range(at, len(told)))
        found = dict[str, Session]()
        for _, other, one in heapq.merge(*sides, key=lambda one: abs(one[0] - session.ended)):
            if other != task.id:
                found.setdefault(other, one)
            if len(found) == WITNESSES:
                break
        return [*found.values()]

    @cached_property
    def _hit(self) -> list[float]:
        return [ended for ended, _, one in self._telling if hit(one)]

    def troubled(self, session: Session) -> bool:
        """Tell whether a good part of the sessions that ended while this one ran had no answer of their provider."""
        begin, end = session.ended - session.seconds, session.ended
        count = bisect_left(self._hit, end) - bisect_left(self._hit, begin)
        first, last = (bisect_left(self._telling, when, key=lambda one: one[0]) for when in (begin, end))
        return count >= WITNESSES and count >= TROUBLED * (last - first)

    @cached_property
    def _results(self) -> list[tuple[float, float]]:
        """When each session with a result ended, in order, and when it began."""
        return sorted((s.ended, s.ended - s.seconds) for t in self._tasks.values() for s in t.sessions if s.end == End.SUBMITTED)

    def results(self, since: float, until: float) -> list[tuple[float, float]]:
        """Return (end, seconds) of the sessions that began after `since` and ended with a result before `until`, in order."""
        first, last = (bisect_left(self._results, (when,)) for when in (since, until))
        return [(ended, ended - began) for ended, began in self._results[first:last] if began > since]


def _own(cut: Sequence[Session], task: Task, elsewhere: _Elsewhere) -> list[Session]:
    """Return those of the sessions for which the provider's silence is no excuse."""
    return [s for s in cut if not (shared(s, elsewhere.near(s, task)) or in_silence(s) and elsewhere.troubled(s))]


def _others_worked(row: Sequence[Session], elsewhere: _Elsewhere) -> bool:
    """Tell whether others, begun since the first of the failures in a row, had results in at least half of the time.

    The time is that between two failures, or several such times together, that are as long as a result takes. A few with a
    result are not enough: a provider may fail for long, work for a while, and fail again for the one task that is left.
    """
    results = elsewhere.results(row[0].ended, row[-1].ended)
    usual = median(seconds for _, seconds in results) if results else 0.0
    return any(_in_half([s.ended for s in row], [ended for ended, _ in results], least) for least in (0.0, usual))


def _in_half(failures: Sequence[float], results: Sequence[float], least: float) -> bool:
    """Tell whether results are in half of the periods from failure to failure that last so many seconds at least."""
    periods, worked, begin = 0, 0, failures[0]
    for end in failures[1:]:
        if end - begin >= least:
            periods += 1
            worked += bisect_left(results, begin) < bisect_left(results, end)
            begin = end
    return worked >= STUBBORN // 2 and 2 * worked >= periods


def _ended(last: Session) -> str:
    return f"{last.end}{', ' + last.note if last.note else ''}"
