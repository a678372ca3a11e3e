"""What happens to the queue and to trunk, as data.

An event says what happened. Applying it (`core.queue.state`) changes the state. The bot writes the events of one turn
into one commit of the ledger, beside the state that they lead to. It tells the same events to whoever watches:
`verify`, `why`, the summary, JUnit, the live view and `--json` read them.

`core.notices` has what is only told. `core.queue.sentences` has the words for all events; nothing reads the words back.
"""

from __future__ import annotations

from agentctl.core.queue.model import Probe, Verdict
from agentctl.core.queue.records import AnyEnded, Approval, Landed, Passed, Queued, Rejected, Superseded, Withdrawn
from agentctl.core.text.json_form import Oid, Struct

__all__ = ["AnyEnded", "Landed", "Rejected", "Superseded", "Withdrawn"]


class Staged(Struct, frozen=True):
    """A probe and what was built for it; its stage ref has the number of the probe."""

    probe: Probe
    commit: Oid
    tree: Oid
    landing: tuple[tuple[str, Oid], ...]
    """Pairs (change key, commit that carries the change), in order; the last commit is `commit`."""
    gate: str
    """The fingerprint of the gate."""
    started: float = 0.0


class Landing(Struct, frozen=True):
    """A landing: trunk is to move, or has moved, from `old` to `staged.commit`."""

    old: Oid
    """The base of the probe, or, if a shorter chain of this train landed before, a commit of its own chain."""
    staged: Staged
    """The staged commit; here `landing` has only the changes that land now."""
    passed: Passed


class Event(Struct, frozen=True, tag_field="kind"):
    """The base of all events except the kinds of `Ended`, which are records too."""


# Trunk.


class Begun(Event, frozen=True, tag="begun"):
    """The ledger begins."""

    trunk: Oid


class Adopted(Event, frozen=True, tag="adopted"):
    """The bot accepts as trunk what somebody else made of it."""

    old: Oid
    new: Oid
    who: str = ""
    """What may help to find out who moved trunk, and what a person should know about the move."""
    kept: str | None = None
    """The ref that keeps `old` if trunk was not moved forward (empty if `old` no longer exists), else None."""


class Moved(Event, frozen=True, tag="moved"):
    """Somebody else moved trunk, and nothing lands until a person decides."""

    old: Oid
    new: str
    """The new tip of trunk; empty if the branch is gone."""
    how: str
    """What happened, in words."""
    kept: str
    ways: str
    """The commands that a person may type."""


class PutBack(Event, frozen=True, tag="restored"):
    """The bot puts back a ref of its own that somebody else had moved or deleted."""

    ref: str
    found: str | None
    own: str
    how: str


class Paused(Event, frozen=True, tag="paused"):
    said: str
    effect: str


class Resumed(Event, frozen=True, tag="resumed"):
    pass


# Requests.


class Admitted(Event, frozen=True, tag="admitted"):
    queued: Queued


class Regated(Event, frozen=True, tag="regated"):
    """Other gates judge a queued change, because the policy has changed."""

    key: str
    gates: tuple[str, ...] | None


class Bumped(Event, frozen=True, tag="bumped"):
    key: str
    priority: int


class Approved(Event, frozen=True, tag="approved"):
    """Somebody approves the head of a queued change."""

    key: str
    head: Oid
    approval: Approval


class NotAdmitted(Event, frozen=True, tag="refused"):
    """A request to withdraw or bump another agent's change, or to approve or refuse one, has no effect."""

    key: str
    agent: str
    why: str


class PassedOver(Event, frozen=True, tag="passed over"):
    """A request, other than a submission, on which agentctl itself fails."""

    ref: str
    why: str


# Probes.


class ProbeBegun(Event, frozen=True, tag="started"):
    """The tree of a probe is built; its gate runs from now on, unless the verdict is known."""

    staged: Staged


class Probed(Event, frozen=True, tag="probed"):
    """A probe has its verdict."""

    probe: Probe
    verdict: Verdict
    tree: Oid
    gate: str
    """The fingerprint of the gate."""
    seconds: float = 0.0
    step: str = ""
    """The step of the gate, or of the slot's setup, that did not pass."""
    why: str = ""
    known: bool = False
    """True if the gate has judged that tree before."""


class Cancelled(Event, frozen=True, tag="cancelled"):
    number: int
    why: str


class Follows(Event, frozen=True, tag="follows"):
    """A probe that passed holds on the present trunk too."""

    number: int
    base: Oid
    staged: Staged | None = None
    """What was built for it on that trunk; None in what an earlier agentctl wrote."""


class CutOff(Event, frozen=True, tag="cut off"):
    """The bot that ran these probes has ended."""

    probes: tuple[int, ...]
    died: bool = False


class TrunkFailed(Event, frozen=True, tag="trunk failed"):
    """Trunk's own tree has failed its gate."""

    run: Staged
    retries: int
    """The policy's number: so many failures after the first one make trunk red."""


class Forgotten(Event, frozen=True, tag="forgotten"):
    """The failures on these commits are forgotten: the commits are red and trunk has left them, so no change is to blame."""

    bases: tuple[Oid, ...]


class Clash(Event, frozen=True, tag="clash"):
    """Queued changes that do not merge with each other: they may not stand in one chain."""

    pairs: tuple[tuple[str, str], ...]
    """Pairs of change keys, each pair in order."""


# Landings.


class LandingBegun(Event, frozen=True, tag="landing"):
    landing: Landing
    why: str


class LandingDropped(Event, frozen=True, tag="landing dropped"):
    why: str


class Arrived(Event, frozen=True, tag="arrived"):
    """Trunk is where a landing brought it."""

    trunk: Oid


class Replanned(Event, frozen=True, tag="replanned"):
    """What the planner knew is forgotten."""

    why: str
    failures: bool = False
    """True if the failed probes are forgotten too."""


Recorded = (
    Begun
    | Adopted
    | Moved
    | PutBack
    | Paused
    | Resumed
    | Admitted
    | Regated
    | Bumped
    | Approved
    | NotAdmitted
    | PassedOver
    | ProbeBegun
    | Probed
    | Cancelled
    | Follows
    | CutOff
    | TrunkFailed
    | Forgotten
    | Clash
    | LandingBegun
    | LandingDropped
    | Arrived
    | Replanned
    | AnyEnded
)
"""What a commit of the ledger may tell."""
