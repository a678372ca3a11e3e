"""What version 1 of the ledger wrote, as the types of today.

It had one type of object for both queued and ended records. What happened stood only in the messages of its commits.
This is the one module that reads such messages, for ledgers that version 1 began.
"""

from __future__ import annotations

import json
import math
import re
from typing import Annotated, Any

import msgspec

from agentctl.core.queue.lifecycle import Stage
from agentctl.core.queue.model import Change
from agentctl.core.queue.records import (
    AgainstRules,
    AlreadyThere,
    AnyEnded,
    AnyReason,
    Conflicts,
    DependencyFell,
    GateFailed,
    Landed,
    NotProper,
    NotTheirs,
    OurFault,
    Passed,
    Proof,
    Queued,
    Rejected,
    Superseded,
    Withdrawn,
    Work,
)
from agentctl.core.text.json_form import Oid, Struct, quoted

_Id = Annotated[str, msgspec.Meta(pattern=r"\A([0-9a-f]{40})?\Z")]
"""The id of an object, or nothing."""


class _Record(Struct, frozen=True):
    change: Change
    base: Oid
    subject: str = ""
    paths: tuple[str, ...] = ()
    stage: Stage = Stage.QUEUED
    ended: float = 0.0
    commit: str = ""
    kind: str = ""
    why: str = ""
    evidence: dict[str, Any] = {}
    kept: bool = True


class _Proof(msgspec.Struct):
    probe: int = 0
    old: _Id = ""
    tip: _Id = ""
    tree: _Id = ""
    gate: str = ""
    at: float = 0.0
    commit: _Id = ""


class _Failure(msgspec.Struct):
    probe: int = 0
    chain: tuple[str, ...] = ()
    gate: str = ""
    failed: _Id = ""
    passed: _Id = ""


class _Conflict(msgspec.Struct):
    trunk: _Id = ""
    paths: tuple[str, ...] = ()


def is_record(data: bytes) -> bool:
    """Tell whether data is a record of version 1.

    No later record has the key "stage", and inside a string its quotes would be escaped.
    """
    return b'"stage":' in data


def is_meta(data: bytes) -> bool:
    return b'"verdict":' in data


def meta(data: bytes) -> Any:
    """Return the meta.json of version 1 with a landing, in the form of today. Raise ValueError if it cannot be read."""
    found = _loads(data)
    try:
        found["landing"]["passed"] = found["landing"].pop("verdict")
    except (KeyError, TypeError, AttributeError):
        raise ValueError("it has no landing") from None
    return found


def queued(data: bytes) -> Queued:
    """Return the queued record of version 1. Raise ValueError if it is not valid or not queued."""
    record = _record(data)
    if record.stage != Stage.QUEUED:
        raise ValueError(f"it is {record.stage}")
    return Queued(record.change, _work(record))


def ended(data: bytes) -> AnyEnded:
    """Return the ended record of version 1. Raise ValueError if it is not valid or has not ended."""
    record = _record(data)
    facts: dict[str, Any] = {"change": record.change, "at": record.ended, "work": _work(record), "kept": record.kept}
    match record.stage:
        case Stage.LANDED:
            at = msgspec.convert(record.evidence, _Proof)
            proof = Proof(at.probe, at.old, at.tip, Passed(at.tree, at.gate, at.at, at.commit))
            return Landed(**facts, commit=msgspec.convert(record.commit, Oid), proof=proof)
        case Stage.REJECTED:
            return Rejected(**facts, said=record.why, reason=_reason(record))
        case Stage.WITHDRAWN:
            by = record.why.removeprefix("withdrawn by ")
            return Withdrawn(**facts, by=record.change.agent if by == "its author" else by)
        case Stage.SUPERSEDED:
            return Superseded(**facts, said=record.why)
    raise ValueError(f"it is {record.stage}")


def _record(data: bytes) -> _Record:
    return msgspec.convert(_loads(data), _Record)


def _loads(data: bytes) -> Any:
    """Parse JSON by a reader that accepts what UTF-8 cannot hold, as version 1 wrote it."""
    try:
        return json.loads(data, parse_float=_finite, parse_constant=_finite)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def _finite(text: str) -> float:
    if not math.isfinite(number := float(text)):
        raise ValueError(f"it holds {text[:40]}, which is no number")
    return number


def _work(record: _Record) -> Work:
    return Work(record.base, record.subject, tuple(map(quoted, record.paths)))


def _reason(record: _Record) -> AnyReason:
    match record.kind:
        case "gate":
            failure = msgspec.convert(record.evidence, _Failure)
            return GateFailed(failure.probe, failure.chain, failure.gate, failure.failed, failure.passed)
        case "conflict":
            conflict = msgspec.convert(record.evidence, _Conflict)
            return Conflicts(conflict.trunk, tuple(map(quoted, conflict.paths)))
        case "fault":
            return OurFault(str(record.evidence.get("error", "")))
        case "dependency":
            return DependencyFell("")
    kinds: dict[str, AnyReason] = {
        "policy": AgainstRules(),
        "there": AlreadyThere(),
        "border": NotProper(),
        "refused": NotTheirs(),
    }
    if record.kind not in kinds:
        raise ValueError(f"it was rejected for {record.kind!r}")
    return kinds[record.kind]


class Line(Struct, frozen=True, tag_field="kind", tag="line"):
    """A line of a commit message of version 1."""

    text: str

    @property
    def words(self) -> tuple[str, ...]:
        return tuple(word.strip(",:;") for word in self.text.split())

    @property
    def admitted(self) -> str:
        """The key of the submission that was admitted; empty if the line tells of no admission."""
        return next(iter(self.words[1:]), "") if self.text.startswith("admit ") else ""

    @property
    def adopted(self) -> tuple[str, str, str] | None:
        """What the line tells of an adopted trunk, or None if it tells of none.

        The parts are: the commit that was adopted; where trunk was before, if it was not moved forward, else empty;
        what else was told.
        """
        found = _ADOPTED.match(self.text)
        return (found[1], found[2] or "", self.text.partition(" by somebody else")[2]) if found else None

    @property
    def unclear(self) -> bool:
        """True if the line begins like one of an admission or an adopted trunk, and does not say of what."""
        return self.text.startswith(("admit ", "adopt ")) and not (self.admitted or self.adopted)

    @property
    def begun(self) -> int:
        """The number of the probe that the line says has begun; 0 if none."""
        return _number(_BEGUN, self.text)

    @property
    def of_probe(self) -> int:
        """The number of the probe that the line tells something else about; 0 if none."""
        return _number(_OF_PROBE, self.text)


_ADOPTED = re.compile(r"adopt ([0-9a-f]{40})\b(?: for ([0-9a-f]{40})\b)?")
_BEGUN = re.compile(r"probe (\d{1,18}) of ")
_OF_PROBE = re.compile(r"(?:cancel |land .*: )?probe (\d{1,18})(?! of )\b")


def _number(pattern: re.Pattern[str], text: str) -> int:
    found = pattern.match(text)
    return int(found[1]) if found else 0


def lines(message: str) -> list[Line]:
    """Return the lines of a commit's message that tell what happened."""
    body = message.rstrip("\n").splitlines()
    return [Line(line) for line in (body[2:] if len(body) > 1 else body)]
