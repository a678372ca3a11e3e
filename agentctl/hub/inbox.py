"""Submitting: one new ref in the inbox, an annotated tag on the head.

The tag's subject is one line of JSON (task, generation, priority, after, mends, withdraw
or bump), so that the bot learns all it needs from the ref. A plain commit pushed
to such a ref is a submission too, without these. core.request reads them.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass

from agentctl.core import refnames
from agentctl.core.queue import request as asked
from agentctl.core.queue.ledger_format import shard
from agentctl.core.queue.lifecycle import Stage
from agentctl.core.queue.records import Landed, Record
from agentctl.core.queue.request import Bump, Request, Withdraw
from agentctl.core.text.json_form import Plain
from agentctl.engine import locks
from agentctl.errors import NotFound, Refused, UsageError
from agentctl.git import refs
from agentctl.git.refs import Ref
from agentctl.git.repository import Hub
from agentctl.hub import landed, rights
from agentctl.hub.ledger import Ledger


def parse(ref: Ref) -> Request | None:
    """The request of an inbox ref, or None if its name is not of the protocol."""
    return asked.parse(ref.name, ref.oid, ref.kind, ref.target, ref.target_kind, ref.subject)


def requests(listed: dict[str, Ref]) -> list[Request]:
    """All requests among refs, each change's in the order of its revisions."""
    parsed = (parse(ref) for name, ref in listed.items() if name.startswith(refnames.INBOX))
    return sorted((r for r in parsed if r), key=lambda r: (r.change, r.revision))


def read(hub: Hub, change: str | None = None) -> list[Request]:
    """All requests, or those of one change, each change's in the order of its revisions."""
    names = hub.refs.names([refnames.INBOX]).oids
    wanted = {name: oid for name, oid in names.items() if change is None or f"/{change}/" in name}
    return requests(refs.described(refs.Names(wanted), hub.objects).refs)


def waits(hub: Hub) -> bool:
    """Whether a bot has something to take in."""
    return any(map(refnames.is_submission, hub.refs.names([refnames.INBOX]).oids))


@dataclass(frozen=True, slots=True)
class Receipt:
    key: str
    head: str
    new: bool
    """False if this very head was submitted before and is waiting, queued or landed."""
    stage: Stage


def submit(
    hub: Hub, head: str, agent: str, change: str, trunk: str, *, again: bool = False, now: float | None = None, **facts: object
) -> Receipt:
    """Put `head` into the inbox as the next revision of `change`.

    `trunk` is the commit at trunk's tip; `again` submits a head anew that was rejected.
    Raises UsageError for a bad name or fact, Refused if there is nothing to submit.
    """
    check_name("agent", agent)
    check_name("change", change)
    there = known(hub, head, change, again)
    if there:
        return there
    if hub.descends(trunk, head):
        raise Refused(
            "nothing to submit: trunk already holds every commit of this branch", hint="commit your work first: git commit -a"
        )
    return _ask(hub, head, agent, change, now, {k: v for k, v in facts.items() if v})


def check_name(kind: str, name: str) -> None:
    """Raises UsageError."""
    if not refnames.valid_name(name):
        raise UsageError(
            f"{name!r} cannot be the name of {kind}: letters, digits, dot, dash and underscore, beginning with a letter or digit"
        )


def withdraw(hub: Hub, change: str, by: str | None = None, now: float | None = None) -> Receipt:
    """Ask the bot to take the newest revision of `change` out of the queue. `by` is the agent that
    asks; without it a person does, in the name of the agent that submitted it.

    Raises NotFound, or Refused if it has ended already or is not theirs.
    """
    waiting, agent, head = _open(hub, change, by)
    if any(isinstance(request, Withdraw) for request in waiting[-1:]):
        return Receipt(waiting[-1].key, head, False, Stage.WITHDRAWN)
    receipt = _ask(hub, head, agent, change, now, {"withdraw": True})
    return Receipt(receipt.key, head, True, Stage.WITHDRAWN)


def bump(hub: Hub, change: str, priority: int, by: str | None = None, now: float | None = None) -> Receipt:
    """Ask the bot to give the newest revision of `change` another priority, as `withdraw` asks.

    Raises NotFound, or Refused if it has ended already or is not theirs.
    """
    waiting, agent, head = _open(hub, change, by)
    if any(isinstance(request, Bump) and request.priority == priority for request in waiting[-1:]):
        return Receipt(waiting[-1].key, head, False, Stage.WAITING)
    return _ask(hub, head, agent, change, now, {"bump": True, "priority": priority})


