"""Sentences that users read, where they are made of more than one word."""

from __future__ import annotations

import time

from agentctl.core.lifecycle import Stage


def ago(when: float, now: float | None = None) -> str:
    """A duration since `when`, in the largest unit that fits: 45 s, 12 min, 3 h, 2 d."""
    seconds = max(0.0, (time.time() if now is None else now) - when)
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"


def clock(when: float) -> str:
    return time.strftime("%H:%M:%S", time.localtime(when))


NEXT_STEP = {
    Stage.WAITING: "a bot admits it at its next turn: agentctl bot run",
    Stage.QUEUED: "agentctl wait {change}",
    Stage.LANDED: "agentctl revert {change} undoes it",
    Stage.REJECTED: "mend it on a fresh trunk and submit again: git rebase {trunk}; agentctl submit --change {change}",
    Stage.WITHDRAWN: "agentctl submit --change {change} puts it in again",
    Stage.SUPERSEDED: "agentctl why {change} tells of its newest revision",
}


def next_step(stage: Stage, change: str, trunk: str) -> str:
    return NEXT_STEP[stage].format(change=change, trunk=trunk)
