"""Submitting: one new ref in the inbox, an annotated tag on the head.

The tag's subject is one line of JSON (task, generation, priority, after, withdraw
or bump), so that the bot learns all it needs from a single listing of refs. A
plain commit pushed to such a ref is a submission too, without these.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field

from agentctl.core import refnames
from agentctl.core.ledger import Record, shard
from agentctl.core.lifecycle import Stage
from agentctl.core.shape import loads
from agentctl.engine import locks
from agentctl.errors import Contended, NotFound, Refused, UsageError
from agentctl.git import refs
from agentctl.git.hub import Hub
from agentctl.git.refs import Ref, Transaction
from agentctl.queue.ledger import Ledger


@dataclass(frozen=True, slots=True)
class Request:
    """What an inbox ref asks for."""

    ref: str
    oid: str
    head: str
    agent: str
    change: str
    revision: int
    facts: dict = field(default_factory=dict)

    @property
    def key(self) -> str:
        return f"{self.change}/{self.revision}"

    @property
    def withdraws(self) -> bool:
        return self.facts.get("withdraw") is True

    @property
    def bumps(self) -> bool:
        return self.facts.get("bump") is True

    @property
    def submits(self) -> bool:
        return not (self.withdraws or self.bumps)

    @property
    def priority(self) -> int:
        asked = self.facts.get("priority")
        return max(-1000, min(1000, asked)) if isinstance(asked, int) else 0


def parse(ref: Ref) -> Request | None:
    """The request of an inbox ref, or None if its name or kind is not of the protocol."""
    try:
        agent, change, revision = refnames.split_submission(ref.name, refnames.INBOX)
    except ValueError:
        return None
    facts = {}
    if ref.kind == "tag":
        try:
            facts = loads(ref.subject)
        except ValueError:
            facts = {}
    elif ref.kind != "commit":
        return None
    return Request(ref.name, ref.oid, ref.target, agent, change, revision,
                   facts if isinstance(facts, dict) else {})


def requests(listed: dict[str, Ref]) -> list[Request]:
    """All requests among refs, each change's in the order of its revisions."""
    parsed = (parse(ref) for name, ref in listed.items() if name.startswith(refnames.INBOX))
    return sorted((r for r in parsed if r), key=lambda r: (r.change, r.revision))


@dataclass(frozen=True, slots=True)
class Receipt:
    key: str
    head: str
    new: bool
    """False if this very head was submitted before and is waiting, queued or landed."""
    stage: Stage


def submit(
    hub: Hub, head: str, agent: str, change: str, trunk: str,
    *, again: bool = False, now: float | None = None, **facts: object,
) -> Receipt:
    """Put `head` into the inbox as the next revision of `change`.

    `trunk` is the commit at trunk's tip; `again` submits a head anew that was rejected.
    Raises UsageError for a bad name, Refused if there is nothing to submit.
    """
    for kind, name in (("agent", agent), ("change", change)):
        if not refnames.valid_name(name):
            raise UsageError(f"{name!r} cannot be the name of {kind}: letters, digits, dot, dash and "
                             "underscore, beginning with a letter or digit")
    known = _known(hub, head, change, again)
    if known:
        return known
    if hub.descends(trunk, head):
        raise Refused("nothing to submit: trunk already holds every commit of this branch",
                      hint="commit your work first: git commit -a")
    return _ask(hub, head, agent, change, now, {k: v for k, v in facts.items() if v})


def withdraw(hub: Hub, change: str, now: float | None = None) -> Receipt:
    """Ask the bot to take the newest revision of `change` out of the queue.

    Raises NotFound, or Refused if it has ended already.
    """
    waiting, agent, head = _open(hub, change)
    if any(request.withdraws for request in waiting[-1:]):
        return Receipt(waiting[-1].key, head, False, Stage.WITHDRAWN)
    receipt = _ask(hub, head, agent, change, now, {"withdraw": True})
    return Receipt(receipt.key, head, True, Stage.WITHDRAWN)


def bump(hub: Hub, change: str, priority: int, now: float | None = None) -> Receipt:
    """Ask the bot to give the newest revision of `change` another priority.

    Raises NotFound, or Refused if it has ended already.
    """
    _, agent, head = _open(hub, change)
    return _ask(hub, head, agent, change, now, {"bump": True, "priority": priority})


def retry(hub: Hub, record: Record, trunk: str) -> Receipt:
    """Submit anew what has ended without landing, with what it came with. Raises as `submit` does."""
    old = record.change
    return submit(hub, old.head, old.agent, old.id, trunk, again=True, task=old.task, priority=old.priority,
                  after=list(old.after))


def _open(hub: Hub, change: str) -> tuple[list[Request], str, str]:
    """(what waits in the inbox of a change that has not ended, its agent, its head)."""
    record = Ledger.read(hub).newest(change) if refnames.valid_name(change) else None
    waiting = _waiting(hub, change)
    if not record and not waiting:
        raise NotFound(f"no change called {change!r}", hint="agentctl queue")
    if not waiting and record.stage != Stage.QUEUED:
        raise Refused(f"{record.key} is {record.stage} already", hint=f"agentctl why {change}")
    if waiting:
        return waiting, waiting[-1].agent, waiting[-1].head
    return waiting, record.change.agent, record.change.head


def _waiting(hub: Hub, change: str) -> list[Request]:
    return [r for r in requests(refs.read(hub.git_dir, [refnames.INBOX])) if r.change == change]


def _known(hub: Hub, head: str, change: str, again: bool) -> Receipt | None:
    for request in _waiting(hub, change):
        if request.head == head and request.submits:
            return Receipt(request.key, head, False, Stage.WAITING)
    record: Record | None = Ledger.read(hub).with_head(head)
    if record and record.change.id == change and (
        record.stage in (Stage.QUEUED, Stage.LANDED) or (record.stage == Stage.REJECTED and not again)
    ):
        return Receipt(record.key, head, False, record.stage)
    return None


def _ask(hub: Hub, head: str, agent: str, change: str, now: float | None, facts: dict) -> Receipt:
    when = time.time() if now is None else now
    # Two agents may choose the same revision of a change: their refs differ, so that both
    # could be created. The bot sorts out what comes by push, without this lock.
    with locks.acquire(hub.own_path("locks", "inbox", shard(change) + ".lock"), f"submitting {change}", timeout=60):
        return _create(hub, head, agent, change, when, facts)


def _create(hub: Hub, head: str, agent: str, change: str, when: float, facts: dict) -> Receipt:
    for attempt in range(20):
        taken = [r.revision for r in _waiting(hub, change)] + Ledger.read(hub).revisions(change)
        revision = max(taken, default=0) + 1
        tag = hub.objects.write_tag(head, f"{change}/{revision}", json.dumps(facts, sort_keys=True), when)
        create = Transaction(hub.git_dir, f"submit {change}/{revision}")
        create.create(refnames.inbox(agent, change, revision), tag)
        try:
            create.commit()
        except Contended:
            if attempt == 19:
                raise
            continue
        hub.sync()
        return Receipt(f"{change}/{revision}", head, True, Stage.WAITING)
    raise AssertionError("unreachable")
