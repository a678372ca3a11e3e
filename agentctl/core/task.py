"""A task, what happened to it, and where it stands.

The task's ref holds only what cannot be seen elsewhere: its text, its sessions,
and whether a person or the supervisor closed it. Whether it is being worked on is
seen from its claim, whether its change is queued or has landed from the ledger:
`status` puts these together, so no stored word can disagree with the facts.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum

from agentctl.core.ledger import Record
from agentctl.core.lifecycle import Stage
from agentctl.core.refnames import valid_name
from agentctl.core.shape import built, loads


class Status(StrEnum):
    BLOCKED = "blocked"
    """A task it comes after is not done."""
    READY = "ready"
    WORKING = "working"
    SUBMITTED = "submitted"
    LANDED = "landed"
    """Or trunk held all of it before it could land."""
    DONE = "done"
    """Closed by hand."""
    PARKED = "parked"
    """Given up after too many attempts; the rest goes on."""


FINISHED = frozenset({Status.LANDED, Status.DONE})


class End(StrEnum):
    """How a session ended."""

    SUBMITTED = "submitted"
    EMPTY = "empty"
    """Nothing new in the worktree, whatever the exit status said."""
    CRASHED = "crashed"
    TIMEOUT = "timeout"
    STUCK = "stuck"
    DEFERRED = "deferred"
    """The agent said (exit status 75, EX_TEMPFAIL) that trunk is not ready for it."""
    INTERRUPTED = "interrupted"
    """We stopped it, or were killed ourselves."""


NO_ATTEMPT = frozenset({End.DEFERRED, End.INTERRUPTED})


@dataclass(frozen=True, slots=True)
class Session:
    generation: int
    agent: str
    end: End
    ended: float
    seconds: float
    trunk: str
    """That the session was given."""
    revision: int = 0
    """Of the task's change, if it was submitted."""
    note: str = ""
    salvage: str = ""
    """Ref of work that was not submitted."""


@dataclass(frozen=True, slots=True)
class Task:
    id: str
    title: str
    prompt: str
    acceptance: str = ""
    after: tuple[str, ...] = ()
    priority: int = 0
    paths: tuple[str, ...] = ()
    created: float = 0.0
    sessions: tuple[Session, ...] = ()
    closed: str = ""
    """Empty, done or parked."""
    reason: str = ""
    opened: int = 0
    """How many sessions there had been when it was opened again: those are forgiven."""

    @property
    def attempts(self) -> int:
        return sum(s.end not in NO_ATTEMPT for s in self.sessions[self.opened :])

    @property
    def revision(self) -> int:
        """The newest revision of its change; 0 if there is none."""
        return max((s.revision for s in self.sessions), default=0)

    @property
    def generation(self) -> int:
        """That the next session would have."""
        return max((s.generation for s in self.sessions), default=0) + 1

    def add(self, session: Session) -> Task:
        return replace(self, sessions=(*self.sessions, session))

    def open(self) -> Task:
        """Offered again, with all its attempts before it."""
        return replace(self, closed="", reason="", opened=len(self.sessions))


@dataclass(frozen=True, slots=True)
class Claim:
    """Who works on a task: the content of refs/agentctl/claims/<task>."""

    agent: str
    generation: int
    expires: float
    owner: dict = field(default_factory=dict)
    """Identity of the supervisor's process."""


def encode(task: Task) -> bytes:
    return (json.dumps(asdict(task), indent=1, sort_keys=True) + "\n").encode()


def decode(data: bytes) -> Task:
    """Raises ValueError for what is no task."""
    task = built(Task, loads(data))
    if task.closed not in ("", Status.DONE, Status.PARKED):
        raise ValueError(f"closed is {task.closed!r}")
    return task


def encode_claim(claim: Claim) -> str:
    return json.dumps(asdict(claim), sort_keys=True)


def decode_claim(text: str) -> Claim:
    """Raises ValueError for what is no claim."""
    claim = built(Claim, loads(text))
    if not valid_name(claim.agent):
        raise ValueError("agent is no name")
    return claim


