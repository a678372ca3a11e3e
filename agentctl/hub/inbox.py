"""Submitting: one new ref in the inbox, an annotated tag on the head.

The subject of the tag is one line of JSON with the facts (task, generation, priority, after, mends, spent, withdraw, bump,
approve or refuse), so that the bot learns all it needs from the ref. A plain commit that is pushed to such a ref is a submission
too, without facts. `core.queue.request` reads both.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass

from agentctl.core import refnames
from agentctl.core.queue import request as asked
from agentctl.core.queue.ledger_format import shard
from agentctl.core.queue.lifecycle import Stage
from agentctl.core.queue.records import Landed, Record, next_revision
from agentctl.core.queue.request import Bump, Request, Review, Withdraw
from agentctl.core.queue.spending import Spent
from agentctl.core.text import json_form
from agentctl.core.text.json_form import Plain
from agentctl.engine import locks
from agentctl.errors import NotFound, Refused, UsageError
from agentctl.git import ref_files, refs, transactions
from agentctl.git.refs import Ref
from agentctl.git.repository import Hub
from agentctl.hub import landed, rights
from agentctl.hub.ledger import Ledger


def parse(ref: Ref) -> Request | None:
    """Return the request of an inbox ref; None if its name is not of the protocol."""
    return asked.parse(ref.name, ref.oid, ref.kind, ref.target, ref.target_kind, ref.subject)


def requests(listed: dict[str, Ref]) -> list[Request]:
    """Return all requests among the refs, sorted by change and revision."""
    parsed = (parse(ref) for name, ref in listed.items() if name.startswith(refnames.INBOX))
    return sorted((r for r in parsed if r), key=lambda r: (r.change, r.revision))


def read(hub: Hub, change: str | None = None) -> list[Request]:
    """Return all requests in the inbox, or those of one change, sorted by change and revision."""
    names = hub.refs.names([refnames.INBOX]).oids
    wanted = {name: oid for name, oid in names.items() if change is None or f"/{change}/" in name}
    return requests(refs.described(ref_files.Names(wanted), hub.objects).refs)


def waits(hub: Hub) -> bool:
    """Tell whether the inbox holds something for the bot to read."""
    return any(map(refnames.is_submission, hub.refs.names([refnames.INBOX]).oids))


@dataclass(frozen=True, slots=True)
class Receipt:
    key: str
    head: str
    new: bool
    """False if nothing was asked anew.

    Then this head was submitted as this change before (it waits, is queued, has landed or was rejected), or the
    newest request in the inbox asks for the same.
    """
    stage: Stage


def submit(
    hub: Hub, head: str, agent: str, change: str, trunk: str, *, again: bool = False, now: float | None = None, **facts: object
) -> Receipt:
    """Put `head` into the inbox as the next revision of `change`.

    `trunk` is the commit at trunk's tip; with `again` a head that was rejected is submitted anew. Raises UsageError
    for a bad name or fact, and Refused if there is nothing to submit or no number is left for a revision.
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
    """Raise UsageError if `name` cannot be the name of an agent or a change."""
    if not refnames.valid_name(name):
        raise UsageError(
            f"{name!r} cannot be the name of {kind}: letters, digits, dot, dash and underscore, beginning with a letter or digit"
        )


def withdraw(hub: Hub, change: str, by: str | None = None, now: float | None = None) -> Receipt:
    """Ask the bot to take the newest revision of `change` out of the queue.

    `by` is the agent that asks; without it a person asks, in the name of the agent that submitted the change.
    Raises NotFound, or Refused if the change has ended already or if the agent has no right to ask.
    """
    waiting, agent, head = _open(hub, change, by)
    if any(isinstance(request, Withdraw) for request in waiting[-1:]):
        return Receipt(waiting[-1].key, head, False, Stage.WITHDRAWN)
    receipt = _ask(hub, head, agent, change, now, {"withdraw": True})
    return Receipt(receipt.key, head, True, Stage.WITHDRAWN)


def bump(hub: Hub, change: str, priority: int, by: str | None = None, now: float | None = None) -> Receipt:
    """Ask the bot to give the newest revision of `change` another priority.

    `by` is as for `withdraw`. Raises NotFound, or Refused if the change has ended already or if the agent has no
    right to ask.
    """
    waiting, agent, head = _open(hub, change, by)
    if any(isinstance(request, Bump) and request.priority == priority for request in waiting[-1:]):
        return Receipt(waiting[-1].key, head, False, Stage.WAITING)
    return _ask(hub, head, agent, change, now, {"bump": True, "priority": priority})


