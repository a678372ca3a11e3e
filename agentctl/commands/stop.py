"""agentctl stop: end the sessions of agents."""

from __future__ import annotations

import click

from agentctl.core import refnames
from agentctl.errors import AgentctlError, NotFound
from agentctl.fleet import in_session, stopping
from agentctl.terminal.parser import Given, as_command, given


@as_command("stop", "agentctl stop agent-3\nagentctl stop agent-1 agent-2\nagentctl stop fix-crash")
@click.argument("agents", nargs=-1, required=True, metavar="AGENT...")
@given
def command(given: Given, agents: tuple[str, ...]) -> int:
    """End the session that each AGENT runs; its task's name will do, too.

    What the session did is salvaged, and counts as no attempt. Its task is parked, so that nobody
    goes on with it at once; `agentctl task open TASK` offers it again.
    """
    in_session.refuse(given.hub)
    failed: list[AgentctlError] = []
    for name in dict.fromkeys(agents):
        try:
            if not refnames.valid_name(name):
                raise NotFound(f"agent {name!r} runs no session here", hint="agentctl ps")
            agent, task = stopping.stop(given.hub, name)
        except AgentctlError as error:
            failed.append(error)
            continue
        if given.json:
            given.emit({"agent": agent, "stopped": True, "task": task or None})
        parked = f"; its task is parked, and goes on after: agentctl task open {task}" if task else ""
        given.say(f"{agent}: told to stop{parked}")
    if failed:
        raise failed[0] if len(failed) == 1 else NotFound("; ".join(e.message for e in failed), hint=failed[0].hint)
    return 0
