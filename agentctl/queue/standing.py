"""Where a change stands, put together from inbox and ledger."""

from __future__ import annotations

from dataclasses import dataclass

from agentctl.core import refnames
from agentctl.core.ledger import Record, State
from agentctl.core.lifecycle import Stage
from agentctl.errors import NotFound
from agentctl.git import refs
from agentctl.git.hub import Hub
from agentctl.queue import inbox
from agentctl.queue.inbox import Request
from agentctl.queue.ledger import Ledger


@dataclass(frozen=True, slots=True)
class Standing:
    key: str
    stage: Stage
    request: Request | None
    """Its inbox ref, while it waits to be admitted."""
    record: Record | None
    """The ledger's, once it was admitted or turned away."""


def requests(hub: Hub) -> list[Request]:
    return inbox.requests(refs.read(hub.git_dir, [refnames.INBOX]))


def find(hub: Hub, name: str, ledger: Ledger | None = None) -> Standing:
    """The newest revision of a change, or the one that CHANGE/REVISION names. Raises NotFound."""
    change, _, revision = name.partition("/")
    waiting = [r for r in requests(hub) if r.change == change and r.submits]
    # The inbox is read before the ledger: what leaves it in between is in the ledger.
    ledger = ledger or Ledger.read(hub)
    if revision:
        waiting = [r for r in waiting if str(r.revision) == revision]
        record = ledger.record(name) if revision.isdigit() else None
    else:
        record = ledger.newest(change) if refnames.valid_name(change) else None
    if waiting and (record is None or waiting[-1].revision > record.change.revision):
        return Standing(waiting[-1].key, Stage.WAITING, waiting[-1], None)
    if record is None:
        if refnames.valid_name(change) and refs.get(hub.git_dir, refnames.TASKS + change):
            raise NotFound(f"the task {change!r} has submitted no change", hint=f"agentctl task show {change}")
        raise NotFound(f"no change called {name!r}", hint="agentctl queue --all")
    return Standing(record.key, record.stage, None, record)


def history(hub: Hub, key: str, limit: int = 200) -> list[tuple[int, str]]:
    """(time, what the bot did) for every line of the ledger that names a submission, oldest first."""
    if not refs.get(hub.git_dir, refnames.STATE):
        return []
    listed = hub.git("log", "-z", "--first-parent", f"-n{limit}", "--format=%ct%n%B", "--fixed-strings", "--grep", key,
                     refnames.STATE)
    found = []
    for entry in filter(None, listed.split("\0")):
        when, _, body = entry.partition("\n")
        found += [(int(when), line) for line in reversed(body.splitlines()) if _names(line, key)]
    return found[::-1]


def _names(line: str, key: str) -> bool:
    return any(word.strip(",:;") == key for word in line.split())


def position(state: State, key: str) -> int:
    """1 for the oldest queued change."""
    return list(state.queue).index(key) + 1
