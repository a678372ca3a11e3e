"""What the planner remembers from one plan to the next, and its plain form.

In that form, which the ledger holds, the small types are lists of their fields in order: a change of
them needs another VERSION.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec
from msgspec import Struct, field

VERSION = 3


def lane(gates: tuple[str, ...] | None) -> str:
    """The name of those changes that these gates judge; of all changes, if all do."""
    return "*" if gates is None else " ".join(gates)


class Segment(Struct, array_like=True):
    """Suspects in order, at least one of whom the evidence accuses."""

    items: list[str]
    evidence: list[tuple[int, float]]
    """(number of a failed probe, alt): alt is the probability that it would have
    failed although all `items` are good."""

    def drop(self, keys: Iterable[str], risk: float) -> None:
        """Let `keys` go unproven; with probability `risk` they explain the evidence."""
        gone = set(keys)
        self.items = [k for k in self.items if k not in gone]
        self.evidence = [(n, 1 - (1 - alt) * (1 - risk)) for n, alt in self.evidence]


class FailedProbe(Struct, array_like=True):
    """A failed probe that may still become a certificate, or turn out a flake."""

    number: int
    base: str
    chain: tuple[str, ...]
    open: list[str]
    """Members that are not on trunk yet."""
    doubted: bool = False
    """The last of the chain passed later: no certificate against it."""
    weight: int = 1
    """How many flakes it stands for if it proves one."""
    suspects: int = 0
    """The last of the chain, which were asked about."""


class Landable(Struct, frozen=True, array_like=True):
    """A passed probe; `staged` is the commit it tested, empty if not known."""

    number: int
    base: str
    chain: tuple[str, ...]
    suspects: int
    reason: str
    staged: str


class LastLand(Struct, frozen=True, array_like=True):
    """The Land of the last plan, to recognise what became of it."""

    base: str
    chain: tuple[str, ...]
    agents: tuple[str, ...]
    staged: str


class Tip(Struct, frozen=True, array_like=True):
    """A commit that trunk was seen at."""

    commit: str
    chain: tuple[str, ...] | None
    """What landed literally on the tip before it; None: somebody else moved trunk."""


class Memory(Struct):
    version: int = VERSION
    tips: list[Tip] = field(default_factory=list)
    landing: LastLand | None = None
    landed_ids: list[str] = field(default_factory=list)
    """Ids of landed changes that queued changes come after."""
    green: list[str] = field(default_factory=list)
    """Changes that passed on an older base or beside a longer passing probe."""
    distrusted: set[str] = field(default_factory=set)
    """Changes that were green until they failed together."""
    broken: float = 0.0
    """How many of these were rejected; forgotten as the counts of agents are."""
    unridden: int = 0
    """Probes started without the green changes since they last rode."""
    segments: list[Segment] = field(default_factory=list)
    failures: list[FailedProbe] = field(default_factory=list)
    passed: list[Landable] = field(default_factory=list)
    """Those that trunk is literally on the way to: they may be landed."""
    rejected: dict[str, tuple[int, str]] = field(default_factory=dict)
    culprits: list[str] = field(default_factory=list)
    """Rejected changes that probes still hold: these probes tell nothing."""
    audited: list[str] = field(default_factory=list)
    """Changes that get a second look although one proof would do."""
    convictions: int = 0
    """On one proof."""
    audits: int = 0
    audit_at: int = 10
    """The number of convictions at which the next audit is due."""
    agents: dict[str, tuple[float, float]] = field(default_factory=dict)
    """Agent: how many of its changes landed, and were rejected."""
    seconds: dict[str, float] = field(default_factory=dict)
    """How long probes of a lane take, the last counting most."""
    flakes: int = 0
    passes: int = 0


class _Versioned(Struct):
    version: int = 0


def load(data: bytes) -> Memory:
    """The memory in `data`; an empty one for nothing, or for another version's data. Raises ValueError."""
    if not data or msgspec.json.decode(data, type=_Versioned).version != VERSION:
        return Memory()
    return msgspec.json.decode(data, type=Memory)


def dump(mem: Memory) -> bytes:
    """`mem` as a line of JSON; load(dump(mem)) == mem."""
    return msgspec.json.encode(mem, order="deterministic") + b"\n"
