"""The values that the layers hand to one another.

Object ids are lowercase hex strings, times are seconds since the epoch (float),
durations are seconds.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property

from agentctl.core.text.json_form import Struct

BASELINE = 0
"""Number of the probe that tests trunk itself."""


class Verdict(StrEnum):
    """What a gate says of a tree.

    PASSED and FAILED are knowledge. INDETERMINATE (the gate said 125) and
    ABORTED (the run was stopped) tell nothing, blame nobody and are run again.
    """

    PASSED = "passed"
    FAILED = "failed"
    INDETERMINATE = "indeterminate"
    ABORTED = "aborted"


class Change(Struct, frozen=True, dict=True):
    """A submitted head, admitted to the queue: one revision of one change."""

    id: str
    revision: int
    head: str
    agent: str
    seq: int
    """Order of admission, unique in a hub, ascending."""
    admitted: float
    task: str | None = None
    priority: int = 0
    """Higher goes first among those whose probes have not started."""
    after: tuple[str, ...] = ()
    """Change ids that must land before this one may. An id that is neither queued
    nor seen to land by the planner holds the change back: leave out here what was
    on trunk before this change was admitted."""
    gates: tuple[str, ...] | None = None
    """Names of the gates that judge it, where all gates of the policy name paths: those for
    which it changes something. Changes with the same ones are a lane. None: all."""
    mends: bool = False
    """Its author says that it mends a red trunk: it is tried on that before others."""

    @cached_property
    def key(self) -> str:
        """ "ID/REVISION"."""
        return f"{self.id}/{self.revision}"


class Probe(Struct, frozen=True):
    """One gate run: the changes of `chain`, applied in order on `base`."""

    number: int
    """Unique in a hub, ascending."""
    base: str
    """The commit of trunk that the chain is applied to."""
    chain: tuple[str, ...]
    """Change keys in order. The last `suspects` of them are what is asked about;
    those before ride along because they passed in an earlier probe. The bot's own probe
    of trunk itself has an empty chain; the planner is not told of it."""
    suspects: int
    reason: str
    """In words and numbers, for `why`, `queue` and the log."""
    again: bool = False
    """A second look at a failure that may have been a flake: run the gate even if
    the verdict of this tree is known."""

    @property
    def asked(self) -> tuple[str, ...]:
        return self.chain[len(self.chain) - self.suspects :]


@dataclass(frozen=True, slots=True)
class Result:
    """A finished probe."""

    probe: Probe
    verdict: Verdict
    seconds: float = 0.0
    staged: str = ""
    """The commit that was tested, which trunk becomes if the probe lands. Without
    it the planner takes `View.landed` for the proof that trunk moved by the Land
    alone, and cannot see a foreign commit pushed right on top."""


@dataclass(frozen=True, slots=True)
class Certificate:
    """Why a change may be rejected: a failed verdict that contains it over a
    passed one that does not."""

    change: str
    """Change key."""
    failed: int
    """Number of the failed probe, whose chain without `change` is on trunk."""
    reason: str


@dataclass(frozen=True, slots=True)
class Start:
    probe: Probe


@dataclass(frozen=True, slots=True)
class Land:
    """Move trunk to the staged commit of a passed probe: from probe.base, or from where a
    shorter chain of it brought trunk."""

    probe: Probe
    reason: str


@dataclass(frozen=True, slots=True)
class Reject:
    certificate: Certificate


@dataclass(frozen=True, slots=True)
class Cancel:
    """Stop a running probe whose answer no longer matters."""

    number: int
    reason: str


Action = Start | Land | Reject | Cancel


@dataclass(frozen=True, slots=True)
class View:
    """What the bot observed: all that the planner may look at.

    `memory` is the planner's own state, as it returned it in the last Plan;
    the bot keeps it in the ledger without looking inside.
    """

    trunk: str
    queued: tuple[Change, ...]
    """Every open change that is not frozen, by seq; also those in `running` probes."""
    memory: bytes = b""
    running: tuple[Probe, ...] = ()
    """One that trunk has left for another lane alone as if it had begun on `trunk`."""
    finished: tuple[Result, ...] = ()
    """Probes that ended since the last plan, in order of their end."""
    clashes: frozenset[tuple[str, str]] = frozenset()
    """Pairs of change keys (a, b), a < b, known to conflict textually with each
    other: they cannot stand in one chain."""
    landed: tuple[str, ...] = ()
    """Change keys on trunk since the last plan, in order. After a Land action
    succeeded its changes are here and no longer in `queued`."""
    next_probe: int = 1
    slots: int = 1
    withheld: bool = False
    """Nothing lands for now, by a person's will or since somebody else moved trunk; all else goes on."""


@dataclass(frozen=True, slots=True)
class Plan:
    memory: bytes
    actions: tuple[Action, ...] = ()
