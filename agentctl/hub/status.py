"""Where a change stands, put together from inbox and ledger."""

from __future__ import annotations

from dataclasses import dataclass

from agentctl.core import refnames
from agentctl.core.queue.history import about
from agentctl.core.queue.lifecycle import Stage
from agentctl.core.queue.records import Ended, Record
from agentctl.core.queue.request import Request
from agentctl.core.queue.state import State
from agentctl.errors import NotFound
from agentctl.git.repository import Hub
from agentctl.hub import inbox
from agentctl.hub.ledger import Ledger


@dataclass(frozen=True, slots=True)
class ChangeStatus:
    key: str
    stage: Stage
    request: Request | None
    """Its inbox ref, while it waits to be admitted."""
    record: Record | None
    """The ledger's, once it was admitted or turned away."""


def requests(hub: Hub) -> list[Request]:
    return inbox.read(hub)


def find(hub: Hub, name: str, ledger: Ledger | None = None) -> ChangeStatus:
    """The newest revision of a change, or the one that CHANGE/REVISION names; a branch names the
    change that was submitted from it. Raises NotFound."""
    for meant in dict.fromkeys((name, refnames.of_branch(name), refnames.slug(name.removeprefix("agent/")))):
        found = _find(hub, meant, ledger)
        if found:
            return found
    change = name.partition("/")[0]
    if refnames.valid_name(change) and hub.refs.get(refnames.TASKS + change):
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


def _find(hub: Hub, name: str, ledger: Ledger | None) -> ChangeStatus | None:
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
        return ChangeStatus(waiting[-1].key, Stage.WAITING, waiting[-1], None)
    return ChangeStatus(record.key, record.stage, None, record) if record else None


def history(hub: Hub, key: str) -> list[tuple[int, str]]:
    """(time, what the bot did) for all that the ledger tells of a submission and of its probes, oldest first."""
    ledger = Ledger.read(hub)
    record = ledger.record(key)
    if not record:
        return []
    since, until = record.change.admitted, record.at if isinstance(record, Ended) else None
    turns = [*ledger.history(since - SLACK, until and until + SLACK)]
    return [(int(when), line) for when, line in about(key, reversed(turns))]


SLACK = 60.0
"""Seconds that clocks may differ by, of who wrote a record and a commit."""


def position(state: State, key: str) -> int:
    """1 for the oldest queued change."""
    return list(state.queue).index(key) + 1
