"""A submission in the ledger: queued, or ended in one of four ways.

What an inbox ref asks for is `core.queue.request`'s; what the bot has found out about it is `Work`; what is queued is both, with
its place in the order. What has ended keeps all that was known of it, and how it ended.
"""

from __future__ import annotations

from typing import ClassVar

from agentctl.core.queue.lifecycle import Stage
from agentctl.core.queue.model import Change
from agentctl.core.text.json_form import Oid, Plain, Struct, facts, unquoted


class Work(Struct, frozen=True):
    """What was found out about a change at its admission."""

    base: str
    """The commit that it is measured from."""
    subject: str = ""
    paths: tuple[str, ...] = ()
    """That it touches, the first of them; quoted: see `places`."""

    @property
    def places(self) -> tuple[str, ...]:
        """The paths as Git has them."""
        return tuple(map(unquoted, self.paths))


class _Record(Struct, frozen=True):
    change: Change

    @property
    def key(self) -> str:
        return self.change.key


class Queued(_Record, frozen=True):
    """One that is admitted and has not ended."""

    work: Work

    stage: ClassVar[Stage] = Stage.QUEUED

    @property
    def base(self) -> str:
        return self.work.base

    @property
    def subject(self) -> str:
        return self.work.subject


class Passed(Struct, frozen=True):
    """By which verdict something lands."""

    tree: Oid
    gate: str
    """Fingerprint of the whole gate."""
    at: float
    commit: Oid
    """On which it ran."""


class Proof(Struct, frozen=True):
    """What proves of a landed change that its tree was tested."""

    probe: int
    old: Oid
    """Trunk before."""
    tip: Oid
    """Trunk after: the tested commit."""
    passed: Passed


# Why a change is rejected: the facts, for whoever wants to prove or count them.


class Reason(Struct, frozen=True, tag_field="kind"):
    apart: ClassVar[bool] = False
    """It tells nothing of the change whose name the submission has."""

    @property
    def kind(self) -> str:
        return str(self.__struct_config__.tag)


class GateFailed(Reason, frozen=True, tag="gate"):
    """A failed run that contains it, over a passed one that does not."""

    probe: int
    chain: tuple[str, ...]
    gate: str
    failed: Oid
    """The trees."""
    passed: Oid


class Conflicts(Reason, frozen=True, tag="conflict"):
    """It does not merge with what landed."""

    trunk: Oid
    paths: tuple[str, ...]
    """Quoted, as those of `Work`."""


class AgainstRules(Reason, frozen=True, tag="policy"):
    rules: tuple[str, ...] = ()
    protected: bool = False
    """It touches a path that no change may touch."""


class DependencyFell(Reason, frozen=True, tag="dependency"):
    below: str
    """The key of what it builds on."""


class AlreadyThere(Reason, frozen=True, tag="there"):
    """Trunk held all of it before."""


class OurFault(Reason, frozen=True, tag="fault"):
    """agentctl itself fails on it."""

    error: str = ""


class NotProper(Reason, frozen=True, tag="border"):
    """It is no proper submission."""

    apart = True


class NotTheirs(Reason, frozen=True, tag="refused"):
    """The change is another agent's."""

    apart = True


AnyReason = GateFailed | Conflicts | AgainstRules | DependencyFell | AlreadyThere | OurFault | NotProper | NotTheirs


# How a submission ends. These are events too: see `core.queue.events`.


class Ended(_Record, frozen=True, tag_field="kind", kw_only=True):
    """What has ended; `work` is None if it was never admitted."""

    at: float
    work: Work | None = None
    kept: bool = True
    """False if nothing may hold its head, which is no commit or lacks objects."""

    stage: ClassVar[Stage]

    @property
    def base(self) -> str:
        return self.work.base if self.work else self.change.head

    @property
    def subject(self) -> str:
        return self.work.subject if self.work else ""

    @property
    def why(self) -> str:
        """In words; empty where it landed."""
        return ""


class Landed(Ended, frozen=True, tag="landed", kw_only=True):
    commit: Oid
    """On trunk, that carries it."""
    proof: Proof

    stage = Stage.LANDED


class Rejected(Ended, frozen=True, tag="rejected", kw_only=True):
    said: str
    reason: AnyReason
    found: bool = True
    """Whether it is found by its head: not if an older one is to be."""

    stage = Stage.REJECTED

    @property
    def why(self) -> str:
        return self.said


class Withdrawn(Ended, frozen=True, tag="withdrawn", kw_only=True):
    by: str
    """The agent; its own, if a person asked."""

    stage = Stage.WITHDRAWN

    @property
    def why(self) -> str:
        return f"withdrawn by {'its author' if self.by == self.change.agent else self.by}"


class Superseded(Ended, frozen=True, tag="superseded", kw_only=True):
    said: str

    stage = Stage.SUPERSEDED

    @property
    def why(self) -> str:
        return self.said


AnyEnded = Landed | Rejected | Withdrawn | Superseded
Record = Queued | AnyEnded


def reason_kind(record: Record) -> str:
    """Of a rejection; empty for anything else."""
    return record.reason.kind if isinstance(record, Rejected) else ""


def outline(record: Record) -> Plain:
    """A record as `--json` shows it."""
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
        "kept": kept,
    }


def _evidence(record: Record) -> Plain:
    if isinstance(record, Landed):
        return {**facts(record.proof.passed), "probe": record.proof.probe, "old": record.proof.old, "tip": record.proof.tip}
    return {**facts(record.reason)} if isinstance(record, Rejected) else {}
