"""agentctl help: the manual."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

import click

from agentctl.errors import NotFound
from agentctl.terminal.package_files import data_path
from agentctl.terminal.parser import Given, as_command, given

MARKS = (
    ("\\fB", ""),
    ("\\fI", ""),
    ("\\fR", ""),
    ("\\fP", ""),
    ("\\-", "-"),
    ("\\(bu", "*"),
    ("\\(aq", "'"),
    ("\\(ga", "`"),
    ("\\(dq", '"'),
    ("\\&", ""),
    ("\\e", "\\"),
)
"""Marks of roff, and what replaces each of them in plain text; the backslash comes last."""


@as_command("help", "agentctl help\nagentctl help run\nagentctl help policy\nagentctl help tasks\nagentctl help refs")
@click.argument("topic", required=False)
@given
def command(given: Given, topic: str | None) -> int:
    """Show the manual page of a command, or on policy, tasks or refs."""
    page = _page(topic)
    if given.json:
        with open(page) as file:
            given.emit({"page": os.path.basename(page), "text": _plain(file.read())})
        return 0
    if sys.stdout.isatty() and shutil.which("man"):
        return subprocess.run(["man", "-l", page]).returncode
    with open(page) as file:
        given.show(_plain(file.read()))
    return 0


def _page(topic: str | None) -> str:
    name = f"agentctl-{topic}" if topic else "agentctl"
    for section in "571" if topic else "1":
        try:
            return data_path("man", f"man{section}", f"{name}.{section}")
        except NotFound:
            continue
    raise NotFound(f"no manual page on {topic!r}", hint="agentctl help, or agentctl --help for the commands")


def _plain(roff: str) -> str:
    """Return a manual page as plain text, without its markup."""
    out = []
    for line in roff.splitlines():
        if line.startswith((".SH ", ".SS ", ".TH ")):
            out += ["", line[4:].replace('"', "")]
        elif line.startswith((".TP", ".PP", ".sp")):
            out.append("")
        elif line.startswith((".B ", ".I ", ".BR ", ".IR ")):
            out.append(line.split(" ", 1)[1].replace('"', ""))
        elif not line.startswith((".", "'")):
            out.append(line)
    text = "\n".join(out)
    for mark, plain in MARKS:
        text = text.replace(mark, plain)
    return text.strip()
