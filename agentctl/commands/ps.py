"""agentctl ps: the agents, and what they do."""

from __future__ import annotations

from dataclasses import dataclass

from agentctl.core.notices import passed_over
from agentctl.core.queue.spending import Spent
from agentctl.core.text.json_form import facts
from agentctl.engine.locks import holder
from agentctl.fleet import agents
from agentctl.fleet.listening import spent_so_far
from agentctl.fleet.logs import log_of
from agentctl.hub import tasks
from agentctl.messages import ago, aligned
from agentctl.terminal.parser import Given, as_command, given


@dataclass(frozen=True, slots=True)
class Row:
    agent: str
    task: str | None
    since: float | None
    """When its session began; None if none runs."""
    worktree: str
    """Its path; empty if it is not here."""
    spent: Spent
    """What its session has used up so far."""
    station: str = ""
    """The station where it works, if that is another one than this; then only its task is known here."""


@as_command("ps", "agentctl ps\nagentctl ps --json")
@given
def command(given: Given) -> int:
    """List the agents: what each works on, and what its session used up.

    Of a hub on a remote, agents of other stations that work on a task are listed too.
    """
    hub = given.hub
    found = tasks.survey(hub)
    work = {claim.agent: name for name, (claim, _) in found.claims.items()}
    rows, there = [], agents.names(hub)
    # A session on a cluster has its worktree there.
    away = [claim.agent for claim, _ in found.claims.values() if claim.station in ("", hub.place) and claim.agent not in there]
    for name in [*there, *sorted(away)]:
        running = holder(hub.own_path("locks", "agents", f"{name}.lock"))
        rows.append(
            Row(
                name,
                work.get(name),
                running["since"] if running else None,
                agents.path_of(hub, name) if name in there else "",
                spent_so_far(log_of(hub, name)) if running else Spent(),
            )
        )
    rows += [
        Row(claim.agent, name, None, "", Spent(), claim.station)
        for name, (claim, _) in sorted(found.claims.items())
        if claim.station and claim.station != hub.place
    ]
    if given.json:
        given.emit(facts(rows))
    for line in aligned(
        [
            (
                row.agent,
                f"running for {ago(row.since)}" if row.since else "running" if row.station else "idle",
                row.task or "-",
                str(row.spent) or "-",
                f"at station {row.station}" if row.station else row.worktree or "no worktree here",
            )
            for row in rows
        ]
    ):
        given.say(line, hang=12)
    given.tell_held_up()
    if not rows:
        given.say("no agent has a worktree here")
    for notice in passed_over(found.passed_over):
        given.say(f"note: {notice.how}")
    return 0
