"""agentctl logs: what the newest session of an agent, or of a task, printed."""

from __future__ import annotations

import codecs
import os
import sys
import time

import click

from agentctl.core import refnames
from agentctl.core.text.printable import split_colour, uncoloured
from agentctl.errors import NotFound
from agentctl.fleet.logs import log_of, log_of_task
from agentctl.git import folders
from agentctl.terminal.parser import Given, as_command, given


@as_command("logs", "agentctl logs agent-1\nagentctl logs fix-the-crash\nagentctl logs agent-1 -f\nagentctl logs agent-1 --json")
@click.argument("name", metavar="AGENT|TASK")
@click.option("-f", "--follow", is_flag=True, help="Go on as it is written.")
@given
def command(given: Given, name: str, follow: bool) -> int:
    """Print the output of the newest session of an agent, or of a task.

    Colours are left out, and whatever else a terminal would obey is shown escaped. With --json it
    is the very text, in pieces.
    """
    found = (log_of(given.hub, name), log_of_task(given.hub, name)) if refnames.valid_name(name) else ()
    path = next(filter(os.path.lexists, found), None)
    if not path:
        raise NotFound(f"no session of an agent or a task {name!r} has been logged here", hint="agentctl ps")
    try:
        file = folders.opened(path)
    except OSError as error:
        raise NotFound(f"what {name} printed cannot be read: {path} is no plain file") from error
    decoder = codecs.getincrementaldecoder("utf-8")("replace" if given.json else "surrogateescape")
    held = ""
    with file:
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
