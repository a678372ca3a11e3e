"""Which sessions' folders go: what a session printed and was given to read is kept for a while, and not for ever."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

KEPT_OF_TASK = 100
"""How many sessions of a task in the list are kept, the newest; a session that runs is one of those."""
KEPT = 1000
"""How many sessions of all other tasks together are kept, the newest."""
YOUNG = 86_400.0
"""Seconds for which a session is kept whatever its task: one that no list has may still run."""


def superfluous(
    sessions: Mapping[str, Collection[int]], listed: Collection[str], when: Callable[[str, int], float], now: float
) -> list[tuple[str, int]]:
    """Return the sessions that go, as pairs (task, number), of all `sessions`, by task.

    `listed` are the tasks that are in the list or claimed; `when` tells when a session printed something last.
    """
    going, others = list[tuple[str, int]](), list[tuple[float, str, int]]()
    for task, numbers in sessions.items():
        if task in listed:
            going += [(task, number) for number in sorted(numbers)[:-KEPT_OF_TASK]]
        else:
            others += [(when(task, number), task, number) for number in numbers]
    return going + [(task, number) for last, task, number in sorted(others)[:-KEPT] if last <= now - YOUNG]
