"""agentctl stop: end an agent's session."""

from __future__ import annotations

import click

from agentctl.core import refnames
from agentctl.engine.local import LOCAL
from agentctl.errors import NotFound
from agentctl.terminal.parser import Given, as_command, given


@as_command("stop", "agentctl stop agent-3")
@click.argument("agent")
@given
def command(given: Given, agent: str) -> int:
    """End the session that AGENT runs. Its work is salvaged; its task is open again."""
    prefix = f"{given.hub.mark}session/{agent}/"
    if not refnames.valid_name(agent) or not LOCAL.stop(prefix):
        raise NotFound(f"agent {agent!r} runs no session here", hint="agentctl ps")
    if given.json:
        given.emit({"agent": agent, "stopped": True})
    given.say(f"{agent}: told to stop")
    return 0
