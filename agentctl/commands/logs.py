"""agentctl logs: what an agent's newest session printed."""

from __future__ import annotations

import codecs
import os
import sys
import time

import click

from agentctl.core import refnames
from agentctl.core.text.printable import split_colour, uncoloured
from agentctl.errors import NotFound
from agentctl.fleet.logs import log_of
from agentctl.terminal.parser import Given, as_command, given


@as_command("logs", "agentctl logs agent-1\nagentctl logs agent-1 -f\nagentctl logs agent-1 --json")
@click.argument("agent")
@click.option("-f", "--follow", is_flag=True, help="Go on as it is written.")
@given
def command(given: Given, agent: str, follow: bool) -> int:
    """Print the output of AGENT's newest session.

    Colours are left out, and whatever else a terminal would obey is shown escaped. With --json it
    is the very text, in pieces.
    """
    path = log_of(given.hub, agent) if refnames.valid_name(agent) else ""
    if not os.path.exists(path):
        raise NotFound(f"no session of an agent {agent!r} has been logged", hint="agentctl ps")
    decoder = codecs.getincrementaldecoder("utf-8")("replace" if given.json else "surrogateescape")
    held = ""
    with open(path, "rb") as file:
        while True:
            chunk = file.read(1 << 16)
            text, held = split_colour(held + decoder.decode(chunk, not (chunk or follow)))
            if not chunk:
                text, held = text + held, ""
            _print(given, text)
            if not (chunk or follow):
                return 0
            if not chunk:
                time.sleep(0.2)


def _print(given: Given, text: str) -> None:
    if text and given.json:
        given.emit({"text": text})
    elif text:
        given.show(uncoloured(text), end="")
    sys.stdout.flush()
