"""Priorities along dependencies: who comes after another lends it its own.

Otherwise a change of high priority would wait, behind a low one that it comes after, for all
that lies between the two: a priority inversion.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping


def lent(priorities: Mapping[str, int], after: Mapping[str, Iterable[str]]) -> dict[str, int]:
    """The names that get a priority higher than their own, and which: the highest of those that
    come after them, directly or by way of others. Linear in the number of dependencies but for
    sorting; a cycle does no harm."""
    raised: dict[str, int] = {}
    for lender in sorted(after, key=lambda name: -priorities[name]):
        priority, todo = priorities[lender], list(after[lender])
        while todo:
            name = todo.pop()
            if name in priorities and raised.get(name, priorities[name]) < priority:
                raised[name] = priority
                todo.extend(after.get(name, ()))
    return raised
