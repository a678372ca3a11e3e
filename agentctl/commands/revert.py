"""agentctl revert: undo a landed change through the queue."""

from __future__ import annotations

import os

import click

from agentctl.commands.submit import report
from agentctl.core import refnames
from agentctl.core.queue.lifecycle import Stage
from agentctl.core.queue.records import Landed
from agentctl.errors import MergeConflict, Refused
from agentctl.fleet import in_session
from agentctl.git.merge import merge
from agentctl.git.repository import Hub
from agentctl.hub import inbox, landed, status
from agentctl.hub.ledger import Ledger
from agentctl.terminal.parser import Given, as_command, given


@as_command("revert", "agentctl revert fix-crash && agentctl wait revert-fix-crash")
@click.argument("change")
@given
def command(given: Given, change: str) -> int:
    """Submit a change that undoes what CHANGE landed, on today's trunk.

    It goes through the queue like any other. Exit status 6 if later work conflicts.
    """
    hub, tip = given.hub, given.tip
    found = status.find(hub, change)
    record = found.record
    if found.stage != Stage.LANDED and "/" not in change:
        record = Ledger.read(hub).newest_landed(found.key.partition("/")[0])
    in_session.refuse(hub, [record.change.task or ""] if record else ())
    if not isinstance(record, Landed):
        raise Refused(f"{found.key} has not landed: it is {found.stage}", hint=f"agentctl why {change}")
    with hub.objects.store.together():
        return report(given, _undo(given, record, tip))


def _undo(given: Given, record: Landed, tip: str) -> inbox.Receipt:
    hub, objects = given.hub, given.hub.objects
    was, before = objects.commit(record.commit), _before(hub, record)
    merged = merge(hub, was.tree, objects.commit(tip).tree, objects.commit(before).tree)
    if merged.conflicts:
        raise MergeConflict(
            f"undoing {record.key} conflicts with later work in {', '.join(merged.conflicts[:5])}",
            hint=f"git revert {was.oid[:12]} in a worktree, mend it, agentctl submit",
        )
    if merged.tree == objects.commit(tip).tree:
        raise Refused(f"nothing of {record.key} is left on trunk to undo", hint=f"agentctl why {record.key}")
    who = hub.person(given.path)
    message = f'Revert "{was.subject}"\n\nThis undoes {record.key}, landed as {was.oid}.\n'
    # The date is that of trunk's tip, so the same command makes the same commit, and submits nothing twice after a kill.
    made = objects.write_commit(merged.tree, [tip], message, objects.commit(tip).time, author=who, committer=who)
    name = landed.revert_of(record.change.id)
    agent = inbox.owner(hub, name, os.environ.get("AGENTCTL_AGENT")) or refnames.of_person(who.name) or "somebody"
    return inbox.submit(hub, made, agent, name, tip)


def _before(hub: Hub, record: Landed) -> str:
    """Return the commit on trunk just below what the change landed as.

    With the strategy `rebase` a change may have landed as several commits.
    """
    oid = record.commit
    trailer = "%(trailers:key=Agentctl-Change,valueonly)"
    while hub.git("log", "-1", "--format=" + trailer, oid).strip() == record.key:
        oid = hub.objects.commit(oid).parents[0]
    return oid if oid != record.commit else hub.objects.commit(oid).parents[0]