def owner(hub: Hub, change: str, by: str | None) -> str | None:
    """In whose name a person asks something about a change that is open: the agent's that has it.
    None if it is not open. Raises Refused if an agent asks, `by`, that may not."""
    waiting = read(hub, change)
    # The inbox is read before the ledger: what leaves it in between is in the ledger.
    record = Ledger.read(hub).newest(change)
    if record and record.stage == Stage.QUEUED:
        if by and not rights.allows(hub, by, record):
            raise Refused(rights.refusal(by, record), hint=f"agentctl why {change}, or take another name: --change NAME")
        return by or record.change.agent
    return by or (waiting[0].agent if waiting else None)


def retry(hub: Hub, record: Record, trunk: str) -> Receipt:
    """Submit anew what has ended without landing, with what it came with. Raises as `submit` does."""
    old = record.change
    return submit(
        hub,
        old.head,
        old.agent,
        old.id,
        trunk,
        again=True,
        task=old.task,
        priority=old.priority,
        after=list(old.after),
        mends=old.mends,
    )


def _open(hub: Hub, change: str, by: str | None) -> tuple[list[Request], str, str]:
    """(what waits in the inbox of a change that has not ended, who asks, its head)."""
    waiting = read(hub, change) if refnames.valid_name(change) else []
    record = Ledger.read(hub).newest(change) if refnames.valid_name(change) else None
    if not record and not waiting:
        raise NotFound(f"no change called {change!r}", hint="agentctl queue")
    if record and not waiting and record.stage != Stage.QUEUED:
        raise Refused(f"{record.key} is {record.stage} already", hint=f"agentctl why {change}")
    head = waiting[-1].head if waiting or not record else record.change.head
    return waiting, owner(hub, change, by) or waiting[-1].agent, head


def known(hub: Hub, head: str, change: str, again: bool) -> Receipt | None:
    """If that head was submitted as that change, and is not to be once more."""
    for request in read(hub, change):
        if request.head == head and request.submits:
            return Receipt(request.key, head, False, Stage.WAITING)
    record: Record | None = Ledger.read(hub).with_head(head)
    if record and given_up(hub, record):
        return None
    if (
        record
        and record.change.id == change
        and (record.stage in (Stage.QUEUED, Stage.LANDED) or (record.stage == Stage.REJECTED and not again))
    ):
        return Receipt(record.key, head, False, record.stage)
    return None


def given_up(hub: Hub, record: Record) -> bool:
    """True if what landed is on trunk no longer, and the bot knows: until a trunk that somebody
    else moved is adopted it may come back, and would then land twice."""
    trunk = Ledger.read(hub).trunk() if isinstance(record, Landed) else ""
    return bool(trunk) and landed.has_gone(hub, trunk, record)


def _ask(hub: Hub, head: str, agent: str, change: str, now: float | None, facts: Plain) -> Receipt:
    when = time.time() if now is None else now
    # Two agents may choose the same revision of a change: their refs differ, so that both
    # could be created. The bot sorts out what comes by push, without this lock.
    with (
        locks.acquire(hub.own_path("locks", "inbox", shard(change) + ".lock"), f"submitting {change}", timeout=60),
        hub.objects.store.together(),
    ):
        made = refs.retrying(20, lambda: _create(hub, head, agent, change, when, facts))
        hub.sync()
        return made


def _create(hub: Hub, head: str, agent: str, change: str, when: float, facts: Plain) -> Receipt:
    taken = [r.revision for r in read(hub, change)] + Ledger.read(hub).revisions(change)
    revision = max(taken, default=0) + 1
    if not refnames.is_submission(refnames.inbox(agent, change, revision)):
        raise Refused(
            f"there is no number left for another revision of {change}: somebody has taken {revision - 1}",
            hint="agentctl submit --change ANOTHER-NAME",
        )
    tag = hub.objects.write_tag(head, f"{change}/{revision}", json.dumps(facts, sort_keys=True), when)
    ref = refnames.inbox(agent, change, revision)
    wrong = asked.parse(ref, tag, "tag", head, "commit", json.dumps(facts))
    if isinstance(wrong, asked.Unfit):
        raise UsageError(f"the bot would refuse that: {wrong.why}", hint="agentctl submit --help")
    create = hub.refs.transaction(f"submit {change}/{revision}")
    create.create(ref, tag)
    hub.objects.store.flush()
    create.commit()
    return Receipt(f"{change}/{revision}", head, True, Stage.WAITING)
