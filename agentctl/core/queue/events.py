"""What happens to the queue and to trunk, as data.

An event says what happened; applying it (`core.queue.state`) is the only way in which the state changes. The bot writes those of
one turn into one commit of the ledger, beside the state that they lead to, and tells the same ones to whoever watches:
`verify`, `why`, the summary, JUnit, the live view and `--json` read them. What is only told is in `core.notices`.
`core.queue.sentences` has the words for all of them; nothing reads those back.
"""

from __future__ import annotations

from agentctl.core.queue.model import Probe, Verdict
from agentctl.core.queue.records import AnyEnded, Landed, Passed, Queued, Rejected, Superseded, Withdrawn
from agentctl.core.text.json_form import Oid, Struct

__all__ = ["AnyEnded", "Landed", "Rejected", "Superseded", "Withdrawn"]


class Staged(Struct, frozen=True):
    """A probe and what was built for it. Its number is also that of its stage ref."""

    probe: Probe
    commit: Oid
    tree: Oid
    landing: tuple[tuple[str, Oid], ...]
    """(change key, commit that carries it) in order; the last commit is `commit`."""
    gate: str
    """Fingerprint of the gate."""
    started: float = 0.0


class Landing(Struct, frozen=True):
    """Trunk is to move, or moved, from `old` to `staged.commit`."""

    old: Oid
    """The base of the probe, or, of a train whose head landed before, a commit of its own."""
    staged: Staged
    """Its `landing` has only what lands now."""
    passed: Passed


class Event(Struct, frozen=True, tag_field="kind"):
    """The base of all but those of `Ended`, which are records too."""


# Trunk.


class Begun(Event, frozen=True, tag="begun"):
    """The ledger begins."""

    trunk: Oid


class Adopted(Event, frozen=True, tag="adopted"):
    """The bot takes for trunk what somebody else made of it."""

    old: Oid
    new: Oid
    who: str = ""
    """What may help to find out who it was, and what a person should know of it."""
    kept: str | None = None
    """The ref that keeps `old` where trunk was not moved forward; empty if it was not there any more."""


class Moved(Event, frozen=True, tag="moved"):
    """Somebody else moved trunk, and nothing lands until a person has spoken."""

    old: Oid
    new: str
    """Empty if the branch is gone."""
    how: str
    """In words."""
    kept: str
    ways: str
    """What a person may type."""


class PutBack(Event, frozen=True, tag="restored"):
    """A ref of the bot's that somebody else had moved or deleted."""

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
    """Other gates judge a queued change, since the policy has changed."""

    key: str
    gates: tuple[str, ...] | None


class Bumped(Event, frozen=True, tag="bumped"):
    key: str
    priority: int


class NotAdmitted(Event, frozen=True, tag="refused"):
    """What an agent asked about another one's change."""

    key: str
    agent: str
    why: str


class PassedOver(Event, frozen=True, tag="passed over"):
    """A request on which agentctl fails."""

    ref: str
    why: str


# Probes.


class ProbeBegun(Event, frozen=True, tag="started"):
    """Its tree is built; its gate runs from now on, unless its verdict is known."""

    staged: Staged


class Probed(Event, frozen=True, tag="probed"):
    """A probe has its verdict."""

    probe: Probe
    verdict: Verdict
    tree: Oid
    gate: str
    """Fingerprint of the gate."""
    seconds: float = 0.0
    step: str = ""
    """Of the gate, or of the slot's set-up, that did not pass."""
    why: str = ""
    known: bool = False
    """The gate has judged that tree before."""


class Cancelled(Event, frozen=True, tag="cancelled"):
    number: int
    why: str


class Follows(Event, frozen=True, tag="follows"):
    """A probe that passed holds on the present trunk too."""

    number: int
    base: Oid


class CutOff(Event, frozen=True, tag="cut off"):
    """The bot that ran these probes has ended."""

    probes: tuple[int, ...]
    died: bool = False


class TrunkFailed(Event, frozen=True, tag="trunk failed"):
    """Trunk's own tree has failed its gate."""

    run: Staged
    retries: int
    """By the policy: how many more failures make it red."""


class Forgotten(Event, frozen=True, tag="forgotten"):
    """What failed on these commits of trunk: they are red, and trunk no longer, so it is nobody's failure."""

    bases: tuple[Oid, ...]


class Clash(Event, frozen=True, tag="clash"):
    """Queued changes that do not merge with each other: they may not stand in one chain."""

    pairs: tuple[tuple[str, str], ...]
    """Of keys, each in order."""


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
    """And with it the failed probes."""


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
