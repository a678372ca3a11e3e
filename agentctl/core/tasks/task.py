"""A task, what happened to it, and where it stands.

The task's ref holds only what cannot be seen elsewhere: its text, its sessions, and whether a person or the supervisor
closed it. Its claim shows whether it is being worked on. The ledger shows whether its change is queued or has landed.
`status` puts these together, so no stored word can disagree with the facts.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from enum import StrEnum
from functools import cached_property
from typing import Any

import msgspec

from agentctl.core.queue.lifecycle import Stage
from agentctl.core.queue.records import AlreadyThere, Landed, Record, Rejected
from agentctl.core.queue.request import GENERATION, PRIORITY
from agentctl.core.queue.spending import MOST, Spent
from agentctl.core.refnames import REVISION
from agentctl.core.tasks.claim import SKEW, Claim
from agentctl.core.tasks.ending import End
from agentctl.core.tasks.failure import Failure
from agentctl.core.text.json_form import Struct, dump, load, replace


class Status(StrEnum):
    BLOCKED = "blocked"
    """A task that this one comes after is not done."""
    READY = "ready"
    WORKING = "working"
    SUBMITTED = "submitted"
    LANDED = "landed"
    """The change landed, or trunk held all of it before it could land."""
    DONE = "done"
    """The task was closed by hand."""
    PARKED = "parked"
    """The task was given up, for example after too many attempts, or put aside by hand; the other tasks go on."""
    GONE = "gone"
    """The change had landed, and trunk no longer holds it."""


FINISHED = frozenset({Status.LANDED, Status.DONE})
UNDER_WAY = frozenset({Status.WORKING, Status.SUBMITTED})
"""Somebody works on the task, or its change has yet to land: a session that begins now does not see that work."""


NO_ATTEMPT = frozenset({End.DEFERRED, End.INTERRUPTED, End.BLOCKED, End.BEHIND, End.PLANNED, End.DONE})


class Session(Struct, frozen=True):
    generation: int
    agent: str
    end: End
    ended: float
    seconds: float
    trunk: str
    """The commit of trunk that the session was given."""
    revision: int = 0
    """The revision of the task's change that the session submitted; 0 if none."""
    note: str = ""
    salvage: str = ""
    """The ref that holds work that was not submitted."""
    failure: Failure | None = None
    """Why the session failed, if that was not the task's fault."""
    spent: Spent = Spent()
    """What the session used up."""
    said: str = ""
    """The last message of the agent."""
    handoff: str = ""
    """What the agent wrote for whoever goes on with the task."""
    conversation: str = ""
    """The name by which its program knows the session."""

    @property
    def charged(self) -> bool:
        """True if the session counts as one of the task's attempts, because the task has to answer for how it ended."""
        return self.end not in NO_ATTEMPT and self.failure is None


class Task(Struct, frozen=True, dict=True):
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
    """Empty, "done" or "parked"."""
    reason: str = ""
    """Why it is closed; of an open task what a person said when opening it again, for the next session to read."""
    opened: int = 0
    """How many sessions there had been when the task was opened again: those are forgiven."""
    role: str = ""
    """The role of the agents that work on it; empty for workers."""
    parent: str = ""
    """The task that planned it; empty if none did."""
    avoid: tuple[str, ...] = ()
    """The agents that do not get it: nobody judges what is their own."""

    @cached_property
    def attempts(self) -> int:
        return sum(s.charged for s in self.sessions[self.opened :])

    @cached_property
    def spent(self) -> Spent:
        """What the sessions used up since the task was opened."""
        return sum((s.spent for s in self.sessions[self.opened :]), Spent())

    @cached_property
    def failures(self) -> tuple[tuple[Session, Failure], ...]:
        """The task's last sessions in a row that failed by no fault of the task, each with its failure."""
        told = [s for s in self.sessions[self.opened :] if s.end != End.INTERRUPTED]
        start = len(told)
        while start and told[start - 1].failure:
            start -= 1
        return tuple((s, s.failure) for s in told[start:] if s.failure)

    @cached_property
    def revision(self) -> int:
        """The newest revision of the task's change; 0 if there is none."""
        return max((s.revision for s in self.sessions), default=0)

    @cached_property
    def generation(self) -> int:
        """The generation that the next session would have."""
        return max((s.generation for s in self.sessions), default=0) + 1

    @cached_property
    def ended(self) -> float:
        """When the last of its sessions ended; 0 if there is none."""
        return max((s.ended for s in self.sessions), default=0.0)

    def add(self, session: Session) -> Task:
        """Return the task with one more session. If the agent is blocked, the task is parked."""
        after = replace(self, sessions=(*self.sessions, session))
        blocked = session.end == End.BLOCKED and not self.closed
        return replace(after, closed="parked", reason=cannot_go_on(session.agent, session.note)) if blocked else after

    def open(self, reason: str = "") -> Task:
        """Return the task as offered again, with all its attempts still available."""
        return replace(self, closed="", reason=reason, opened=len(self.sessions))


