"""What a start of the bot clears away after a kill, and what could keep every turn from its end.

These are processes, locks of Git whose owner is dead, and refs that somebody made by hand.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable

from agentctl.core import refnames
from agentctl.core.queue.events import Staged
from agentctl.engine.locks import Held
from agentctl.engine.runner import Runner
from agentctl.errors import Contended
from agentctl.git import checkouts, kept_packs, plain, stale_locks
from agentctl.git.repository import Hub

GIT_MAY_TAKE = 30.0
"""Seconds that a bot waits at its start for a Git that is alive to release its locks."""


def clean(hub: Hub, trunk: str, held: Held, runner: Runner) -> None:
    """Clear away processes, files and locks that a kill left.

    Needs the proof of the bot's lock. Raises Contended if a lock is held by a Git that is alive.
    """
    for what in ("gate", "upkeep"):
        runner.sweep(hub.mark + what)
    plain.sweep()
    kept_packs.sweep(hub.git_dir)
    stale_locks.clear(hub.git_dir, checkouts.locks(hub, trunk), GIT_MAY_TAKE)
    with contextlib.suppress(Contended):
        stale_locks.clear(hub.git_dir, stale_locks.half_objects(hub.git_dir), patience=0)


def restage(hub: Hub, probes: Iterable[Staged], held: Held) -> None:
    """Make the refs of staged commits what the ledger says.

    A ref that somebody made, moved or deleted by hand would keep every turn from its end. Needs the proof of the bot's
    lock.
    """
    wanted = {f"{refnames.STAGE}{staged.probe.number}": staged.commit for staged in probes}
    found = hub.refs.names([refnames.STAGE]).oids
    mend = hub.refs.transaction("stage as recorded")
    for name, oid in wanted.items() - found.items():
        mend.update(name, oid, found.get(name))
    for name in found.keys() - wanted.keys():
        mend.delete(name, found[name])
    with contextlib.suppress(Contended):
        if mend:
            mend.commit()
