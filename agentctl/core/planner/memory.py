"""What the planner remembers from one plan to the next, and how it is written down.

The ledger holds it as JSON in which the small types are lists of their fields in order, so a change of their fields
needs another VERSION.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import msgspec
from msgspec import Struct, field

VERSION = 3
"""The version of the written form. Memory of another version is dropped, and the planner begins anew."""


def lane(gates: tuple[str, ...] | None) -> str:
    """Return the name of the lane of the changes that `gates` judge; "*" if all gates judge all changes."""
    return "*" if gates is None else " ".join(gates)


class Evidence(NamedTuple):
    """A failed probe that accuses the suspects of a segment."""

    number: int
    """The number of the probe."""
    alt: float
    """The probability that it fails although all suspects of the segment are good."""


class Segment(Struct, array_like=True):
    """Suspects in order, of whom the evidence says that at least one is bad, unless it has another cause."""

    items: list[str]
    """Keys of the suspects."""
    evidence: list[Evidence]
    """The failed probes that accuse them; at least one."""

    def drop(self, keys: Iterable[str], risk: float) -> None:
        """Let `keys` go unproven; with probability `risk` one of them is bad and explains the evidence."""
        gone = set(keys)
        self.items = [k for k in self.items if k not in gone]
        self.evidence = [Evidence(number, 1 - (1 - alt) * (1 - risk)) for number, alt in self.evidence]


class FailedProbe(Struct, array_like=True):
    """A failed probe that may still become a certificate, or turn out a flake."""

    number: int
    base: str
    chain: tuple[str, ...]
    open: list[str]
    """Members of the chain that are not on trunk yet."""
    doubted: bool = False
    """Whether the last of the chain was green in a later turn, whenever it passed: then this is no certificate against it.

    `update.distrust` takes this back."""
    weight: int = 1
    """How many flakes it stands for if it turns out to be one: more than 1 for an audited conviction."""
    suspects: int = 0
    """How many of the chain, counted from its end, are not its ride.

    At first those that the probe asked about. When the ride turns out to be sound, the whole chain, so that
    `update.blame_rides` does not look at the ride again."""


class Landable(Struct, frozen=True, array_like=True):
    """A passed probe that may land; `staged` is the commit that it tested, empty if not known."""

    number: int
    base: str
    chain: tuple[str, ...]
    suspects: int
    reason: str
    staged: str


class LastLand(Struct, frozen=True, array_like=True):
    """The Land of the last plan, kept to recognise what became of it."""

    base: str
    chain: tuple[str, ...]
    agents: tuple[str, ...]
    staged: str


class Tip(Struct, frozen=True, array_like=True):
    """A commit at which trunk was seen."""

    commit: str
    chain: tuple[str, ...] | None
    """What landed literally on the tip before it; None if somebody else moved trunk."""


class Rejection(NamedTuple):
    """Why a change is rejected."""

    failed: int
    """The number of the failed probe."""
    reason: str


class Counts(NamedTuple):
    """How many changes of an agent ended, and how; halved now and then, so not whole numbers."""

    landed: float
    rejected: float


class Memory(Struct):
    """All that the planner remembers."""

    version: int = VERSION
    tips: list[Tip] = field(default_factory=list)
    """Where trunk was, oldest first."""
    landing: LastLand | None = None
    landed_ids: list[str] = field(default_factory=list)
    """Ids of landed changes that queued changes depend on (`Change.after`)."""
    green: list[str] = field(default_factory=list)
    """Queued changes that a passed probe held, on whatever base, and that are not suspected again since.

    Those that are about to land are among them."""
    distrusted: set[str] = field(default_factory=set)
    """Changes that were green until they failed together, and are queued still."""
    broken: float = 0.0
    """How many of such changes were rejected; it shrinks as the counts of agents are halved."""
    unridden: int = 0
    """How many probes were started since the last one that carried the first green change of each lane."""
    segments: list[Segment] = field(default_factory=list)
    failures: list[FailedProbe] = field(default_factory=list)
    passed: list[Landable] = field(default_factory=list)
    """Passed probes to whose tree trunk is literally on the way: they may land."""
    rejected: dict[str, Rejection] = field(default_factory=dict)
    """Changes that are rejected and still queued, by key: their rejection is asked for again."""
    culprits: list[str] = field(default_factory=list)
    """Rejected changes that probes still hold: the failures of these probes tell nothing."""
    audited: list[str] = field(default_factory=list)
    """Changes that get a second look although one certificate convicts them."""
    convictions: int = 0
    """How many changes were convicted with a single certificate."""
    audits: int = 0
    """How many of these convictions were audited."""
    audit_at: int = 10
    """The number of convictions at which the next audit is due; at first `judge.AUDIT`."""
    agents: dict[str, Counts] = field(default_factory=dict)
    """By agent: what became of its changes."""
    seconds: dict[str, float] = field(default_factory=dict)
    """By name of a lane: about how many seconds its probes take, the last ones counting most."""
    flakes: int = 0
    """How many failures turned out to be flakes."""
    passes: int = 0
    """How many probes passed."""


class _Versioned(Struct):
    """The version alone, whatever else the data holds."""

    version: int = 0


def load(data: bytes) -> Memory:
    """Return the memory in `data`; an empty one if there is none or it is of another version. Raise ValueError if unreadable."""
    if not data or msgspec.json.decode(data, type=_Versioned).version != VERSION:
        return Memory()
    return msgspec.json.decode(data, type=Memory)


def dump(mem: Memory) -> bytes:
    """Return `mem` as a line of JSON; load(dump(mem)) == mem."""
    return msgspec.json.encode(mem, order="deterministic") + b"\n"
