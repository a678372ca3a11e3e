"""Where each task stands, by its record, its claim and what became of its change."""

from __future__ import annotations

from agentctl.core.queue.records import Landed
from agentctl.core.tasks import live_list
from agentctl.core.tasks.task import Status, standings
from agentctl.git.repository import Hub
from agentctl.hub import landed, tasks
from agentctl.hub.ledger import Ledger
from agentctl.hub.tasks import Survey


def statuses(hub: Hub, tip: str, found: Survey) -> dict[str, Status]:
    """Return where each task stands now; `tip` is that of trunk."""
    ledger = Ledger.read(hub)
    newest = {name: record for name, task in found.tasks.items() if (record := tasks.newest(ledger, task))}
    away = landed.gone(hub, tip, [r.commit for r in newest.values() if isinstance(r, Landed)])
    gone = {name for name, record in newest.items() if isinstance(record, Landed) and record.commit in away}
    where = standings(found.tasks, {name: claim for name, (claim, _) in found.claims.items()}, newest, gone)
    return live_list.with_planners(found.tasks, where)
