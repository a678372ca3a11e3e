"""Where a change stands, according to the inbox and the ledger."""

from __future__ import annotations

from dataclasses import dataclass

from agentctl.core import refnames
from agentctl.core.queue.events import Probed
from agentctl.core.queue.history import about
from agentctl.core.queue.lifecycle import Stage
from agentctl.core.queue.model import Verdict
from agentctl.core.queue.records import Ended, Record
from agentctl.core.queue.request import Request
from agentctl.core.queue.state import State
from agentctl.errors import NotFound
from agentctl.git.repository import Hub
from agentctl.hub import inbox, tasks
from agentctl.hub.ledger import Ledger


@dataclass(frozen=True, slots=True)
class ChangeStatus:
    key: str
    stage: Stage
    request: Request | None
    """The request in its inbox ref, while it waits to be admitted."""
    record: Record | None
    """Its record in the ledger, once it was admitted or refused."""


def requests(hub: Hub) -> list[Request]:
    return inbox.read(hub)


def find(hub: Hub, name: str, ledger: Ledger | None = None) -> ChangeStatus:
    """Return where the newest revision of a change stands, or the revision that CHANGE/REVISION names.

    The name of a branch stands for the change that was submitted from it. Raises NotFound.
    """
    for meant in dict.fromkeys((name, refnames.of_branch(name), refnames.slug(name.removeprefix("agent/")))):
        found = _find(hub, meant, ledger)
        if found:
            return found
    change, _, revision = name.partition("/")
    if revision and (newest := _find(hub, change, ledger)):
        raise NotFound(f"{change} has no revision {revision}; the newest is {newest.key}", hint=f"agentctl why {change}")
    if tasks.exists(hub, change):
        raise NotFound(f"the task {change!r} has submitted no change", hint=f"agentctl task show {change}")
    raise NotFound(f"no change called {name!r}", hint="agentctl queue --all")


MOST = 200
"""The most commits of a change among which other heads are looked for, and the most changes to look for one head in."""


def open_heads(hub: Hub) -> dict[str, str]:
    """Return the changes that wait or are queued, by their heads."""
    found = {request.head: request.change for request in inbox.read(hub)}
    return found | {record.change.head: record.change.id for record in Ledger.read(hub).state().queue.values()}


def within(hub: Hub, head: str, change: str, tip: str) -> list[str]:
    """Return the other changes that wait or are queued and whose heads are among this change's commits."""
    parents = hub.objects.commit(head).parents
    if all(hub.holds(tip, parent) for parent in parents):
        return []
    own = hub.git("rev-list", f"-n{MOST}", *parents, "^" + tip).split()
    heads = open_heads(hub)
    return sorted({heads[oid] for oid in own if oid in heads} - {change})


def on_top(hub: Hub, head: str, change: str) -> list[str]:
    """Return the other changes that wait or are queued and that build on the commit `head`.

    If more than MOST changes wait or are queued, they are not looked at, and the answer is empty.
    """
    heads = open_heads(hub)
    return sorted({name for oid, name in heads.items() if name != change and hub.holds(oid, head)}) if len(heads) <= MOST else []


def named(hub: Hub, name: str) -> str:
    """Return the name of the change that somebody means.

    If there is no such change, return the name as it was given, without a revision: the caller will not find it.
    """
    try:
        return find(hub, name).key.partition("/")[0]
    except NotFound:
        return name.partition("/")[0]


def _find(hub: Hub, name: str, ledger: Ledger | None) -> ChangeStatus | None:
    change, _, revision = name.partition("/")
    if not refnames.valid_name(change):
        return None
    waiting = [r for r in inbox.read(hub, change) if r.waits]
    # The inbox is read before the ledger: what leaves the inbox in between is then in the ledger.
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
    """Return (time, what the bot did) for all that the ledger says of a submission and its probes, oldest first."""
    ledger = Ledger.read(hub)
    record = ledger.record(key)
    if not record:
        return []
    since, until = record.change.admitted, record.at if isinstance(record, Ended) else None
    turns = [*ledger.history(since - SLACK, until and until + SLACK)]
    return [(int(when), line) for when, line in about(key, reversed(turns))]


SLACK = 60.0
"""Seconds by which the clock that dated a record may differ from the one that dated a commit."""


RECENT = 50
"""How many turns of the bot are searched for its last gate run."""


def last_run(ledger: Ledger) -> Probed | None:
    """Return how the last gate run ended that nobody stopped; None if there was none lately."""
    runs = (
        event
        for _, happened in ledger.history(most=RECENT)
        for event in reversed(happened)
        if isinstance(event, Probed) and event.verdict != Verdict.ABORTED and not event.known
    )
    return next(runs, None)


def position(state: State, key: str) -> int:
    """Return the place of a submission in the queue, 1 for the oldest."""
    return list(state.queue).index(key) + 1
