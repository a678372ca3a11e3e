"""The values that the layers hand to one another.

Object ids are lowercase hex strings. Times are floats, in seconds since the epoch. Durations are in seconds.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property

from agentctl.core.queue.spending import Spent
from agentctl.core.text.json_form import Oid, Struct

BASELINE = 0
"""The number of the probe that tests trunk itself."""


class Verdict(StrEnum):
    """The verdict of a gate on a tree.

    PASSED and FAILED are knowledge. INDETERMINATE (the gate exited with status 125) and ABORTED (the run was stopped)
    tell nothing: they blame no change, and the run is repeated.
    """

    PASSED = "passed"
    FAILED = "failed"
    INDETERMINATE = "indeterminate"
    ABORTED = "aborted"


class Change(Struct, frozen=True, dict=True):
    """A submitted head that was admitted to the queue: one revision of one change."""

    id: str
    revision: int
    head: Oid
    agent: str
    seq: int
    """The place in the order of admission: unique in a hub, ascending."""
    admitted: float
    task: str | None = None
    priority: int = 0
    """Among the changes whose probes have not started, one with a higher priority goes first."""
    after: tuple[str, ...] = ()
    """The ids of changes that must land before this one may.

    An id that is not queued, and that the planner has not seen land, holds the change back. So leave out the ids of
    changes that were on trunk before this change was admitted.
    """
    gates: tuple[str, ...] | None = None
    """The names of the gates that judge the change, or None if all gates judge it.

    Names stand here only if every gate of the policy names paths: then these are the gates whose paths the change
    alters. Changes with the same gates are one lane.
    """
    mends: bool = False
    """True if the author says that the change mends a red trunk: it is tried on a red trunk before others."""
    joins: bool = False
    """True for what came to a branch that trunk follows: it lands with its history, so that this branch can follow trunk."""
    spent: Spent = Spent()
    """What the sessions on its task had used up when it was submitted, as its author says."""

    @cached_property
    def key(self) -> str:
        """The key of the change, "ID/REVISION"."""
        return f"{self.id}/{self.revision}"


class Probe(Struct, frozen=True):
    """One gate run: the changes of `chain`, applied in order on `base`."""

    number: int
    """The number of the probe: unique in a hub, ascending."""
    base: str
    """The commit of trunk that the chain is applied to."""
    chain: tuple[str, ...]
    """The keys of the changes, in order.

    The probe asks about the last `suspects` of them. Those before ride along, because they passed in an earlier probe.
    The bot's own probe of trunk itself has an empty chain; the planner is not told of that probe.
    """
    suspects: int
    reason: str
    """Why the probe is run, in words and numbers, for `why`, `queue` and the log."""
    again: bool = False
    """True for a second look at a failure that may have been a flake.

    The gate then runs even if the verdict of this tree is known.
    """

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
    """The commit that was tested. Trunk moves to it if the probe lands.

    Without it the planner takes `View.landed` as the proof that only its Land moved trunk. Then it cannot see that
    somebody else pushed a commit right on top.
    """


@dataclass(frozen=True, slots=True)
class Certificate:
    """Why a change may be rejected: a failed verdict that contains it, and a passed one that does not."""

    change: str
    """The key of the change."""
    failed: int
    """The number of the failed probe. Apart from `change`, its whole chain is on trunk."""
    reason: str


@dataclass(frozen=True, slots=True)
class Start:
    probe: Probe


@dataclass(frozen=True, slots=True)
class Land:
    """The action that moves trunk to the staged commit of a passed probe.

    Trunk moves from `probe.base`, or from where a shorter part of the same chain brought it.
    """

    probe: Probe
    reason: str


@dataclass(frozen=True, slots=True)
class Reject:
    certificate: Certificate


@dataclass(frozen=True, slots=True)
class Cancel:
    """The action that stops a running probe whose answer no longer matters."""

    number: int
    reason: str


Action = Start | Land | Reject | Cancel


@dataclass(frozen=True, slots=True)
class View:
    """What the bot observed: all that the planner may look at.

    `memory` is the planner's own state, as the planner returned it in the last Plan. The bot keeps it in the ledger
    without looking inside.
    """

    trunk: str
    queued: tuple[Change, ...]
    """The open changes that may be planned, by `seq`, those in `running` probes included.

    Frozen changes are left out. So are changes that have to wait while another change, in whose probes the bot died, is
    tested alone (`bot/bot_deaths.py`).
    """
    memory: bytes = b""
    running: tuple[Probe, ...] = ()
    """The running probes, as they began."""
    follow: tuple[Probe, ...] = ()
    """The running probes that follow trunk, as if they had begun on `trunk`.

    A probe follows trunk if changes of other lanes landed since it began, and its gates have to judge the same now.
    """
    finished: tuple[Result, ...] = ()
    """The probes that ended since the last plan, in the order in which they ended."""
    hold: tuple[Result, ...] = ()
    """Passed probes that, as has turned out since the last plan, hold on `trunk` too, as if they had begun there.

    They are probes of `finished`, of this plan or of an earlier one, that trunk had left for changes of other lanes.
    """
    clashes: frozenset[tuple[str, str]] = frozenset()
    """Pairs of change keys (a, b), a < b, that are known to conflict in their text.

    The two changes of a pair cannot stand in one chain.
    """
    landed: tuple[str, ...] = ()
    """The keys of the changes that landed since the last plan, in order.

    After a Land action has succeeded, its changes are here and no longer in `queued`.
    """
    next_probe: int = 1
    slots: int = 1
    withheld: bool = False
    """True while nothing may land: a person paused the queue, or somebody else moved trunk. All else goes on."""


@dataclass(frozen=True, slots=True)
class Plan:
    memory: bytes
    actions: tuple[Action, ...] = ()
