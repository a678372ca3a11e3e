"""A look at what an agent has at this moment: against trunk, and without disturbing the agent.

What was committed is copied into a folder of objects of ours, checked as in a crossing; what was not is compared with
an index of ours. There both are merged with trunk on trial. The hub gets no object of it, and the folder goes when the
look ends. Several looks may be taken at once, also by several processes.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

from agentctl.core.queue.answer import Other
from agentctl.core.queue.records import Landed
from agentctl.errors import NotFound, Refused
from agentctl.git import conversion, crossing, files, folders, modes, private_repository, scratch
from agentctl.git.ancestry import FirstParents, between
from agentctl.git.merge import changed, merge
from agentctl.git.objects import GITLINK
from agentctl.git.repository import Hub
from agentctl.git.worktrees import Condition, Worktree
from agentctl.hub import landed
from agentctl.hub.ledger import Ledger

NEAR = 1000
"""The most commits of a branch, and of trunk since its base, that are looked at in process."""
PATHS = 10_000
"""The most paths of a branch that are looked at."""


@dataclass(frozen=True, slots=True)
class Sight:
    """What an agent has that trunk lacks, committed or not, and how it stands to a commit of trunk."""

    head: str
    tip: str
    """The commit of trunk."""
    commits: int
    behind: int
    """How many commits of trunk the branch does not have, by first parents."""
    touched: tuple[str, ...]
    """The paths that differ from the branch's base."""
    conflicts: tuple[str, ...] = ()
    """The paths that do not merge with trunk."""
    landed: tuple[Other, ...] = ()
    """What landed in these paths since the base, newest first."""
    under_way: str = ""
    """What the agent is about, such as "a rebase"; until that is over, nothing is merged on trial."""


def look(hub: Hub, tree: Worktree, tip: str) -> Sight:
    """Look at what is in an agent's worktree.

    Raises NotFound if no session has worked there, and Refused, GitError, ObjectError or OSError if it cannot be seen.
    """
    record, git_dir = tree.record, private_repository.repository(tree.path, tree.path)
    if not record or record.state is not Condition.GIVEN or not tree.there or not git_dir:
        raise NotFound(f"there is no session's work in {tree.path}")
    head, seen = private_repository.head(git_dir)[0] or record.base, private_repository.flags(git_dir)
    under_way = private_repository.unfinished(git_dir) or ("a merge" if seen.unmerged else "")
    with hub.scratch() as place, _aside(hub, place) as aside:
        if not hub.objects.exists(head):
            theirs = crossing.alone(os.path.join(git_dir, "objects"), place + ".theirs")
            crossing.copy(hub, place, theirs, head, tip, _objects(aside))
        own, base, behind = _between(hub, aside, head, tip)
        loose, after = _uncommitted(hub, aside, tree, place, (head, base, tip), seen.absent)
        mine = _own_landed(hub, own)
        before, there = (aside.objects.commit(oid).tree for oid in (mine.change.head if mine else base, tip))
        touched = {path for path, *_ in islice(changed(aside, before, after), PATHS)}.union(loose)
        found = Sight(head, tip, len(own), behind, tuple(sorted(touched)), under_way=under_way)
        if under_way or not behind:
            return found
        merged = merge(aside, before, there, after)
    fought = merged.conflicts or merged.same
    known = landed.since(hub, base, tip, fought) if fought else ()
    known = tuple(other for other in known if not mine or other.change != mine.key)
    return Sight(head, tip, found.commits, behind, found.touched, fought, known)


def _own_landed(hub: Hub, own: list[str]) -> Landed | None:
    """Return the newest of a branch's own commits that has landed, whatever commit it is on trunk; None if none has.

    What comes after it is what the branch still has to land, as the bot sees it too.
    """
    ledger = Ledger.read(hub)
    return next((found for oid in own if isinstance(found := ledger.with_head(oid), Landed)), None)


def _objects(hub: Hub) -> str:
    return os.path.join(hub.git_dir, "objects")


@contextlib.contextmanager
def _aside(hub: Hub, place: str) -> Iterator[Hub]:
    """Lend a repository of ours beside `place` that borrows the hub's objects, as if it were the hub."""
    aside = Hub(place + ".git", None)
    for name in ("info", "pack"):
        modes.folder(os.path.join(_objects(aside), name))
    modes.write(os.path.join(_objects(aside), "info", "alternates"), scratch.quoted(_objects(hub)) + "\n")
    try:
        yield aside
    finally:
        aside.objects.close()


def _between(hub: Hub, aside: Hub, head: str, tip: str) -> tuple[list[str], str, int]:
    """Return (the commits that `tip` lacks, newest first, the merge base, how many of trunk `head` lacks)."""
    near = FirstParents(aside.objects).meets(head, tip, NEAR)
    base = near[1] if near else aside.git("merge-base", tip, head, ok=(0, 1))
    if not base:
        raise Refused(f"{head[:12]} has no commit in common with trunk")
    own = near[0] if near else aside.git("rev-list", "--topo-order", head, "^" + tip).split()
    line = between(hub.objects, tip, base, NEAR)
    if line is not None and len(line) < NEAR:
        return own, base, len(line)
    return own, base, int(aside.git("rev-list", "--count", "--first-parent", tip, "^" + base))


def _uncommitted(
    hub: Hub, aside: Hub, tree: Worktree, place: str, ends: tuple[str, str, str], absent: frozenset[str]
) -> tuple[list[str], str]:
    """Return (the paths whose files differ from the branch's base, the tree of its head with some of these).

    `ends` are head, base and trunk's tip. Only files that trunk changed too are taken in: all others merge anyhow, and
    may be large.
    """
    head, base, tip = ends
    record, index = tree.record, place + ".index"
    files.fresh_index(index, tree.own("index"))
    look = scratch.for_files(hub, place + ".look", tree.path, index, _objects(aside), (_objects(hub),), scratch.PRIVATE)
    if not record or base != record.base:
        look.run("read-tree", "--reset", base)
    entries = [entry for entry in files.listed(look, "-o", "--exclude-standard") if entry.mode != GITLINK]
    paths = [e.path for e in entries if not e.path.endswith("/") and not (e.gone and e.path in absent)]
    theirs = {path for path, *_ in islice(changed(hub, base, tip), PATHS)} if paths else set()
    alien = conversion.alien_filters(hub, folders.content(os.path.join(tree.git_dir, "config")) or b"")
    contested = theirs.intersection(paths)
    contested -= files.under(look, contested, alien)
    built = aside.objects.commit(head).tree
    if contested:
        files.enter(look, tuple(contested))
        now = files.facts(look, contested)
        built = aside.objects.replace(built, {path: now.get(path) for path in contested})
    return paths, built
