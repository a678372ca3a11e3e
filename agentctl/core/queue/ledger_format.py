r"""The ledger's format, version 2: the tree of each commit of refs/agentctl/state.

    format                          "2\n"
    meta.json                       trunk, counters, and the landing under way
    memory.json                     the planner's own state
    probes.json                     probes whose gates run, failed ones that may still prove a
                                    change guilty, and passed ones that may hold on another trunk
    events.json                     what happened since the commit before: a list
    queue/<shard>/<change>/<rev>    one record per queued submission
    done/<shard>/<change>/<rev>     one record per ended submission
    heads/<shard>/<head>            "<change>/<rev>": which submission had this head

A commit's first parent is the state before it. Its other parents are the heads that were admitted with it, or ended
without admission and may be kept. So whatever was submitted stays reachable although its inbox ref goes. The message
says in words what the events say; nothing reads it.

A landing is written down before trunk moves (`landing` in meta.json) and completed after. A bot that finds a landing
looks where trunk is. Then it completes the landing, or moves trunk, or, if somebody else moved trunk meanwhile, drops
the landing.

Version 1 had no events, and its records were different. `core.queue.ledger_format_v1` reads them. They are not rewritten
when the format becomes 2.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import TypeVar

import msgspec

from agentctl.core.queue import ledger_format_v1
from agentctl.core.queue.events import Landing, Recorded, Staged
from agentctl.core.queue.queued import Queue
from agentctl.core.queue.records import AnyEnded, Queued, Record
from agentctl.core.queue.sentences import told
from agentctl.core.queue.state import Draft, State
from agentctl.core.refnames import valid_name
from agentctl.core.text.json_form import Struct, dump, load
from agentctl.core.text.printable import printable

Named = TypeVar("Named", bound=Record)

VERSION = 2
META, MEMORY, PROBES, EVENTS, FORMAT = "meta.json", "memory.json", "probes.json", "events.json", "format"


def shard(name: str) -> str:
    return hashlib.sha1(name.encode()).hexdigest()[:2]


def queue_path(key: str) -> str:
    return f"queue/{shard(key.split('/')[0])}/{key}"


def done_path(key: str) -> str:
    return f"done/{shard(key.split('/')[0])}/{key}"


def head_path(head: str) -> str:
    return f"heads/{head[:2]}/{head}"


def decode_queued(data: bytes) -> Queued:
    """Return a record below queue/. Raise ValueError if the data is not one."""
    return _named(ledger_format_v1.queued(data) if ledger_format_v1.is_record(data) else load(Queued, data))


def decode_ended(data: bytes) -> AnyEnded:
    """Return a record below done/. Raise ValueError if the data is not one."""
    return _named(ledger_format_v1.ended(data) if ledger_format_v1.is_record(data) else load(AnyEnded, data))


def _named(record: Named) -> Named:
    change = record.change
    if not (valid_name(change.id) and valid_name(change.agent)):
        raise ValueError(f"{record.key!r} of {change.agent!r} is not a valid name")
    return record


class _Meta(Struct, frozen=True, omit_defaults=False):
    """The content of meta.json."""

    trunk: str
    seq: int
    probe: int
    landing: Landing | None


class _Probes(Struct, frozen=True, omit_defaults=False):
    """The content of probes.json."""

    running: tuple[Staged, ...]
    failed: tuple[Staged, ...]
    struck: dict[str, int] = {}
    clashes: tuple[tuple[str, str], ...] = ()
    passed: tuple[Staged, ...] = ()


def _encode_meta(state: State) -> bytes:
    return dump(_Meta(state.trunk, state.seq, state.next_probe, state.landing))


def _encode_probes(state: State) -> bytes:
    return dump(_Probes(state.probes, state.failed, dict(state.struck), tuple(sorted(state.clashes)), state.passed))


FORGOTTEN = b"{}\n"
"""The content of memory.json for a planner that begins anew."""
KINDS: dict[str, type] = {META: _Meta, PROBES: _Probes, EVENTS: list[Recorded]}


def read_back(path: str, data: bytes) -> None:
    """Raise ValueError for a file that would not be read as it was written."""
    if path in KINDS:
        again = dump(load(KINDS[path], data))
    elif path.startswith("queue/"):
        again = dump(decode_queued(data))
    elif path.startswith("done/"):
        again = dump(decode_ended(data))
    else:
        return
    if again != data:
        raise ValueError(f"{path} is not read as it was written")


def key_of(path: str) -> str:
    """Return the key of the submission whose record has this path; the path itself if it is that of no record."""
    return path.split("/", 2)[2] if path.startswith(("queue/", "done/")) and path.count("/") > 1 else path


def version(data: bytes) -> int:
    """Return the version that the file `format` names. Raise ValueError if it names none."""
    if not re.fullmatch(rb"[0-9]{1,9}\n?", data):
        raise ValueError(f"its file {FORMAT} holds {printable(data, 40)!r} and not the number of a version")
    return int(data)


def decode_trunk(meta: bytes) -> str:
    """Return where the bot knows trunk to be, from meta.json alone."""
    return _meta(meta).trunk


def _meta(data: bytes) -> _Meta:
    return msgspec.convert(ledger_format_v1.meta(data), _Meta) if ledger_format_v1.is_meta(data) else load(_Meta, data)


def decode(files: Mapping[str, bytes]) -> State:
    """Return the state from its small files and its queue records, by path.

    Raise ValueError for a format of an unknown version, and for a ledger without a version.
    """
    if version(files[FORMAT]) not in (1, VERSION):
        raise ValueError(f"ledger format {version(files[FORMAT])}, this agentctl reads {VERSION}")
    meta, probes = _meta(files[META]), load(_Probes, files[PROBES])
    records = [decode_queued(data) for path, data in files.items() if path.startswith("queue/")]
    return State(
        trunk=meta.trunk,
        seq=meta.seq,
        next_probe=meta.probe,
        landing=meta.landing,
        memory=files[MEMORY].removeprefix(FORGOTTEN),
        probes=probes.running,
        passed=probes.passed,
        failed=probes.failed,
        struck=probes.struck,
        clashes=frozenset(probes.clashes),
        queue=Queue({r.key: r for r in sorted(records, key=lambda r: r.change.seq)}),
    )


def decode_events(data: bytes) -> list[Recorded]:
    """Return the events of events.json. Raise ValueError if the data is not valid."""
    return load(list[Recorded], data)


def output(draft: Draft, before: State) -> dict[str, bytes | None]:
    """Return every file by which the next state differs from `before`, by path; empty if nothing happened.

    None stands for a removed file.
    """
    state, first = draft.state, not before.trunk
    out = _records(draft)
    if first or _encode_meta(state) != _encode_meta(before):
        out[META] = _encode_meta(state)
    if first or state.memory != before.memory:
        out[MEMORY] = state.memory or FORGOTTEN
    if first or _encode_probes(state) != _encode_probes(before):
        out[PROBES] = _encode_probes(state)
    if out or draft.events:
        out |= {FORMAT: f"{VERSION}\n".encode(), EVENTS: dump(draft.events)}
    return out


def _records(draft: Draft) -> dict[str, bytes | None]:
    out: dict[str, bytes | None] = {}
    for key in draft.touched:
        queued = draft.state.queue.get(key)
        out[queue_path(key)] = dump(queued) if queued else None
    out |= {done_path(ended.key): dump(ended) for ended in draft.ended}
    return out | {head_path(head): (key + "\n").encode() for head, key in draft.found.items()}


LINES = 100
"""The most lines of a message about events; the file of the events has them all."""


def message(draft: Draft) -> str:
    """Return the message of the ledger's commit: what happened, for people."""
    lines = [line for event in draft.events if (line := told(event))]
    if len(lines) < 2:
        return "".join(lines or ["what the planner remembers"]) + "\n"
    more = [f"and {len(lines) - LINES} more"] if len(lines) > LINES else []
    return f"{len(lines)} events\n\n" + "\n".join(lines[:LINES] + more) + "\n"