def review(hub: Hub, change: str, head: str, by: str, refusal: str = "", now: float | None = None, task: str = "") -> Receipt:
    """Ask the bot to note that `by` approves `head` as the newest revision of `change`, or refuses it.

    A review holds for this very commit. An agent names the `task` in whose session it says so. Raises UsageError for a
    refusal that is too long.
    """
    check_name("agent", by)
    for request in read(hub, change):
        same = (request.agent, request.head) == (by, head)
        if same and isinstance(request, Review) and (request.refusal, request.task) == (refusal.strip(), task):
            return Receipt(request.key, head, False, Stage.WAITING)
    said: Plain = {"refuse": refusal} if refusal else {"approve": True}
    return _ask(hub, head, by, change, now, said | ({"task": task} if task else {}))


def owner(hub: Hub, change: str, by: str | None) -> str | None:
    """Return the agent in whose name something is asked about an open change.

    That is the agent `by`; if it is None a person asks, in the name of the agent that has the change. None if the
    change is not open and a person asks. Raises Refused if the change is queued and the agent `by` has no right to it.
    """
    waiting = read(hub, change)
    # The inbox is read before the ledger: what leaves the inbox in between is then in the ledger.
    record = Ledger.read(hub).newest(change)
    if record and record.stage == Stage.QUEUED:
        if by and not rights.allows(hub, by, record):
            raise Refused(rights.refusal(by, record), hint=f"agentctl why {change}, or take another name: --change NAME")
        return by or record.change.agent
    return by or (waiting[0].agent if waiting else None)


def retry(hub: Hub, record: Record, trunk: str) -> Receipt:
    """Submit a change that has ended without landing once more, with the same facts; raise what `submit` raises."""
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
        spent=json_form.facts(old.spent) if old.spent != Spent() else None,
    )


def _open(hub: Hub, change: str, by: str | None) -> tuple[list[Request], str, str]:
    """Return (the requests in the inbox, the agent that asks, the head) of a change that has not ended.

    Raises NotFound, or Refused if the change has ended or if the agent has no right to ask.
    """
    waiting = read(hub, change) if refnames.valid_name(change) else []
    record = Ledger.read(hub).newest(change) if refnames.valid_name(change) else None
    if not record and not waiting:
        raise NotFound(f"no change called {change!r}", hint="agentctl queue")
    if record and not waiting and record.stage != Stage.QUEUED:
        raise Refused(f"{record.key} is {record.stage} already", hint=f"agentctl why {change}")
    head = waiting[-1].head if waiting or not record else record.change.head
    return waiting, owner(hub, change, by) or waiting[-1].agent, head


def known(hub: Hub, head: str, change: str, again: bool) -> Receipt | None:
    """Return the receipt of the earlier submission, if `head` was submitted as `change` and need not be once more."""
    waiting = read(hub, change)
    withdrawn = max((request.revision for request in waiting if isinstance(request, Withdraw)), default=0)
    for request in waiting:
        if request.head == head and request.submits and request.revision > withdrawn:
            return Receipt(request.key, head, False, Stage.WAITING)
    record: Record | None = Ledger.read(hub).with_head(head)
    if record and (given_up(hub, record) or record.stage == Stage.QUEUED and record.change.revision < withdrawn):
        return None
    if (
        record
        and record.change.id == change
        and (record.stage in (Stage.QUEUED, Stage.LANDED) or (record.stage == Stage.REJECTED and not again))
    ):
        return Receipt(record.key, head, False, record.stage)
    return None


def given_up(hub: Hub, record: Record) -> bool:
    """Tell whether a landed change is no longer on trunk, as far as the bot knows trunk.

    Until the bot adopts a trunk that somebody else moved, the old trunk may come back, and a change that was submitted
    again would land twice.
    """
    trunk = Ledger.read(hub).trunk() if isinstance(record, Landed) else ""
    return bool(trunk) and landed.has_gone(hub, trunk, record)


def _ask(hub: Hub, head: str, agent: str, change: str, now: float | None, facts: Plain) -> Receipt:
    when = time.time() if now is None else now
    # Without this lock two agents could create the same revision of a change, since their refs differ.
    # What comes by push takes no lock; the bot sorts that out.
    with (
        locks.acquire(hub.own_path("locks", "inbox", shard(change) + ".lock"), f"submitting {change}", timeout=60),
        hub.objects.store.together(),
    ):
        made = transactions.retrying(20, lambda: _create(hub, head, agent, change, when, facts))
        hub.sync()
        return made


def _create(hub: Hub, head: str, agent: str, change: str, when: float, facts: Plain) -> Receipt:
    waiting = read(hub, change)
    revision = next_revision(Ledger.read(hub).all_of(change), [r.revision for r in waiting])
    own = max((r.revision for r in waiting if r.agent == agent), default=0)
    if revision < own:
        revision = own + 1
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
