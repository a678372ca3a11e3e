"""What becomes of changes that cannot be applied one after the other."""

from __future__ import annotations

from agentctl.core.events import Clash
from agentctl.core.model import Probe
from agentctl.core.records import Queued
from agentctl.queue import answers
from agentctl.queue.stage import Built, Conflict, Stager
from agentctl.queue.turn import Turn


def settle(turn: Turn, stager: Stager, probe: Probe, built: Built) -> None:
    """What conflicts with trunk goes back at once; what conflicts with a change that is queued
    too waits for that one."""
    clashes: set[tuple[str, str]] = set()
    for conflict in built.conflicts:
        record = turn.state.queue.get(conflict.key)
        if not record:
            continue
        alone = stager.chain(turn.state.trunk, [record]).conflicts
        if alone:
            reason, why, answer = answers.of_conflict(turn.hub, record, alone[0], _paths(record, alone[0]))
            turn.reject(record.key, reason, why, answer)
            continue
        before = probe.chain[: probe.chain.index(conflict.key)]
        paths = set(_paths(record, conflict))
        touching = [key for key in before if key in turn.state.queue
                    and paths & set(turn.state.queue[key].work.places)]
        clashes |= {(min(key, conflict.key), max(key, conflict.key)) for key in touching or before}
    if new := clashes - turn.state.clashes:
        turn.happen(Clash(tuple(sorted(new))))


def _paths(record: Queued, conflict: Conflict) -> tuple[str, ...]:
    """That do not merge, are one name, or are as the change wants them already."""
    merged = conflict.merged
    return merged.conflicts or merged.same or record.work.places
