"""What a start clears away after a kill, and a turn that cannot end: processes, locks of Git's whose
owner is dead, refs that somebody made by hand."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterable, Iterator

from agentctl.core import refnames
from agentctl.core.ledger import Staged
from agentctl.engine import processes
from agentctl.engine.locks import Held
from agentctl.errors import Contended
from agentctl.git import kept, plain, refs, worktrees
from agentctl.git.hub import Hub
from agentctl.queue import landing
from agentctl.queue.gate import worktrees_lock

YOUNG = 2.0
"""Seconds: Git holds the lock of a ref for milliseconds."""

OLD = 60.0


def clean(hub: Hub, trunk: str, held: Held) -> None:
    """Needs the proof of the bot's lock. Raises Contended if a lock is held by a live Git."""
    for what in ("gate", "upkeep"):
        processes.sweep(hub.mark + what)
    plain.sweep()
    kept.sweep(hub.git_dir)
    with worktrees_lock(hub):
        worktrees.tidy(hub)
    deadline = time.monotonic() + 30
    while stale := list(stale_locks(hub, trunk)):
        young = [path for path in stale if _age(path) < YOUNG]
        if not young and not git_at_work(hub):
            for path in stale:
                _unlink(path)
            return
        if time.monotonic() > deadline:
            raise Contended(f"a running Git holds {stale[0]}", hint="wait for it, or end it, then try again")
        time.sleep(0.1)


def stale_locks(hub: Hub, trunk: str) -> Iterator[str]:
    """Lock files of refs, of HEAD, and of the index of trunk's checkouts; a left-over one
    makes every later update fail."""
    for tree in landing.checkouts(hub, trunk):
        path = os.path.join(tree.git_dir, "index.lock")
        if os.path.exists(path):
            yield path
    yield from _ref_locks(hub)


def _ref_locks(hub: Hub) -> Iterator[str]:
    # Git locks HEAD too when it moves the branch that HEAD is on, for the sake of its reflog.
    for name in ("HEAD.lock", "packed-refs.lock", "packed-refs.new"):
        path = os.path.join(hub.git_dir, name)
        if os.path.exists(path):
            yield path
    for folder in ("refs/agentctl", "refs/heads"):
        for where, _, names in os.walk(os.path.join(hub.git_dir, folder)):
            yield from (os.path.join(where, name) for name in names if name.endswith(".lock"))


def break_old(hub: Hub, held: Held) -> None:
    """Clear the ref locks that no living Git can still hold, while agents' Gits are at work.
    Needs the proof of the bot's lock."""
    for path in _ref_locks(hub):
        if _age(path) > OLD:
            _unlink(path)


def restage(hub: Hub, probes: Iterable[Staged], held: Held) -> None:
    """Make the refs below stage what the ledger says: one that somebody made, moved or deleted
    by hand would keep every turn from its end. Needs the proof of the bot's lock."""
    wanted = {f"{refnames.STAGE}{staged.probe.number}": staged.commit for staged in probes}
    found = refs.names(hub.git_dir, [refnames.STAGE]).oids
    mend = refs.Transaction(hub.git_dir, "stage as recorded")
    for name, oid in wanted.items() - found.items():
        mend.update(name, oid, found.get(name))
    for name in found.keys() - wanted.keys():
        mend.delete(name, found[name])
    with contextlib.suppress(Contended):
        if mend:
            mend.commit()


def git_at_work(hub: Hub) -> bool:
    """True if a process called git stands in the hub or in one of its worktrees."""
    places = (hub.git_dir, hub.worktrees, os.path.dirname(hub.git_dir))
    for name in os.listdir("/proc") if os.path.isdir("/proc") else ():
        if not name.isdigit():
            continue
        try:
            with open(f"/proc/{name}/comm") as file:
                called = file.read().strip()
            where = os.readlink(f"/proc/{name}/cwd")
        except OSError:
            continue
        if called == "git" and any(where == p or where.startswith(p + "/") for p in places):
            return True
    return False


def _age(path: str) -> float:
    try:
        return time.time() - os.stat(path).st_mtime
    except FileNotFoundError:
        return YOUNG


def _unlink(path: str) -> None:
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass
