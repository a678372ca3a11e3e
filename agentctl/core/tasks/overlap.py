"""Which work touches the same files, and which files are touched most.

What work touches is known late, by the paths that its branch changes, or early and roughly, by the globs that its task
declares. A declared path also stands for everything below it, because people name directories.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

from agentctl.core.text import globs

Paths = tuple[str, ...]
"""The declared paths of a task, as globs."""

PATIENCE = 3600.0
"""A task is passed over only by tasks that were created at most so many seconds after it.

So new tasks that are added again and again cannot hold it back for ever.
"""
AHEAD = 100
"""How many of the tasks that may start are looked at for one agent."""
HOT = 3
"""A file is hot if the branches that touch it and its latest conflicts are so many together."""

CROWDED = 5
"""A file is crowded if so many of the latest changes were rejected because they conflict in it.

With `hub.fought.LATELY` that is every twentieth. Fewer happen by chance where a hundred changes touch the same tree; each
costs a session, and one task at a time has none.
"""


@dataclass(frozen=True, slots=True)
class Scene:
    """What is being worked on, as far as it matters for which task may start."""

    under_way: tuple[Paths, ...] = ()
    """What each task declares that is being worked on."""
    crowded: Paths = ()
    """The files that only one task at a time may declare."""


@dataclass(frozen=True, slots=True)
class Branch:
    """Work that has not landed: what a session has, or a change in the queue."""

    name: str
    touched: frozenset[str] = frozenset()
    """The paths that it changes."""
    declared: Paths = ()


@dataclass(frozen=True, slots=True)
class Overlap:
    other: str
    """The name of the other branch."""
    paths: Paths
    """Paths that one of the two changes, and the other one changes or declares; else globs that may meet."""


@dataclass(frozen=True, slots=True)
class Heat:
    """How much a file is fought for."""

    path: str
    branches: Paths
    """The names of the branches that change it."""
    conflicts: int
    """How many changes were rejected lately because they conflict in it."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """A task that may start."""

    id: str
    rank: tuple[int, ...]
    """Tasks of the same rank may pass one another."""
    created: float
    declared: Paths


def overlaps(branches: Sequence[Branch]) -> dict[str, tuple[Overlap, ...]]:
    """Return the overlaps of each branch, by its name."""
    found: dict[str, list[Overlap]] = {branch.name: [] for branch in branches}
    for number, one in enumerate(branches):
        for other in branches[number + 1 :]:
            if paths := common(one, other):
                found[one.name].append(Overlap(other.name, paths))
                found[other.name].append(Overlap(one.name, paths))
    return {name: tuple(listed) for name, listed in found.items()}


def common(one: Branch, other: Branch) -> Paths:
    """Return the paths in which two branches overlap, in order; declared globs only if there is no path."""
    paths = one.touched & other.touched
    paths |= {path for path in one.touched - paths if declares(other.declared, path)}
    paths |= {path for path in other.touched - paths if declares(one.declared, path)}
    return tuple(sorted(paths)) or shared(one.declared, other.declared)


def declares(declared: Iterable[str], path: str) -> bool:
    """Tell whether a task that declares these globs may be expected to change a path."""
    return any(globs.matches(_widened(glob), path) for glob in declared)


def shared(declared: Paths, others: Iterable[str]) -> Paths:
    """Return those of the `declared` globs that may match a path that one of the `others` may match too.

    What is left out surely meets none of them; see `globs.meet`.
    """
    wide = [_widened(glob) for glob in others]
    return tuple(glob for glob in declared if any(globs.meet(_widened(glob), other) for other in wide))


@lru_cache(maxsize=1 << 14)
def _widened(glob: str) -> str:
    top = glob.removeprefix("./").strip("/")
    return top if top == "**" or top.endswith("/**") else top + "/**"


def hot(branches: Iterable[Branch], conflicts: Iterable[Iterable[str]]) -> list[Heat]:
    """Return the hot files, the hottest first.

    `conflicts` has the paths in which a change conflicted, for each one that was rejected for that lately.
    """
    touching: dict[str, list[str]] = {}
    for branch in branches:
        for path in branch.touched:
            touching.setdefault(path, []).append(branch.name)
    fought = Counter(path for paths in conflicts for path in set(paths))
    listed = [Heat(path, tuple(touching.get(path, ())), fought[path]) for path in {*touching, *fought}]
    listed = [heat for heat in listed if _degrees(heat) >= HOT]
    return sorted(listed, key=lambda heat: (-_degrees(heat), heat.path))


def _degrees(heat: Heat) -> int:
    return len(heat.branches) + heat.conflicts


def crowded(conflicts: Iterable[Iterable[str]]) -> dict[str, int]:
    """Return the crowded files, each with its conflicts; `conflicts` is as for `hot`."""
    fought = Counter(path for paths in conflicts for path in set(paths))
    return {path: count for path, count in sorted(fought.items()) if count >= CROWDED}


def apart(waiting: Sequence[Waiting], scene: Scene) -> Iterator[str]:
    """Return the tasks in the order in which they start, for as long as the caller has agents for them.

    `waiting` are the tasks that may start, in the order in which they are offered. The first one starts unless it may
    overlap with what is under way, and another one of its rank does not. If all of them may, the first one starts: two
    sessions that may get into each other's way are better than an agent without work. A task that declares nothing is
    taken to overlap with none.

    A task that declares a crowded file waits until no other one that declares it is being worked on.
    """
    left, busy = list(waiting), globs.Crowd(map(_widened, dict.fromkeys(glob for paths in scene.under_way for glob in paths)))
    taken = {path for path in scene.crowded if any(declares(paths, path) for paths in scene.under_way)}
    overlapping: set[str] = set()

    def is_apart(one: Waiting) -> bool:
        if one.id not in overlapping and any(busy.meets(_widened(glob)) for glob in one.declared):
            overlapping.add(one.id)
        return one.id not in overlapping

    while left:
        free = left if not taken else [w for w in left if not any(declares(w.declared, path) for path in taken)]
        if not free:
            break
        first = free[0]
        others = (w for w in free[:AHEAD] if w.rank == first.rank and w.created <= first.created + PATIENCE)
        found = next(filter(is_apart, others), first)
        left.remove(found)
        yield found.id
        for glob in found.declared:
            busy.add(_widened(glob))
        taken.update(path for path in scene.crowded if declares(found.declared, path))
