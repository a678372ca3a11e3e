"""A second proof, by another way, that what is about to land is what its changes say.

Staging merges whole trees, in process or by Git, and remembers the merges. This module instead follows the commits from
the old trunk to the new one, and looks at single paths. Each path that a step changed, and each path that its change
touches, must be what the three versions of that path alone demand. Where both sides changed a path, or a rename carries
other paths along, Git merges the step again, with nothing remembered. Commits that no change explains are refused, and
so are commits of another shape than that of the strategy.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from agentctl.bot.stage import line_of, strategy_of
from agentctl.core.queue.events import Landing
from agentctl.core.queue.records import Queued
from agentctl.errors import Infrastructure
from agentctl.git.merge import by_git, changed
from agentctl.git.objects import EMPTY_TREE
from agentctl.git.repository import Hub


@dataclass(frozen=True, slots=True)
class Step:
    """One merge: the change from tree `base` to tree `theirs`, applied to `ours`, is said to give tree `made`."""

    base: str
    ours: str
    theirs: str
    made: str


def check(hub: Hub, strategy: str, landing: Landing, records: list[Queued]) -> None:
    """Raise Infrastructure unless `records`, applied in order to the old trunk, give the new one."""
    below, carrying = landing.old, landing.staged.landing
    if [record.key for record in records] != [key for key, _ in carrying]:
        raise _wrong(landing, "other changes")
    for record, (key, commit) in zip(records, carrying, strict=True):
        for step in _steps(hub, strategy_of(strategy, record), landing, record, below, commit):
            if not explained(hub, step) and by_git(hub, step.base, step.ours, step.theirs).tree != step.made:
                raise _wrong(landing, f"another merge of {key}")
        below = commit
    if below != landing.staged.commit:
        raise _wrong(landing, "more commits")


def _wrong(landing: Landing, what: str) -> Infrastructure:
    return Infrastructure(
        f"the staged commit {landing.staged.commit[:12]} is not what its changes give, but holds {what}; nothing has landed",
        hint="agentctl verify",
    )


def _steps(hub: Hub, strategy: str, landing: Landing, record: Queued, below: str, commit: str) -> Iterator[Step]:
    """Yield the merges that lead from `below` to the commit that carries a change."""
    objects, head = hub.objects, hub.objects.commit(record.change.head)
    own = line_of(hub, record) if strategy == "rebase" else []
    if own:
        line = _line(hub, below, commit)
        if len(line) != len(own):
            raise _wrong(landing, f"other commits than {record.key}")
        for theirs, made in zip(own, line, strict=True):
            base = objects.commit(theirs.parents[0]).tree if theirs.parents else EMPTY_TREE
            yield Step(base, objects.commit(below).tree, theirs.tree, objects.commit(made).tree)
            below = made
        return
    whole = objects.commit(commit)
    if whole.parents != ((below, head.oid) if strategy == "merge" else (below,)):
        raise _wrong(landing, f"a commit of another shape for {record.key}")
    yield Step(objects.commit(record.base).tree, objects.commit(below).tree, head.tree, whole.tree)


LONGEST = 10_000
"""The most commits of one change."""


def _line(hub: Hub, below: str, tip: str) -> list[str]:
    """List the commits above `below` up to `tip`, oldest first, if each has exactly one parent; else none."""
    found: list[str] = []
    while tip != below:
        parents = hub.objects.commit(tip).parents
        if len(parents) != 1 or len(found) > LONGEST:
            return []
        found.append(tip)
        tip = parents[0]
    return found[::-1]


def explained(hub: Hub, step: Step) -> bool:
    """Tell whether each path, for itself, is what one side made of it.

    False does not yet say that the merge is wrong.
    """
    at = hub.objects.at
    paths = {path for pair in ((step.ours, step.made), (step.base, step.theirs)) for path, *_ in changed(hub, *pair)}
    for path in paths:
        was, mine, its, made = (at(tree, path) for tree in (step.base, step.ours, step.theirs, step.made))
        if its == was:
            wanted = mine
        elif mine in (was, its):
            wanted = its
        else:
            return False
        if made != wanted:
            return False
    return True
