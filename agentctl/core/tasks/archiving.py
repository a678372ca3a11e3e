"""Which tasks leave the list."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from agentctl.core.tasks.task import FINISHED, Status, Task

KEPT, ENOUGH = 100, 50
"""How many tasks that are over stay in the list, and how many of them leave it together at least.

What is still open is judged by what others did lately, as by whether a program works for anybody (`dispatch`).
"""


def to_archive(
    tasks: Mapping[str, Task], statuses: Mapping[str, Status], busy: Collection[str], kept: int = KEPT, enough: int = ENOUGH
) -> list[Task]:
    """Return the tasks that leave the list, those that are over the longest; none before they are `enough`.

    A task is over that landed or is done, and about which no session is `busy`. What a task that is not over has planned
    stays, since its planner is told of it.
    """
    over = [
        task
        for name, task in tasks.items()
        if statuses[name] in FINISHED and name not in busy and statuses.get(task.parent, Status.DONE) in FINISHED
    ]
    over.sort(key=lambda task: (task.sessions[-1].ended if task.sessions else task.created, task.id))
    leaving = over[: max(0, len(over) - kept)]
    return leaving if len(leaving) >= enough else []
