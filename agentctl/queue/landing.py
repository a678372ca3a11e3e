"""Moving trunk, and bringing checkouts of it along."""

from __future__ import annotations

import contextlib
import os

from agentctl.core import refnames
from agentctl.core.ledger import Landing, Record
from agentctl.core.model import Probe
from agentctl.errors import Contended, Infrastructure, Refused
from agentctl.git import stale, worktrees
from agentctl.git.hub import Hub
from agentctl.git.merge import changed
from agentctl.git.objects import EXECUTABLE, FILE
from agentctl.git.refs import Transaction
from agentctl.queue.stage import Built, Stager


LINGER = 1.0
"""Seconds that a landing waits for a Git in a checkout of trunk to give up its index."""


def rest(probe: Probe, built: Built, trunk: str) -> tuple[tuple[str, str], ...]:
    """What of a staged chain is still to land: (key, carrying commit), in order. Nothing if
    the chain is not whole, or trunk is not one of the commits on its way."""
    if built.conflicts or tuple(key for key, _ in built.landing) != probe.chain:
        return ()
    way = [probe.base, *(commit for _, commit in built.landing)]
    return built.landing[way.index(trunk):] if trunk in way else ()


def check(hub: Hub, strategy: str, landing: Landing, records: list[Record]) -> None:
    """Prove once more, from the objects, that the commit is what its changes say.

    Every path that differs between old and new trunk must be one that a change of the
    batch touched; where that does not explain all (a rename carries other paths along),
    the chain is merged anew and must give the same commit. Raises Infrastructure.
    """
    explained = {path for record in records for path in record.paths}
    touched = {path for path, *_ in changed(hub, landing.old, landing.staged.commit)}
    if touched <= explained and _follows(hub, landing):
        return
    again = Stager(hub, strategy).chain(landing.old, records)
    if again.commit != landing.staged.commit:
        raise Infrastructure(
            f"the staged commit {landing.staged.commit[:12]} is not what its changes give: "
            f"{again.commit[:12]}", hint="agentctl verify")


def _follows(hub: Hub, landing: Landing) -> bool:
    """True if first parents lead from the new commit to the old trunk, one for each
    carrying commit at least."""
    wanted, oid = {commit for _, commit in landing.staged.landing}, landing.staged.commit
    for _ in range(100_000):
        if oid == landing.old:
            return not wanted
        wanted.discard(oid)
        parents = hub.objects.commit(oid).parents
        if not parents:
            return False
        oid = parents[0]
    return False


def move(hub: Hub, trunk: str, landing: Landing) -> None:
    """Fast-forward trunk, durably. Raises Contended if somebody else moved it first."""
    hub.sync()
    refs = Transaction(hub.git_dir, f"land {len(landing.staged.landing)} changes")
    refs.update(refnames.branch(trunk), landing.staged.commit, landing.old)
    refs.commit()
    hub.sync()


def index_locks(tree: worktrees.Worktree) -> list[str]:
    """The lock of its index, if there is one."""
    path = os.path.join(tree.git_dir, "index.lock")
    return [path] if os.path.lexists(path) else []


def checkouts(hub: Hub, trunk: str) -> list[worktrees.Worktree]:
    """The worktrees that have trunk checked out."""
    return [tree for tree, branch in worktrees.listing(hub) if branch == refnames.branch(trunk)]


def bring_along(hub: Hub, trunk: str, old: str, new: str) -> list[str]:
    """Update every checkout of trunk; returns the paths of those that local changes kept behind."""
    for tree in checkouts(hub, trunk):
        with contextlib.suppress(Contended):
            stale.clear(hub.git_dir, index_locks(tree), LINGER)
    return [tree.path for tree in checkouts(hub, trunk)
            if _in_the_way(hub, tree, old, new) or not worktrees.follow(hub, tree, old, new)]


def _in_the_way(hub: Hub, tree: worktrees.Worktree, old: str, new: str) -> bool:
    """True if a file that Git ignores is where trunk has one now: Git itself would overwrite it."""
    had = hub.objects.commit(old).tree
    for path, mode, oid, _ in changed(hub, old, new):
        if mode == 0 or hub.objects.at(had, path):
            continue
        parts = path.split("/")
        for n in range(1, len(parts) + 1):
            full = os.path.join(tree.path, *parts[:n])
            folder = os.path.isdir(full) and not os.path.islink(full)
            if os.path.lexists(full) and not (folder and n < len(parts)) and not hub.objects.at(had, "/".join(parts[:n])) \
                    and not (n == len(parts) and os.path.isfile(full) and tree.git("hash-object", "--path", path, "--", full) == oid):
                return True
    return False


def complete_checkouts(hub: Hub, trunk: str, under_way: Landing | None) -> None:
    """Bring along the checkouts of a landing that was cut off after trunk had moved."""
    if under_way and hub.trunk_tip(trunk) == under_way.staged.commit:
        for tree in checkouts(hub, trunk):
            _drop_half_written(hub, tree, under_way.old, under_way.staged.commit)
        bring_along(hub, trunk, under_way.old, under_way.staged.commit)


def _drop_half_written(hub: Hub, tree: worktrees.Worktree, old: str, new: str) -> None:
    """Remove files that a Git which was killed had begun to write: what they hold is the beginning of what trunk has
    there, so nothing goes that is not on trunk."""
    had = hub.objects.commit(old).tree
    for path, mode, oid, _ in changed(hub, old, new):
        full = os.path.join(tree.path, path)
        if mode in (FILE, EXECUTABLE) and os.path.isfile(full) and not os.path.islink(full):
            with open(full, "rb") as file:
                written = file.read()
            before = hub.objects.read(had, path)
            if written != before and written != (whole := hub.objects.blob(oid)) and whole.startswith(written):
                os.unlink(full)


def refuse_dirty(hub: Hub, trunk: str) -> None:
    """Raises Refused if a checkout of trunk has changes that a landing could run into."""
    for tree in checkouts(hub, trunk):
        if tree.git("status", "--porcelain", "--untracked-files=no"):
            raise Refused(f"{tree.path} has {trunk} checked out with uncommitted changes",
                          hint="agentctl doctor")
