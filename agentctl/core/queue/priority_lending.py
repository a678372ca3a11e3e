"""Priorities along dependencies: a change lends its priority to those that it comes after.

Otherwise a change of high priority that comes after one of low priority would wait for all that lies between the two: a
priority inversion.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping


def lent(priorities: Mapping[str, int], after: Mapping[str, Iterable[str]]) -> dict[str, int]:
    """Return the names that get a higher priority than their own, with that priority.

    It is the highest priority of those that come after the name, directly or through others. The time is linear in the
    number of dependencies, apart from sorting. A cycle does no harm.
    """
    raised: dict[str, int] = {}
    for lender in sorted(after, key=lambda name: -priorities[name]):
        priority, todo = priorities[lender], list(after[lender])
        while todo:
            name = todo.pop()
            if name in priorities and raised.get(name, priorities[name]) < priority:
                raised[name] = priority
                todo.extend(after.get(name, ()))
    return raised