def cannot_go_on(agent: str, why: str) -> str:
    """Return the reason of a task that is parked because its agent needs a person."""
    return f"{agent} cannot go on without a person: {why}"


def encode(task: Task) -> bytes:
    return msgspec.json.format(dump(task), indent=1) + b"\n"


def decode(data: bytes) -> Task:
    """Return the task from JSON. Raise ValueError if the data is not a task.

    No text of it has a zero byte, which no program could be given, and its priority is one that a submission may have.
    """
    task = load(Task, data if b"\\u0000" not in data else msgspec.json.encode(_without_zeros(msgspec.json.decode(data))))
    if task.closed not in ("", Status.DONE, Status.PARKED):
        raise ValueError(f"closed is {task.closed!r}")
    # Each next session still has a generation that can be read.
    highest = GENERATION // 2 + len(task.sessions)
    for session in task.sessions:
        numbers = 0 <= session.generation < highest and 0 <= session.revision < REVISION
        if not (session.spent.is_sane and numbers and 0 <= session.ended <= MOST and 0 <= session.seconds <= MOST):
            raise ValueError("a session has a number that nobody can have written")
    return replace(task, priority=max(-PRIORITY, min(PRIORITY, task.priority)))


def dated(task: Task, now: float) -> Task:
    """Return the task with no session that ended in the future.

    Whoever can push can write such a one, and no pause may wait for it: it counts as one that ended long ago. SKEW is
    left to the clocks of other machines.
    """
    if task.ended <= now + SKEW:
        return task
    return replace(task, sessions=tuple(replace(s, ended=0.0) if s.ended > now + SKEW else s for s in task.sessions))


def _without_zeros(value: Any) -> Any:
    if isinstance(value, str):
        return value.replace("\0", r"\0")
    if isinstance(value, list):
        return [_without_zeros(one) for one in value]
    return {_without_zeros(key): _without_zeros(one) for key, one in value.items()} if isinstance(value, dict) else value


def standings(
    tasks: Mapping[str, Task], claims: Mapping[str, Claim], records: Mapping[str, Record], gone: Collection[str]
) -> dict[str, Status]:
    """Return where every task stands; `gone` are the tasks whose change landed and is no longer on trunk."""
    found = dict[str, Status]()
    for name, task in tasks.items():
        # Most tasks of a long list have handed in nothing yet, and each turn looks at all of them.
        begun = task.closed or task.revision or name in records
        found[name] = (
            status(task, claims.get(name), records.get(name), name in gone)
            if begun
            else Status.WORKING
            if name in claims
            else Status.READY
        )
    # Only whether a task is blocked depends on other tasks.
    for name, task in tasks.items():
        if task.after and found[name] == Status.READY and any(found.get(other) not in FINISHED for other in task.after):
            found[name] = Status.BLOCKED
    return found


def status(task: Task, claim: Claim | None, record: Record | None, gone: bool = False) -> Status:
    """Return where a task stands by itself: ready if nothing but other tasks keeps it.

    `record` is the ledger's record of the task's newest revision, or None if the bot has not admitted that yet.
    `gone` means that what landed is no longer on trunk. Such a task is offered again only if it is opened.
    """
    if task.closed == Status.DONE:
        return Status.DONE
    landed = record and (isinstance(record, Landed) or isinstance(record, Rejected) and isinstance(record.reason, AlreadyThere))
    if landed and not (gone and (task.closed or task.opened == len(task.sessions))):
        return Status.GONE if gone else Status.LANDED
    if task.closed:
        return Status.PARKED
    if claim:
        return Status.WORKING
    if task.revision and (record is None or record.stage == Stage.QUEUED):
        return Status.SUBMITTED
    return Status.READY
