"""What a start clears away after a kill, and a turn that cannot end: processes, locks of Git's whose
owner is dead, refs that somebody made by hand."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator

from agentctl.core import refnames
from agentctl.core.events import Staged
from agentctl.engine import processes
from agentctl.engine.locks import Held
from agentctl.errors import Contended
from agentctl.git import kept, plain, refs, stale
from agentctl.git.hub import Hub
from agentctl.queue import landing

PATIENCE = 30.0
"""Seconds that a bot waits at its start for a living Git."""


def clean(hub: Hub, trunk: str, held: Held) -> None:
    """Needs the proof of the bot's lock. Raises Contended if a lock is held by a live Git."""
    for what in ("gate", "upkeep"):
        processes.sweep(hub.mark + what)
    plain.sweep()
    kept.sweep(hub.git_dir)
    stale.clear(hub.git_dir, git_locks(hub, trunk), PATIENCE)
    with contextlib.suppress(Contended):
        stale.clear(hub.git_dir, stale.half_objects(hub.git_dir), patience=0)


def git_locks(hub: Hub, trunk: str) -> Iterator[str]:
    """The locks there are of what the bot writes: refs, the configuration, the index of trunk's checkouts."""
    for tree in landing.of_trunk(hub, trunk):
        yield from landing.index_locks(tree)
    yield from stale.ref_locks(hub.git_dir)


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
