"""Where a change stands, put together from inbox and ledger."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from agentctl.core import refnames
from agentctl.core.ledger import Record, State
from agentctl.core.lifecycle import Stage
from agentctl.errors import NotFound
from agentctl.git import refs
from agentctl.git.hub import Hub
from agentctl.queue import inbox, marks
from agentctl.queue.inbox import Request
from agentctl.queue.ledger import Ledger


_BEGUN = re.compile(r"probe (\d+) of ")
_ENDED = re.compile(r"(?:cancel |land .*: )?probe (\d+)(?! of )\b")
PROBES = 50
"""The newest, of those that a history follows to their end."""


@dataclass(frozen=True, slots=True)
class Standing:
    key: str
    stage: Stage
    request: Request | None
    """Its inbox ref, while it waits to be admitted."""
    record: Record | None
    """The ledger's, once it was admitted or turned away."""


def requests(hub: Hub) -> list[Request]:
    return inbox.read(hub)


def find(hub: Hub, name: str, ledger: Ledger | None = None) -> Standing:
    """The newest revision of a change, or the one that CHANGE/REVISION names; a branch names the
    change that was submitted from it. Raises NotFound."""
    for meant in dict.fromkeys((name, refnames.of_branch(name), refnames.slug(name.removeprefix("agent/")))):
        found = _find(hub, meant, ledger)
        if found:
            return found
    change = name.partition("/")[0]
    if refnames.valid_name(change) and refs.get(hub.git_dir, refnames.TASKS + change):
        raise NotFound(f"the task {change!r} has submitted no change", hint=f"agentctl task show {change}")
    raise NotFound(f"no change called {name!r}", hint="agentctl queue --all")


MOST = 200
"""Commits of a change in which the heads of others are looked for; changes that one head is looked for in."""


def open_heads(hub: Hub) -> dict[str, str]:
    """The change by its head, of what waits or is queued."""
    found = {request.head: request.change for request in inbox.read(hub)}
    return found | {record.change.head: record.change.id for record in Ledger.read(hub).state().queue.values()}


def within(hub: Hub, head: str, change: str, tip: str) -> list[str]:
    """Other changes that wait or are queued, and whose commits are among those of this one."""
    parents = hub.objects.commit(head).parents
    if all(hub.holds(tip, parent) for parent in parents):
        return []
    own = hub.git("rev-list", f"-n{MOST}", *parents, "^" + tip).split()
    heads = open_heads(hub)
    return sorted({heads[oid] for oid in own if oid in heads} - {change})


def on_top(hub: Hub, head: str, change: str) -> list[str]:
    """Other changes that wait or are queued, and have the commit `head` among theirs; not looked for among very many."""
    heads = open_heads(hub)
    return sorted({name for oid, name in heads.items() if name != change and hub.holds(oid, head)}) if len(heads) <= MOST else []


def named(hub: Hub, name: str) -> str:
    """The change that somebody means. One that there is not is left to whoever asks for it."""
    try:
        return find(hub, name).key.partition("/")[0]
    except NotFound:
        return name.partition("/")[0]


def _find(hub: Hub, name: str, ledger: Ledger | None) -> Standing | None:
    change, _, revision = name.partition("/")
    if not refnames.valid_name(change):
        return None
    waiting = [r for r in inbox.read(hub, change) if r.waits]
    # The inbox is read before the ledger: what leaves it in between is in the ledger.
    ledger = ledger or Ledger.read(hub)
    if revision:
        waiting = [r for r in waiting if str(r.revision) == revision]
        record = ledger.record(name) if revision.isdecimal() else None
    else:
        record = ledger.newest(change)
    if waiting and (record is None or waiting[-1].revision > record.change.revision):
        return Standing(waiting[-1].key, Stage.WAITING, waiting[-1], None)
    return Standing(record.key, record.stage, None, record) if record else None


def history(hub: Hub, key: str, limit: int = 200) -> list[tuple[int, str]]:
    """(time, what the bot did) for every line of the ledger that names a submission or tells
    what became of a probe of it, oldest first."""
    if not (tip := marks.tip(hub, refnames.STATE)):
        return []
    probes = {found[1] for _, line in _log(hub, tip, [key], limit) if _names(line, key) and (found := _BEGUN.match(line))}
    about = [key, *(f"probe {number}" for number in sorted(probes, key=int)[-PROBES:])]
    return [(when, line) for when, line in _log(hub, tip, about, limit)
            if _names(line, key) or (found := _ENDED.match(line)) and found[1] in probes][::-1]


def _log(hub: Hub, tip: str, words: list[str], limit: int) -> Iterator[tuple[int, str]]:
    """Each line of the newest commits of the ledger that hold one of `words`, the newest first."""
    listed = hub.git("log", "-z", "--first-parent", f"-n{limit}", "--format=%ct%n%B", "--fixed-strings",
                     *(f"--grep={word}" for word in words), tip)
    for entry in filter(None, listed.split("\0")):
        when, _, body = entry.partition("\n")
        yield from ((int(when), line) for line in reversed(body.splitlines()))


def _names(line: str, key: str) -> bool:
    return any(word.strip(",:;") == key for word in line.split())


def position(state: State, key: str) -> int:
    """1 for the oldest queued change."""
    return list(state.queue).index(key) + 1
