"""A submission in the ledger: queued, or ended in one of four ways.

`core.queue.request` has what an inbox ref asks for. `Work` is what the bot has found out about the submission. A queued
record has both, and its place in the order. An ended record keeps all that was known of it, and says how it ended.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from agentctl.core.queue.lifecycle import Stage
from agentctl.core.queue.model import Change
from agentctl.core.text.json_form import Oid, Plain, Struct, facts, unquoted


class Work(Struct, frozen=True):
    """What was found out about a change at its admission."""

    base: Oid
    """The commit that the change is measured from."""
    subject: str = ""
    paths: tuple[str, ...] = ()
    """The first `PATHS` of the paths that the change touches, quoted; `places` has them unquoted."""

    @property
    def places(self) -> tuple[str, ...]:
        """The paths as Git has them."""
        return tuple(map(unquoted, self.paths))


PATHS = 500
"""The most paths of a change that its record names."""


class Approval(Struct, frozen=True):
    """Somebody has looked at the head of a submission and approves it.

    What the approver was is kept as the bot saw it then, because tasks, claims and worktrees go.
    """

    by: str
    at: float
    person: bool = False
    """True if no agent of the hub had that name."""
    role: str = ""
    """The role of the agent's task."""


class _Record(Struct, frozen=True):
    change: Change

    @property
    def key(self) -> str:
        return self.change.key


class Queued(_Record, frozen=True):
    """A submission that is admitted and has not ended."""

    work: Work
    approvals: tuple[Approval, ...] = ()
    """The approvals of this head, one of each approver, in the order in which they came."""

    stage: ClassVar[Stage] = Stage.QUEUED

    @property
    def base(self) -> str:
        return self.work.base

    @property
    def subject(self) -> str:
        return self.work.subject


class Passed(Struct, frozen=True):
    """The passed verdict by which a change lands."""

    tree: Oid
    gate: str
    """The fingerprint of the whole gate."""
    at: float
    commit: Oid
    """The commit on which the gate ran."""


class Proof(Struct, frozen=True):
    """What proves that the tree of a landed change was tested."""

    probe: int
    old: Oid
    """Where trunk was before."""
    tip: Oid
    """Where trunk was after: the tested commit."""
    passed: Passed


# Why a change is rejected: the facts, for whoever wants to prove or count them.


class Reason(Struct, frozen=True, tag_field="kind"):
    apart: ClassVar[bool] = False
    """True if the reason says nothing about the change that the submission names."""

    @property
    def kind(self) -> str:
        return str(self.__struct_config__.tag)


class GateFailed(Reason, frozen=True, tag="gate"):
    """The change failed its gate: a failed run contains it, and a passed run does not."""

    probe: int
    chain: tuple[str, ...]
    gate: str
    failed: Oid
    """The tree of the failed run; `passed` is the tree of the passed run."""
    passed: Oid


class Conflicts(Reason, frozen=True, tag="conflict"):
    """The change does not merge with what landed."""

    trunk: Oid
    paths: tuple[str, ...]
    """The conflicting paths, quoted like those of `Work`."""


class AgainstRules(Reason, frozen=True, tag="policy"):
    rules: tuple[str, ...] = ()
    protected: bool = False
    """It touches a path that no change may touch."""


class DependencyFell(Reason, frozen=True, tag="dependency"):
    below: str
    """The key of the change that this one builds on."""


class AlreadyThere(Reason, frozen=True, tag="there"):
    """Trunk held all of the change before."""


class RefusedByReview(Reason, frozen=True, tag="review"):
    """Somebody whose approval would count refuses the change."""

    by: str


class OurFault(Reason, frozen=True, tag="fault"):
    """agentctl itself fails on the change."""

    error: str = ""


class NotProper(Reason, frozen=True, tag="border"):
    """The request is not a proper submission."""

    apart = True


class NotTheirs(Reason, frozen=True, tag="refused"):
    """The change belongs to another agent."""

    apart = True


AnyReason = (
    GateFailed | Conflicts | AgainstRules | DependencyFell | AlreadyThere | RefusedByReview | OurFault | NotProper | NotTheirs
)


# How a submission ends. These are events too: see `core.queue.events`.


class Ended(_Record, frozen=True, tag_field="kind", kw_only=True):
    """A submission that has ended; `work` is None if it was never admitted."""

    at: float
    work: Work | None = None
    approvals: tuple[Approval, ...] = ()
    kept: bool = True
    """False if nothing may keep its head reachable, because the head is not a commit or lacks objects."""

    stage: ClassVar[Stage]

    @property
    def base(self) -> str:
        return self.work.base if self.work else self.change.head

    @property
    def subject(self) -> str:
        return self.work.subject if self.work else ""

    @property
    def why(self) -> str:
        """Why it ended, in words; empty if it landed."""
        return ""


class Landed(Ended, frozen=True, tag="landed", kw_only=True):
    commit: Oid
    """The commit on trunk that carries the change."""
    proof: Proof

    stage = Stage.LANDED


class Rejected(Ended, frozen=True, tag="rejected", kw_only=True):
    said: str
    reason: AnyReason
    found: bool = True
    """False if its head is to lead to an older submission instead of this one."""

    stage = Stage.REJECTED

    @property
    def why(self) -> str:
        return self.said


class Withdrawn(Ended, frozen=True, tag="withdrawn", kw_only=True):
    by: str
    """The agent that withdrew it; if a person did, the change's own agent."""

    stage = Stage.WITHDRAWN

    @property
    def why(self) -> str:
        return f"withdrawn {'in the name of' if self.by == self.change.agent else 'by'} {self.by}"


class Superseded(Ended, frozen=True, tag="superseded", kw_only=True):
    said: str
    late: bool = False
    """True if it came from a session of a task that another one had overtaken: it says nothing of the task."""

    stage = Stage.SUPERSEDED

    @property
    def why(self) -> str:
        return self.said


AnyEnded = Landed | Rejected | Withdrawn | Superseded


def next_revision(known: Iterable[Record], waiting: Iterable[int]) -> int:
    """Return the first free number behind the newest revision of a change.

    `known` are the records of its revisions, and `waiting` the numbers that its requests in the inbox have taken. A
    revision that was refused for a reason that tells nothing of the change (`Reason.apart`) does not count as the
    newest: anybody may have submitted it, under any number.
    """
    records = list(known)
    taken = {record.change.revision for record in records}.union(waiting)
    own = (r.change.revision for r in records if not (isinstance(r, Rejected) and r.reason.apart))
    number = max(own, default=0) + 1
    while number in taken:
        number += 1
    return number


Record = Queued | AnyEnded


def reason_kind(record: Record) -> str:
    """Return the kind of reason of a rejection; empty for any other record."""
    return record.reason.kind if isinstance(record, Rejected) else ""


def outline(record: Record) -> Plain:
    """Return a record as `--json` shows it."""
    work = record.work or Work(record.base)
    at, why, kept = (0.0, "", True) if isinstance(record, Queued) else (record.at, record.why, record.kept)
    return {
        "key": record.key,
        "change": facts(record.change) | {"key": record.key},
        **facts(work),
        "stage": record.stage,
        "ended": at,
        "commit": record.commit if isinstance(record, Landed) else "",
        "kind": reason_kind(record),
        "why": why,
        "evidence": _evidence(record),
        "approvals": facts(record.approvals),
        "kept": kept,
    }


def _evidence(record: Record) -> Plain:
    if isinstance(record, Landed):
        return {**facts(record.proof.passed), "probe": record.proof.probe, "old": record.proof.old, "tip": record.proof.tip}
    return {**facts(record.reason)} if isinstance(record, Rejected) else {}
