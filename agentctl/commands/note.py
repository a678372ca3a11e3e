"""agentctl note: the notebook that every agent is given."""

from __future__ import annotations

import os

import click

from agentctl.core.tasks import notebook as lines_of
from agentctl.core.text.printable import printable
from agentctl.engine import environ
from agentctl.errors import UsageError
from agentctl.fleet import in_session
from agentctl.hub import notebook
from agentctl.terminal.parser import Given, as_command, given, read_input


@as_command(
    "note",
    """
agentctl note 'the parser tests need LANG=C.UTF-8'
agentctl note
agentctl note > notes.txt; vi notes.txt; agentctl note --replace < notes.txt
""",
)
@click.argument("text", nargs=-1)
@click.option("--replace", is_flag=True, help="Put standard input in the place of all lines.")
@given
def command(given: Given, text: tuple[str, ...], replace: bool) -> int:
    """Add a line to the notebook, or show it.

    The notebook is part of the prompt of every session: what every agent should know and none finds out by itself. It has
    room for 100 lines; the oldest make room.
    """
    words = environ.redact(" ".join(text))
    if replace and words:
        raise UsageError("--replace reads standard input, and takes no TEXT")
    by = os.environ.get("AGENTCTL_AGENT") or given.hub.person(given.path).name
    if replace:
        in_session.refuse(given.hub)
        new = lines_of.parse(environ.redact(read_input()))
        lines = notebook.change(given.hub, lambda before: new, by)
    elif words.strip():
        lines = notebook.change(given.hub, lambda before: lines_of.with_lines(before, [words]), by)
    else:
        lines = notebook.read(given.hub)
        for line in lines:
            given.say(printable(line, lines_of.LONGEST))
    if given.json:
        given.emit({"lines": lines})
    return 0
