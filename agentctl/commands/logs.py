"""agentctl logs: what a session of an agent, or of a task, printed."""

from __future__ import annotations

import codecs
import os
import sys
import time

import click

from agentctl.core import refnames
from agentctl.core.text.printable import split_colour, uncoloured
from agentctl.errors import NotFound
from agentctl.fleet.logs import log_of, log_of_task, sessions_of_task
from agentctl.git import folders
from agentctl.git.repository import Hub
from agentctl.terminal.parser import Given, as_command, given


@as_command(
    "logs",
    "agentctl logs agent-1\nagentctl logs fix-the-crash\nagentctl logs fix-the-crash/2\nagentctl logs agent-1 -f\nagentctl logs agent-1 --json",
)
@click.argument("name", metavar="AGENT|TASK[/SESSION]")
@click.option("-f", "--follow", is_flag=True, help="Go on as it is written.")
@given
def command(given: Given, name: str, follow: bool) -> int:
    """Print the output of the newest session of an agent, or of a task.

    TASK/2 is the task's session 2, as `agentctl task show TASK` numbers them. Colours are left out, and whatever else a terminal would obey is shown escaped. With --json it
    is the very text, in pieces.
    """
    path = _path(given.hub, name)
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


def _path(hub: Hub, name: str) -> str:
    """Return the log that is meant, or raise NotFound."""
    task, slash, session = name.partition("/")
    if refnames.valid_name(task) and (session.isdecimal() and len(session) < 10 or not slash):
        found = (log_of_task(hub, task, int(session)),) if slash else (log_of(hub, task), log_of_task(hub, task))
        if path := next(filter(os.path.lexists, found), None):
            return path
        if slash and (there := sessions_of_task(hub, task)):
            numbers = ", ".join(map(str, there))
            raise NotFound(
                f"session {session} of {task} has not been logged here; there are: {numbers}", hint=f"agentctl task show {task}"
            )
    raise NotFound(f"no session of an agent or a task {name!r} has been logged here", hint="agentctl ps")


def _print(given: Given, text: str) -> None:
    if text and given.json:
        given.emit({"text": text})
    elif text:
        given.show(uncoloured(text), end="")
    sys.stdout.flush()
