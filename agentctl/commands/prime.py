"""agentctl prime: the prompt of a session, as things stand now."""

from __future__ import annotations

import os

import click

from agentctl.errors import UsageError
from agentctl.fleet import briefing
from agentctl.hub import tasks
from agentctl.terminal.parser import Given, as_command, given


@as_command("prime", "agentctl prime\nagentctl prime fix-the-crash\nagentctl prime --template > .agentctl/prompt.md")
@click.argument("task", required=False)
@click.option("--template", is_flag=True, help="Print the template in use, to be changed and committed.")
@click.option("--role", default="", help="With --template: that of a role, such as planner.")
@given
def command(given: Given, task: str | None, template: bool, role: str) -> int:
    """Print what a session on TASK is told.

    Inside a session the task is its own. The prompt is made from the template .agentctl/prompt-ROLE.md of trunk, else from
    .agentctl/prompt.md, else from the built-in one; each name in double braces there is a section.
    """
    if template:
        text, _ = briefing.template(given.hub, given.tip, role)
        if given.json:
            given.emit({"template": text})
        else:
            given.show(text.rstrip())
        return 0
    name = task or os.environ.get("AGENTCTL_TASK") or (tasks.last_of(given.hub, given.hub.agent) if given.hub.agent else None)
    if not name:
        raise UsageError("whose prompt? no session runs here", hint="agentctl prime TASK; agentctl task list")
    found = tasks.get(given.hub, name)
    text = briefing.told(given.hub, given.policy, found, given.tip)
    if given.json:
        given.emit({"task": name, "prompt": text})
    else:
        given.show(text.rstrip())
    return 0
