"""What the planner remembers from one plan to the next, and its plain form."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

VERSION = 3


def lane(gates: tuple[str, ...] | None) -> str:
    """The name of those changes that these gates judge; of all changes, if all do."""
    return "*" if gates is None else " ".join(gates)


@dataclass
class Segment:
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


@dataclass
class Failure:
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


@dataclass(frozen=True)
class Passed:
    """A passed probe; `staged` is the commit it tested, empty if not known."""

    number: int
    base: str
    chain: tuple[str, ...]
    suspects: int
    reason: str
    staged: str


@dataclass(frozen=True)
class Landing:
    """The Land of the last plan, to recognise what became of it."""

    base: str
    chain: tuple[str, ...]
    agents: tuple[str, ...]
    staged: str


@dataclass(frozen=True)
class Tip:
    """A commit that trunk was seen at."""

    commit: str
    chain: tuple[str, ...] | None
    """What landed literally on the tip before it; None: somebody else moved trunk."""
    proven: bool
    """Whether it passed as it is, or may be taken for green."""


@dataclass
class Memory:
    tips: list[Tip] = field(default_factory=list)
    red: str = ""
    """A tip that failed without any change."""
    looks: int = 0
    """How often it did."""
    landing: Landing | None = None
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
    failures: list[Failure] = field(default_factory=list)
    passed: list[Passed] = field(default_factory=list)
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


def load(data: dict) -> Memory:
    """The memory in `data`; an empty one for {} or for another version's data."""
    if data.get("version") != VERSION:
        return Memory()
    landing = data["landing"]
    return Memory(
        tips=[Tip(c, None if k is None else tuple(k), p) for c, k, p in data["tips"]],
        red=data["red"],
        looks=data["looks"],
        landing=landing and Landing(landing[0], tuple(landing[1]), tuple(landing[2]), landing[3]),
        landed_ids=list(data["landed_ids"]),
        green=list(data["green"]),
        distrusted=set(data["distrusted"]),
        broken=data["broken"],
        unridden=data["unridden"],
        segments=[Segment(list(i), [(n, a) for n, a in e]) for i, e in data["segments"]],
        failures=[Failure(n, b, tuple(c), list(o), *m) for n, b, c, o, *m in data["failures"]],
        passed=[Passed(n, b, tuple(c), s, r, t) for n, b, c, s, r, t in data["passed"]],
        rejected={k: (n, r) for k, (n, r) in data["rejected"].items()},
        culprits=list(data["culprits"]),
        audited=list(data["audited"]),
        convictions=data["convictions"],
        audits=data["audits"],
        audit_at=data["audit_at"],
        agents={k: (g, b) for k, (g, b) in data["agents"].items()},
        seconds=dict(data["seconds"]),
        flakes=data["flakes"],
        passes=data["passes"],
    )


def dump(mem: Memory) -> dict:
    """`mem` as lists, strings and numbers; load(dump(mem)) == mem."""
    landing = mem.landing
    return {
        "version": VERSION,
        "tips": [
            [t.commit, None if t.chain is None else list(t.chain), t.proven] for t in mem.tips
        ],
        "red": mem.red,
        "looks": mem.looks,
        "landing": landing
        and [landing.base, list(landing.chain), list(landing.agents), landing.staged],
        "landed_ids": mem.landed_ids,
        "green": mem.green,
        "distrusted": sorted(mem.distrusted),
        "broken": mem.broken,
        "unridden": mem.unridden,
        "segments": [[s.items, [list(e) for e in s.evidence]] for s in mem.segments],
        "failures": [
            [f.number, f.base, list(f.chain), f.open, f.doubted, f.weight, f.suspects] for f in mem.failures
        ],
        "passed": [
            [p.number, p.base, list(p.chain), p.suspects, p.reason, p.staged] for p in mem.passed
        ],
        "rejected": {k: list(v) for k, v in mem.rejected.items()},
        "culprits": mem.culprits,
        "audited": mem.audited,
        "convictions": mem.convictions,
        "audits": mem.audits,
        "audit_at": mem.audit_at,
        "agents": {k: list(v) for k, v in mem.agents.items()},
        "seconds": mem.seconds,
        "flakes": mem.flakes,
        "passes": mem.passes,
    }
