"""Which tasks a run works on while others change the list, and what keeps the rest from it.

A task is blocked until all that it comes after is done. It is held up if work alone will never end that: one of those
is parked or cannot be read, is held up itself, or is left alone by this run. A task whose change waits for reviews is held
up by these in the same way.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from agentctl.core.tasks import reviewing
from agentctl.core.tasks.task import FINISHED, UNDER_WAY, Status, Task


@dataclass(frozen=True, slots=True)
class HeldUp:
    """What holds up a task."""

    by: str
    """A task that it comes after, or a review of its change."""
    root: str
    """The task that has to be opened, mended or taken in first; empty if there is none, because tasks wait in a circle."""


def with_planners(
    tasks: Mapping[str, Task], statuses: Mapping[str, Status], reviews: Mapping[str, Collection[str]] = {}
) -> dict[str, Status]:
    """Return where every task stands, if one that planned others waits until these are over.

    `reviews` are as for `held_up`.
    A task is over that is done, parked, gone, or held up by one of those. One that waits for its planner in turn, as
    those do that come after it, is not waited for: neither would ever start.
    """
    below: dict[str, list[str]] = {}
    for task in tasks.values():
        if task.parent in tasks:
            below.setdefault(task.parent, []).append(task.id)
    if not below:
        return dict(statuses)
    over = {name for name, where in statuses.items() if where in FINISHED | {Status.PARKED, Status.GONE}}
    over |= held_up(tasks, statuses, reviews=reviews).keys()
    left = {
        name: set(children) - over
        for name, children in below.items()
        if statuses[name] == Status.READY and not over.issuperset(children)
    }
    behind = _behind(tasks) if left else {}
    waiting = {name for name, children in left.items() if children - _all_behind(name, behind)}
    return {name: Status.BLOCKED if name in waiting else where for name, where in statuses.items()}


def _behind(tasks: Mapping[str, Task]) -> dict[str, list[str]]:
    """Return the tasks that wait for each one, because they come after it or planned it."""
    behind: dict[str, list[str]] = {}
    for task in tasks.values():
        for other in task.after:
            behind.setdefault(other, []).append(task.id)
        if task.parent in tasks:
            behind.setdefault(task.id, []).append(task.parent)
    return behind


def _all_behind(name: str, behind: Mapping[str, Iterable[str]]) -> set[str]:
    """Return the tasks that wait for one, directly or through others, but not through itself."""
    found, todo = set[str](), [name]
    while todo:
        for other in behind.get(todo.pop(), ()):
            if other not in found and other != name:
                found.add(other)
                todo.append(other)
    return found


def planned_since(tasks: Mapping[str, Task], parent: str, begun: float) -> list[Task]:
    """Return the tasks that a session which had `begun` then planned, whatever has become of them."""
    return [task for task in children(tasks, parent) if task.created >= begun]


def children(tasks: Mapping[str, Task], parent: str) -> list[Task]:
    """Return the tasks that a task planned, oldest first."""
    return [task for task in tasks.values() if task.parent == parent]


def below(tasks: Mapping[str, Task], parents: Collection[str]) -> set[str]:
    """Return the tasks that some tasks planned, and what these planned in turn."""
    planned: dict[str, list[str]] = {}
    for task in tasks.values():
        planned.setdefault(task.parent, []).append(task.id)
    found, todo = set[str](), list(parents)
    while todo:
        fresh = [name for name in planned.get(todo.pop(), ()) if name not in found]
        found.update(fresh)
        todo += fresh
    return found


def asked_for(before: Task | None, now: Task) -> bool:
    """Tell whether somebody asked for work on a task since it was `before`: it was added, opened or given a priority."""
    if before is None:
        return not now.closed
    opened = before.closed and not now.closed or before.opened != now.opened
    return bool(opened) or before.priority != now.priority


def unfinished(statuses: Mapping[str, Status]) -> set[str]:
    """Return the tasks on which somebody may work, now or once others are done."""
    return {name for name, where in statuses.items() if where not in FINISHED | {Status.PARKED, Status.GONE}}


def waits_for(task: Task, statuses: Mapping[str, Status]) -> tuple[str, ...]:
    """Return the tasks that the task comes after and that are not done."""
    return tuple(name for name in task.after if statuses.get(name) not in FINISHED)


def held_up(
    tasks: Mapping[str, Task],
    statuses: Mapping[str, Status],
    mine: Collection[str] | None = None,
    reviews: Mapping[str, Collection[str]] = {},
) -> dict[str, HeldUp]:
    """Return the tasks that are held up; `mine` are the tasks that this run works on, None for all.

    What others submitted is held up too: the change may hold up ours. `reviews` are those for which the change of a task
    waits, by task. The time is linear in the number of dependencies.
    """
    ours = tasks if mine is None else mine
    blocked = {name: waits_for(tasks[name], statuses) for name in ours if statuses.get(name) == Status.BLOCKED}
    for name in reviews:
        if statuses.get(name) == Status.SUBMITTED:
            blocked[name] = tuple(sorted(one for one in reviews[name] if statuses.get(one) not in FINISHED))
    behind: dict[str, list[str]] = {}
    for name, others in blocked.items():
        for other in others:
            behind.setdefault(other, []).append(name)
    ahead = [name for name in behind if name not in blocked]
    going = {name for name in ahead if _goes_on(name, statuses, mine)}
    left = {name: len(others) for name, others in blocked.items()}
    # What waits for the tasks that it planned goes on by itself.
    todo = [*going, *(name for name, others in blocked.items() if not others)]
    while todo:
        for name in behind.get(todo.pop(), ()):
            left[name] -= 1
            if not left[name]:
                todo.append(name)
    found: dict[str, HeldUp] = {}
    reached = [(name, name) for name in ahead if name not in going]
    for by, root in reached:
        for name in behind.get(by, ()):
            if name not in found:
                found[name] = HeldUp(by, root)
                reached.append((name, root))
    circle = {name: HeldUp(blocked[name][0], "") for name in blocked if left[name] and name not in found}
    return {**found, **circle}


def standing_still(statuses: Mapping[str, Status], held: Collection[str]) -> dict[str, Status]:
    """Return where every task stands, a change that is held up as blocked: what waits for trunk to move waits for it in vain."""
    still = {name: Status.BLOCKED for name in held if statuses.get(name) == Status.SUBMITTED}
    return {**statuses, **still}


def _goes_on(name: str, statuses: Mapping[str, Status], mine: Collection[str] | None) -> bool:
    """Tell whether a task that is not blocked can still be done by itself."""
    where = statuses.get(name)
    # What is under way goes on whoever runs.
    return where in UNDER_WAY or where not in (None, Status.PARKED) and (mine is None or name in mine)


def why(held: HeldUp, tasks: Mapping[str, Task], statuses: Mapping[str, Status]) -> str:
    """Return what holds up a task, in words."""
    if not held.root:
        return f"it comes after {held.by}, and there tasks wait for each other in a circle"
    root = tasks.get(held.root)
    if statuses.get(held.root) == Status.PARKED:
        what = f"is parked: {root.reason}" if root and root.reason else "is parked"
    else:
        what = "is no task that can be read" if root is None else "is not on the list of this run"
    by = tasks.get(held.by)
    after = f"{'its change waits for' if by and reviewing.is_review(by) else 'it comes after'} {held.by}, which "
    return after + what if held.by == held.root else f"{after}waits for {held.root}, which {what}"
