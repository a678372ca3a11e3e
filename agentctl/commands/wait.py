"""agentctl wait: wait until a change has ended."""

from __future__ import annotations

import contextlib
import time

import click

from agentctl.commands import approve
from agentctl.core.queue.approvals import whole
from agentctl.core.queue.records import AnyEnded, Ended, Landed, Queued, Record, reason_kind
from agentctl.core.text.printable import printable
from agentctl.errors import AgentctlError, GateSaidNo, MergeConflict, Refused, Timeout
from agentctl.hub import approvals, landed, lease, pause, status
from agentctl.terminal.parser import Duration, Given, as_command, given

PAUSE = 0.2
"""Seconds between two looks."""
FRESH = 1.0
"""Seconds for which a look at a remote is new enough."""


@as_command("wait", "agentctl wait fix-crash\nagentctl wait fix-crash --timeout 10m")
@click.argument("change")
@click.option("--timeout", type=Duration(), metavar="TIME", help="Give up after so long, as in 90s or 10m (exit status 124).")
@given
def command(given: Given, change: str, timeout: float | None) -> int:
    """Wait until CHANGE has landed (exit status 0) or ended otherwise.

    Exit status 7 if the gate failed, 6 for a conflict, 5 if it was refused, withdrawn or
    superseded, or if trunk no longer holds it.
    """
    deadline = None if timeout is None else time.monotonic() + timeout
    told = ""
    while True:
        given.hub.refs.refresh(FRESH)
        found = status.find(given.hub, change)
        if isinstance(found.record, Ended):
            return ended(given, found.record)
        if (line := f"agentctl: waiting for {found.key}{_held(given, found.record)}") != told:
            given.note(line)
            told = line
        if deadline is not None and time.monotonic() > deadline:
            raise Timeout(f"{found.key} is {found.stage} still", hint=f"agentctl why {change}")
        time.sleep(PAUSE)


def _held(given: Given, record: Record | None) -> str:
    """Return why nothing may land for a long time, as the end of a sentence; empty if nothing is known to hold it up."""
    if paused := pause.read(given.hub):
        return f"; the queue is {printable(str(paused))}"
    with contextlib.suppress(AgentctlError):
        if isinstance(record, Queued) and (lacks := approvals.lacking(given.hub, given.policy, record)):
            how = "; ".join(approve.ways(given, record.key, lacks))
            return f"; it needs {whole(lacks, record.change.agent)}: {how}"
    return "" if lease.bot_works(given.hub) else "; no bot runs here: agentctl bot run"


def ended(given: Given, record: AnyEnded) -> int:
    """Print that a change landed, or raise how it ended otherwise."""
    if isinstance(record, Landed):
        if landed.has_gone(given.hub, given.seen.tip, record):
            raise Refused(
                f"{record.key} landed as {record.commit[:12]}, but it is gone: trunk no longer holds that commit",
                hint=f"agentctl why {record.key}",
            )
        if given.json:
            given.emit({"key": record.key, "stage": record.stage, "commit": record.commit})
        given.say(f"{record.key}: landed as {record.commit[:12]}")
        return 0
    kinds: dict[str, type[AgentctlError]] = {"gate": GateSaidNo, "conflict": MergeConflict}
    raise kinds.get(reason_kind(record), Refused)(
        f"{record.key} was {record.stage}: {record.why}", hint=f"agentctl why {record.key}"
    )
