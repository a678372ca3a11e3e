"""The ledger's format, version 1: the tree of each commit of refs/agentctl/state.

    format                          "1\\n"
    meta.json                       trunk, counters, and the landing under way
    memory.json                     the planner's own state
    probes.json                     probes whose gates run, and failed ones that may still
                                    prove a change guilty
    queue/<shard>/<change>/<rev>    one record per queued submission
    done/<shard>/<change>/<rev>     one record per ended submission
    heads/<shard>/<head>            "<change>/<rev>": which submission had this head

A commit's first parent is the state before it; its other parents are the heads
admitted with it, so that whatever was submitted stays reachable although its
inbox ref goes. Its message says what was done, a line for each thing.

A landing is written down before trunk moves (`landing` in meta.json) and
completed after: a bot that finds one looks where trunk is, and either completes
it, moves trunk, or, if somebody else moved trunk meanwhile, drops it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from functools import cache

from agentctl.core.lifecycle import Event, Stage, step
from agentctl.core.model import Change, Probe
from agentctl.core.printable import one_line
from agentctl.core.queued import Queue
from agentctl.core.refnames import valid_name
from agentctl.core.shape import built, loads

VERSION = 1
META, MEMORY, PROBES, FORMAT = "meta.json", "memory.json", "probes.json", "format"


@dataclass(frozen=True, slots=True)
class Record:
    """One submission, from admission to its end."""

    change: Change
    base: str
    """The commit that the change is measured from."""
    subject: str = ""
    paths: tuple[str, ...] = ()
    stage: Stage = Stage.QUEUED
    ended: float = 0.0
    commit: str = ""
    """On trunk, if it landed."""
    kind: str = ""
    """Of a rejection: gate, conflict, policy, dependency, there (trunk held all of it before), fault
    (agentctl failed on it), border (it is no proper submission) or refused (the change is another's)."""
    why: str = ""
    evidence: dict = field(default_factory=dict)
    kept: bool = True
    """False if nothing may hold its head, which is no commit or lacks objects."""

    @property
    def key(self) -> str:
        return self.change.key


@dataclass(frozen=True, slots=True)
class Staged:
    """A probe and what was built for it. Its number is also that of its stage ref."""

    probe: Probe
    commit: str
    tree: str
    landing: tuple[tuple[str, str], ...]
    """(change key, commit that carries it) in order; the last commit is `commit`."""
    gate: str
    """Fingerprint of the gate."""
    started: float = 0.0


@dataclass(frozen=True, slots=True)
class Landing:
    """Trunk is to move, or moved, from `old` to `staged.commit`."""

    old: str
    """The base of the probe, or, of a train whose head landed before, a commit of its own."""
    staged: Staged
    """Its `landing` has only what lands now."""
    verdict: dict


@dataclass(frozen=True, slots=True)
class State:
    """The ledger but for the records of what has ended."""

    trunk: str = ""
    """Where the bot last saw or put trunk."""
    seq: int = 0
    next_probe: int = 1
    landing: Landing | None = None
    memory: dict = field(default_factory=dict)
    probes: tuple[Staged, ...] = ()
    failed: tuple[Staged, ...] = ()
    """Probes that failed and have a member in the queue still."""
    queue: Queue = field(default_factory=Queue)
    """By change key."""
    struck: Mapping[str, int] = field(default_factory=dict)
    """How often the bot died while a probe that asked about a queued change ran, by change key.
    The end of such a probe clears it."""

    def __post_init__(self) -> None:
        if not isinstance(self.queue, Queue):
            object.__setattr__(self, "queue", Queue(self.queue))

    def queued(self, change: str) -> Record | None:
        """The queued revision of a change; there is at most one."""
        return self.queue.of_change(change)

    @property
    def changes(self) -> tuple[Change, ...]:
        """What is queued, as the planner is to see it: it comes after what is queued still.
        What else it named has landed, or this one would have fallen with it."""
        ids = {r.change.id for r in self.queue.values()}
        return tuple(r.change if ids.issuperset(r.change.after) else
                     replace(r.change, after=tuple(name for name in r.change.after if name in ids))
                     for r in self.queue.values())


BESIDE = frozenset(("border", "refused"))
"""Kinds of rejections that tell nothing of the change whose name they have."""


def shard(name: str) -> str:
    return hashlib.sha1(name.encode()).hexdigest()[:2]


def queue_path(key: str) -> str:
    return f"queue/{shard(key.split('/')[0])}/{key}"


def done_path(key: str) -> str:
    return f"done/{shard(key.split('/')[0])}/{key}"


def head_path(head: str) -> str:
    return f"heads/{head[:2]}/{head}"


def _dump(value: object) -> bytes:
    return (json.dumps(value, sort_keys=True, separators=(",", ":"), default=_fields) + "\n").encode()


def _fields(value: object) -> dict:
    """The fields of a dataclass; those within it are asked for in turn. `asdict` copies all there is."""
    return {name: getattr(value, name) for name in _names(type(value))}


@cache
def _names(kind: type) -> tuple[str, ...]:
    return tuple(f.name for f in fields(kind) if f.init)


def encode_record(record: Record) -> bytes:
    return _dump(record)


def decode_record(data: bytes) -> Record:
    """Raises ValueError for what is no record."""
    record = built(Record, loads(data))
    change = record.change
    if not (valid_name(change.id) and valid_name(change.agent)):
        raise ValueError(f"{record.key!r} of {change.agent!r} is no name")
    return record


@dataclass(frozen=True, slots=True)
class _Meta:
    """The content of meta.json."""

    trunk: str
    seq: int
    probe: int
    landing: Landing | None


@dataclass(frozen=True, slots=True)
class _Probes:
    """The content of probes.json."""

    running: tuple[Staged, ...]
    failed: tuple[Staged, ...]
    struck: dict[str, int] = field(default_factory=dict)


def _encode_meta(state: State) -> bytes:
    return _dump(_Meta(state.trunk, state.seq, state.next_probe, state.landing))


def _encode_probes(state: State) -> bytes:
    return _dump(_Probes(state.probes, state.failed, dict(state.struck)))


def read_back(path: str, data: bytes) -> None:
    """Raises ValueError for a file that would not be read as it was written."""
    if path == META:
        again = _dump(built(_Meta, loads(data), META))
    elif path == PROBES:
        again = _dump(built(_Probes, loads(data), PROBES))
    elif path.startswith(("queue/", "done/")):
        again = encode_record(decode_record(data))
    else:
        return
    if again != data:
        raise ValueError(f"{path} is not read as it was written")


def decode_trunk(meta: bytes) -> str:
    """Where the bot knows trunk to be, from meta.json alone."""
    return built(_Meta, loads(meta), META).trunk


def decode(files: Mapping[str, bytes]) -> State:
    """The state from its small files and its queue records, by path.

    Raises ValueError for a format of another version, and for what has none.
    """
    if int(files[FORMAT]) != VERSION:
        raise ValueError(f"ledger format {files[FORMAT].decode().strip()}, this agentctl reads {VERSION}")
    meta, probes = built(_Meta, loads(files[META]), META), built(_Probes, loads(files[PROBES]), PROBES)
    records = [decode_record(data) for path, data in files.items() if path.startswith("queue/")]
    return State(
        trunk=meta.trunk, seq=meta.seq, next_probe=meta.probe, landing=meta.landing,
        memory=built(dict, loads(files[MEMORY]), MEMORY), probes=probes.running, failed=probes.failed,
        queue=Queue({r.key: r for r in sorted(records, key=lambda r: r.change.seq)}),
        struck={key: built(int, count, f"struck.{key}") for key, count in probes.struck.items()},
    )


@dataclass(slots=True)
class Draft:
    """The next state under construction, and the files by which it differs.

    Nothing here touches Git: `files` and `message` are for whoever writes the commit. The queue is
    this draft's own and changes in place: a copy for each admission would make a thousand of them
    a million.
    """

    state: State
    files: dict[str, bytes | None] = field(default_factory=dict)
    heads: list[str] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)
    ended: list[Record] = field(default_factory=list)
    _ended: dict[str, Record] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.state = replace(self.state, queue=Queue(self.state.queue))

    def say(self, line: str) -> None:
        self.lines.append(one_line(line))

    def known(self, key: str) -> Record | None:
        """A submission that is queued, or was until now."""
        return self.state.queue.get(key) or self._ended.get(key)

    def admit(self, record: Record) -> None:
        """Queue a waiting submission. Its `seq` is given here."""
        step(Stage.WAITING, Event.ADMIT)
        seq = self.state.seq + 1
        record = replace(record, change=replace(record.change, seq=seq))
        self.state = replace(self.state, seq=seq)
        self.state.queue[record.key] = record
        self.files[queue_path(record.key)] = encode_record(record)
        self._index(record)
        self.say(f"admit {record.key} from {record.change.agent}: {record.subject}")

    def reorder(self, key: str, priority: int) -> None:
        """Give a queued submission another priority. Raises KeyError if it is not queued."""
        self.amend(key, priority=priority)
        self.say(f"bump {key} to priority {priority}")

    def amend(self, key: str, **facts: object) -> None:
        """Change fields of a queued change. Raises KeyError if it is not queued."""
        old = self.state.queue[key]
        record = replace(old, change=replace(old.change, **facts))
        self.state.queue[key] = record
        self.files[queue_path(key)] = encode_record(record)

    def turn_away(self, record: Record, event: Event, now: float, index: bool = True, keep: bool = True,
                  **facts: object) -> Record:
        """End a waiting submission without queueing it. Its head is found by `index`, and held by the
        ledger if it is to be kept: one that lacks objects would break every clone for good."""
        ended = replace(record, stage=step(Stage.WAITING, event), ended=now, kept=keep, **facts)
        self._close(ended)
        if index and keep:
            self._index(ended)
        elif keep:
            self.heads.append(ended.change.head)
        return ended

    def end(self, key: str, event: Event, now: float, **facts: object) -> Record:
        """End a queued submission. Raises KeyError if it is not queued."""
        record = self.state.queue[key]
        ended = replace(record, stage=step(record.stage, event), ended=now, **facts)
        del self.state.queue[key]
        if key in self.state.struck:
            self.set(struck={k: count for k, count in self.state.struck.items() if k != key})
        self.files[queue_path(key)] = None
        self._close(ended)
        return ended

    def _close(self, ended: Record) -> None:
        self.files[done_path(ended.key)] = encode_record(ended)
        self.ended.append(ended)
        self._ended[ended.key] = ended
        self.say(f"{ended.stage} {ended.key}: {ended.why}" if ended.why else f"{ended.stage} {ended.key}")

    def _index(self, record: Record) -> None:
        self.files[head_path(record.change.head)] = (record.key + "\n").encode()
        self.heads.append(record.change.head)

    def set(self, **facts: object) -> None:
        """Change fields of the state other than the queue."""
        self.state = replace(self.state, **facts)

    def output(self, before: State) -> dict[str, bytes | None]:
        """Every file that differs from `before`, by path; None is a removed one."""
        out = dict(self.files)
        if not before.trunk or _encode_meta(self.state) != _encode_meta(before):
            out[META] = _encode_meta(self.state)
        if self.state.memory != before.memory or not before.trunk:
            out[MEMORY] = _dump(self.state.memory)
        probes = (self.state.probes, self.state.failed, self.state.struck)
        if not before.trunk or probes != (before.probes, before.failed, before.struck):
            out[PROBES] = _encode_probes(self.state)
        if not before.trunk:
            out[FORMAT] = f"{VERSION}\n".encode()
        return out

    def message(self) -> str:
        if len(self.lines) < 2:
            return "".join(self.lines or ["what the planner remembers"]) + "\n"
        return f"{len(self.lines)} events\n\n" + "\n".join(self.lines) + "\n"


def orphans(state: State, ended: Iterable[Record]) -> list[tuple[str, Record]]:
    """(key, the ended one it waits for) of every queued change whose dependency ended
    without landing: a stack falls together."""
    gone = {r.change.id: r for r in ended if r.stage in (Stage.REJECTED, Stage.WITHDRAWN)}
    return [(key, gone[name]) for key, record in state.queue.items()
            for name in record.change.after if name in gone and not state.queued(name)]
