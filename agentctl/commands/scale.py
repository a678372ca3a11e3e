"""agentctl scale: how many agents work at the same time."""

from __future__ import annotations

import time

import click

from agentctl.core.tasks.scale import MOST, Scale, agents
from agentctl.core.text.plural import many
from agentctl.errors import UsageError
from agentctl.fleet import in_session
from agentctl.hub import scale
from agentctl.messages import ago
from agentctl.terminal.parser import Given, as_command, given


@as_command("scale", "agentctl scale 8\nagentctl scale\nagentctl scale --policy")
@click.argument("count", required=False, type=click.IntRange(1, MOST), metavar="[N]")
@click.option("--policy", "by_policy", is_flag=True, help="As many as agents.count of the policy says, again.")
@given
def command(given: Given, count: int | None, by_policy: bool) -> int:
    """Say that N agents work at the same time, or show how many.

    A run that goes on follows at once. Where there are to be fewer, idle agents go first, and no
    session is ended. It holds for later runs too, but for those that are given --agents. Until
    this is said for the first time, and after --policy, the policy in force at trunk says how
    many; a run follows that too when it changes.
    """
    if count and by_policy:
        raise UsageError("give N or --policy, not both", hint="agentctl scale --help")
    if count or by_policy:
        in_session.refuse(given.hub)
        scale.write(given.hub, Scale(count, time.time()))
    said = scale.read(given.hub)
    now = agents(said, None, 0.0, given.policy.agents.count)
    by = f"said {ago(said.at)} ago" if said and said.agents else "as the policy says"
    working = scale.working(given.hub)
    if given.json:
        given.emit(
            {
                "working": working,
                "agents": now,
                "by": "scale" if said and said.agents else "policy",
                "at": said.at if said else None,
            }
        )
    if working is not None and working != now and not (count or by_policy):
        given.say(f"{many(working, 'agent')} in the run that goes on, by its --agents; {many(now, 'agent')} in later ones, {by}")
    else:
        given.say(f"{many(now, 'agent')}, {by}")
    return 0
