"""Moving trunk, and bringing checkouts of it along."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterable

from agentctl.core import refnames
from agentctl.core.events import Landing
from agentctl.core.model import Probe, Verdict
from agentctl.core.records import Landed, Record
from agentctl.core.state import State
from agentctl.errors import Contended, Refused
from agentctl.git import checkouts, folders, stale
from agentctl.git.checkouts import Checkout
from agentctl.git.hub import Hub
from agentctl.git.merge import changed
from agentctl.git.objects import EXECUTABLE, FILE
from agentctl.git.refs import Transaction
from agentctl.git.store import MOST
from agentctl.queue import marks, verdicts
from agentctl.queue.stage import Built

OID = re.compile(r"[0-9a-f]{40}")


LINGER = 1.0
"""Seconds that a landing waits for a Git in a checkout of trunk to give up its index."""


def rest(probe: Probe, built: Built, trunk: str) -> tuple[tuple[str, str], ...]:
    """What of a staged chain is still to land: (key, carrying commit), in order. Nothing if
    the chain is not whole, or trunk is not one of the commits on its way."""
    if built.conflicts or tuple(key for key, _ in built.landing) != probe.chain:
        return ()
    way = [probe.base, *(commit for _, commit in built.landing)]
    return built.landing[way.index(trunk):] if trunk in way else ()


def move(hub: Hub, trunk: str, landing: Landing) -> None:
    """Fast-forward trunk, durably. Raises Contended if somebody else moved it first."""
    ref = refnames.branch(trunk)
    refs = Transaction(hub.git_dir, f"land {len(landing.staged.landing)} changes")
    refs.update(ref, landing.staged.commit, landing.old)
    with marks.moving(hub, ref, landing.old, landing.staged.commit):
        hub.sync()
        refs.commit()
        hub.sync()


def proven(hub: Hub, landing: Landing) -> bool:
    """True if the tree of a landing under way has a passed verdict of the bot's own. What is staged is held by no ref: a
    mirror of the hub does not have it, and builds it once more."""
    if not hub.objects.exists(landing.staged.commit):
        return False
    tree = hub.objects.commit(landing.staged.commit).tree
    return bool(verdicts.lookup(hub, landing.passed.gate, tree, Verdict.PASSED))


def has_gone(hub: Hub, tip: str, record: Record) -> bool:
    """True if what landed is no longer in the history of trunk, which is at `tip`."""
    return isinstance(record, Landed) and not (tip and hub.holds(tip, record.commit))


def gone(hub: Hub, tip: str, commits: Iterable[str]) -> set[str]:
    """Those among `commits` that landed once and that the history of `tip`, empty for no trunk,
    no longer holds."""
    asked = set(commits)
    there = {oid for oid in asked if OID.fullmatch(oid) and hub.objects.exists(oid)} if tip else set()
    away = hub.git("rev-list", "--no-walk", "--stdin", stdin="\n".join([*there, "^" + tip]).encode()) if there else ""
    return asked - there | set(away.split())


def of_trunk(hub: Hub, trunk: str) -> list[checkouts.Checkout]:
    """The checkouts of trunk."""
    return [found for found, branch in checkouts.listing(hub) if branch == refnames.branch(trunk)]


def index_locks(tree: Checkout) -> list[str]:
    """The lock of its index, if there is one."""
    path = os.path.join(tree.git_dir, "index.lock")
    return [path] if os.path.lexists(path) else []


def bring_along(hub: Hub, trunk: str, old: str, new: str) -> list[str]:
    """Update every checkout of trunk; returns the paths of those that local changes kept behind."""
    for tree in of_trunk(hub, trunk):
        with contextlib.suppress(Contended):
            stale.clear(hub.git_dir, index_locks(tree), LINGER)
    return [tree.path for tree in of_trunk(hub, trunk)
            if _in_the_way(hub, tree, old, new) or not tree.follow(old, new)]


def _in_the_way(hub: Hub, tree: Checkout, old: str, new: str) -> bool:
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
                    and not (n == len(parts) and os.path.isfile(full) and tree.blob(path) == oid):
                return True
    return False


def complete_checkouts(hub: Hub, trunk: str, state: State) -> None:
    """Bring along the checkouts of a landing that was cut off after trunk had moved, or of a
    trunk that somebody else moved forward with the branch alone."""
    tip = hub.trunk_tip(trunk)
    if state.landing and tip == state.landing.staged.commit:
        for tree in of_trunk(hub, trunk):
            _drop_half_written(hub, tree, state.landing.old, tip)
        bring_along(hub, trunk, state.landing.old, tip)
    elif state.trunk and tip != state.trunk:
        bring_along(hub, trunk, state.trunk, tip)


def _drop_half_written(hub: Hub, tree: Checkout, old: str, new: str) -> None:
    """Remove files that a Git which was killed had begun to write: what they hold is the beginning of what trunk has
    there, so nothing goes that is not on trunk."""
    had = hub.objects.commit(old).tree
    for path, mode, oid, _ in changed(hub, old, new):
        full = os.path.join(tree.path, path)
        if mode in (FILE, EXECUTABLE) and tree.begins(path, oid) and folders.content(full, MOST) != hub.objects.read(had, path):
            os.unlink(full)


def refuse_dirty(hub: Hub, trunk: str) -> None:
    """Raises Refused if a checkout of trunk has changes that a landing could run into."""
    for tree in of_trunk(hub, trunk):
        if tree.dirty():
            raise Refused(f"{tree.path} has {trunk} checked out with uncommitted changes",
                          hint="agentctl doctor")
