"""The live view of `run` on a terminal."""

from __future__ import annotations

import contextlib
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from agentctl.bot.bot import Bot
from agentctl.core import notices
from agentctl.core.queue import events
from agentctl.core.tasks import reviewing
from agentctl.core.tasks.task import Status
from agentctl.core.text.plural import many
from agentctl.core.text.printable import printable, visible
from agentctl.fleet.supervisor import Fleet
from agentctl.messages import ago
from agentctl.terminal.narrator import COLORS, Narrator
from agentctl.terminal.parser import Given

if TYPE_CHECKING:
    from rich.console import Group

COUNTED = (Status.LANDED, Status.DONE, Status.SUBMITTED, Status.WORKING, Status.READY, Status.BLOCKED, Status.PARKED, Status.GONE)
"""What the head of the view counts, in this order."""
WIDEST = 36
"""The most characters of the name of a task or an agent: behind it stands for how long it has been worked on."""


@contextlib.contextmanager
def view(given: Given, narrator: Narrator, fleet: Fleet, bot: Callable[[], Bot | None]) -> Iterator[Callable[[], None]]:
    """Yield a function to call after each turn, which draws the view.

    It draws only on a terminal; elsewhere the narrator's plain lines stand alone.
    """
    if given.json or given.quiet or not sys.stdout.isatty():
        yield lambda: None
        return
    from rich.console import Console
    from rich.live import Live
    from rich.text import Text

    console, begun, plainly = Console(no_color=not given.colored, highlight=False), time.time(), narrator.put
    with Live(console=console, refresh_per_second=8, transient=True) as live:
        # What has happened stays above the view, and on the screen when that is gone.
        narrator.put = lambda line, colour: live.console.print(Text(visible(line), style=colour))
        try:
            yield lambda: live.update(_draw(fleet, bot(), begun, console.height))
        finally:
            narrator.put = plainly


def _draw(fleet: Fleet, bot: Bot | None, begun: float, height: int) -> Group:
    from rich.console import Group
    from rich.text import Text

    listed = (name for name, task in fleet.listed.items() if not reviewing.is_review(task))
    where = fleet.archive.finished + Counter(fleet.statuses[name] for name in listed)
    head = Text(ago(begun) + "   " + "  ".join(f"{where[s]} {s}" for s in COUNTED if where[s]))
    if spent := str(fleet.spent):
        head.append(f"   {spent}")
    if bot and bot.moved:
        head.append(f"   {bot.moved.text}: nothing lands", style=COLORS[events.Moved])
    if bot and bot.paused:
        head.append(f"   {printable(str(bot.paused))}", style=COLORS[events.Paused])
    if held := fleet.pace.held(time.time()):
        head.append(visible(f"   held back: {held}"), style=COLORS[notices.Braked])
    rows = [(run.work.agent, name, ago(run.started), "") for name, (run, _) in sorted(fleet.runs.items())[: max(3, height // 3)]]
    rows += [
        (f"probe {staged.probe.number}", many(len(staged.probe.chain), "change"), ago(staged.started), staged.probe.reason)
        for staged in (bot.state.probes if bot else ())[: max(2, height // 6)]
    ]
    cells = [[cell if len(cell) <= WIDEST or n == 3 else cell[: WIDEST - 1] + "…" for n, cell in enumerate(row)] for row in rows]
    widths = [max((len(row[n]) for row in cells), default=0) for n in range(4)]
    shown = ["  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths)).rstrip() for row in cells]
    return Group(head, *(Text(visible(line), no_wrap=True, overflow="ellipsis") for line in shown))
