"""Parts of the sentences that users read: durations, counts, lists, rows and next steps."""

from __future__ import annotations

import shlex
import textwrap
import time
from collections.abc import Sequence
from itertools import zip_longest

from agentctl.core.queue.lifecycle import Stage


def ago(when: float, now: float | None = None) -> str:
    """Return the time since `when` in the largest unit that fits: 45 s, 12 min, 3 h, 2 d."""
    seconds = max(0.0, (time.time() if now is None else now) - when)
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"


def quoted(path: str) -> str:
    """Return a path or a name as one word of a command line that somebody types.

    One that begins with a dash gets `./` before it, so that it is not read as an option.
    """
    return shlex.quote("./" + path if path.startswith("-") else path)


def some(paths: Sequence[str]) -> str:
    """Return the first three paths, and how many more there are."""
    shown = ", ".join(quoted(path) for path in paths[:3])
    return shown if len(paths) <= 3 else f"{shown} and {len(paths) - 3} more"


def folded(line: str, hang: int, width: int) -> str:
    """Break a line at words where it is longer than `width`, and continue it at column `hang`."""
    indent = " " * min(hang, width // 3)
    return "\n".join(textwrap.wrap(line, width, subsequent_indent=indent, break_on_hyphens=False)) or line


WIDEST = 36
"""The most characters to which a column is filled up; a longer cell moves only what is in its own row."""


def aligned(rows: Sequence[tuple[str, ...]], numbers: bool = False) -> list[str]:
    """Arrange cells in columns that are two spaces apart, each as wide as it needs to be, up to `WIDEST`.

    With `numbers` all columns but the first are flush right.
    """
    widths = [min(WIDEST, max(map(len, cells))) for cells in zip_longest(*rows, fillvalue="")]
    sides = ["<", *((">" if numbers else "<") * (len(widths) - 1))]
    return ["  ".join(f"{cell:{side}{width}}" for cell, side, width in zip(row, sides, widths)).rstrip() for row in rows]


def clock(when: float) -> str:
    return time.strftime("%H:%M:%S", time.localtime(when))


NEXT_STEP = {
    Stage.WAITING: "a bot admits it at its next turn: agentctl bot run",
    Stage.QUEUED: "agentctl wait {change}",
    Stage.LANDED: "agentctl revert {change} undoes it",
    Stage.REJECTED: "mend it (git switch -c {change} {head} has its commits), then: git rebase {trunk} && agentctl submit --change {change}",
    Stage.WITHDRAWN: "agentctl queue retry {change} puts it in again",
    Stage.SUPERSEDED: "agentctl why {change} tells of its newest revision",
}


PROTECTED = "no change may touch what is protected; a person who wants it commits it on {trunk}, and the bot tests it there"


def next_step(stage: Stage, change: str, head: str, trunk: str, protected: bool) -> str:
    """Return what to do about a change at `stage`; `protected` says that it touches what no change may touch."""
    if protected:
        return PROTECTED.format(trunk=quoted(trunk))
    return NEXT_STEP[stage].format(change=quoted(change), head=head[:12], trunk=quoted(trunk))
