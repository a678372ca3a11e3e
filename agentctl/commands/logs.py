"""agentctl logs: what an agent's newest session printed."""

from __future__ import annotations

import os
import sys
import time

import click

from agentctl.commands.parser import Given, command, given
from agentctl.core import refnames
from agentctl.errors import NotFound
from agentctl.fleet.session import log_of


@command("logs", "agentctl logs agent-1\nagentctl logs agent-1 -f")
@click.argument("agent")
@click.option("-f", "--follow", is_flag=True, help="Go on as it is written.")
@given
def command(given: Given, agent: str, follow: bool) -> int:
    """Print the output of AGENT's newest session."""
    path = log_of(given.hub, agent) if refnames.valid_name(agent) else ""
    if not os.path.exists(path):
        raise NotFound(f"no session of an agent {agent!r} has been logged", hint="agentctl ps")
    with open(path, "rb") as file:
        while True:
            chunk = file.read(1 << 16)
            if chunk:
                _print(given, chunk)
            elif follow:
                time.sleep(0.2)
            else:
                return 0


def _print(given: Given, chunk: bytes) -> None:
    if given.json:
        given.emit({"text": chunk.decode(errors="replace")})
    else:
        sys.stdout.buffer.write(chunk)
    sys.stdout.flush()
