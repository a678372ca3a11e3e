"""agentctl withdraw: take a change out of the queue."""

from __future__ import annotations

import os

import click

from agentctl.hub import inbox, status, tasks
from agentctl.terminal.parser import Given, as_command, given


@as_command("withdraw", "agentctl withdraw fix-crash")
@click.argument("change")
@given
def command(given: Given, change: str) -> int:
    """Take CHANGE out of the queue, with what was submitted --after it. Its commits are kept.

    A branch names the change that was submitted from it. In a session an agent withdraws only
    what it has submitted, or what belongs to its task.
    """
    change = status.named(given.hub, change)
    receipt = inbox.withdraw(given.hub, change, os.environ.get("AGENTCTL_AGENT"))
    if given.json:
        given.emit({"change": change, "new": receipt.new})
    if above := status.on_top(given.hub, receipt.head, change):
        given.say(
            f"note: its commits are in {', '.join(above)} too, and land with that: withdraw it, or submit it anew without them"
        )
    if tasks.offered(given.hub, change) and not os.environ.get("AGENTCTL_AGENT"):
        given.say(f"note: the task {change} is offered again; if it is not wanted: agentctl task done {change}")
    given.say(
        f"{change}: {'to be withdrawn' if receipt.new else 'to be withdrawn already'}; the bot takes it out at its next turn"
    )
    return 0