def status(task: Task, claim: Claim | None, record: Record | None, finished: Callable[[str], bool]) -> Status:
    """Where a task stands. `record` is the ledger's for its newest revision, None if the
    bot has not admitted it yet; `finished` says of another task's id whether it is done."""
    if task.closed:
        return Status(task.closed)
    if record and (record.stage == Stage.LANDED or record.kind == "there"):
        return Status.LANDED
    if claim:
        return Status.WORKING
    if task.revision and (record is None or record.stage == Stage.QUEUED):
        return Status.SUBMITTED
    if not all(finished(other) for other in task.after):
        return Status.BLOCKED
    return Status.READY


PATIENCE = 3
"""How often a task is asked in all on a trunk that nothing is left to move."""

FIRST_PAUSE, LONGEST_PAUSE = 5.0, 60.0
"""Seconds for which a task that said "not yet" is left alone; doubled each time in a row."""


@dataclass(frozen=True, slots=True)
class Dispatch:
    """What the supervisor does next."""

    start: tuple[tuple[str, str], ...] = ()
    """(task, agent) pairs."""
    park: tuple[tuple[str, str], ...] = ()
    """(task, reason) pairs."""


def dispatch(
    tasks: Mapping[str, Task],
    statuses: Mapping[str, Status],
    free: tuple[str, ...],
    trunk: str,
    attempts: int,
    now: float,
) -> Dispatch:
    """Which ready tasks go to which free agents, and which are given up.

    Order: priority, then age. A deferred task is ready again once trunk has moved, after a
    pause that doubles each time: asking a hundred tasks that build on one another after each
    landing of one of them would cost more than their work. Where nothing is under way that
    could move trunk, no task pauses, and one that was asked PATIENCE times in all is given
    up. An agent that worked on a task before gets it back if it is free.
    """
    ready = [t for t in tasks.values() if statuses[t.id] == Status.READY]
    park = [(t.id, _exhausted(t)) for t in ready if t.attempts >= attempts]
    park += [(t.id, f"it comes after {other}, which is parked")
             for t in tasks.values() if statuses[t.id] == Status.BLOCKED
             for other in t.after if statuses.get(other) == Status.PARKED]
    able = sorted((t for t in ready if t.attempts < attempts), key=lambda t: (-t.priority, t.created, t.id))
    waiting = [t for t in able if _due(t, trunk, now)]
    if able and not waiting and not {Status.WORKING, Status.SUBMITTED} & set(statuses.values()):
        waiting = [t for t in able if _asked(t, trunk) < PATIENCE]
        park += [(t.id, "not yet, it says, and nothing is left that moves trunk") for t in able if t not in waiting]
    agents, start = list(free), []
    for task in waiting[: len(agents)]:
        last = task.sessions[-1].agent if task.sessions else ""
        agent = last if last in agents else agents[0]
        agents.remove(agent)
        start.append((task.id, agent))
    return Dispatch(tuple(start), tuple(dict(park).items()))


def _due(task: Task, trunk: str, now: float) -> bool:
    """True unless the task is to wait for trunk to move, or pauses."""
    row = _deferrals(task)
    if not row or row[-1].trunk == trunk:
        return not row
    return now - row[-1].ended >= min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** min(len(row) - 1, 30))


def _deferrals(task: Task) -> list[Session]:
    """Its last sessions that found trunk not ready, one after the other."""
    last = [s for s in task.sessions if s.end != End.INTERRUPTED]
    start = len(last)
    while start and last[start - 1].end == End.DEFERRED:
        start -= 1
    return last[start:]


def _asked(task: Task, trunk: str) -> int:
    """How often it has said "not yet" on this trunk."""
    return sum(s.trunk == trunk for s in _deferrals(task))


def _exhausted(task: Task) -> str:
    last = task.sessions[-1]
    return f"{task.attempts} attempts; the last one: {last.end}{', ' + last.note if last.note else ''}"
