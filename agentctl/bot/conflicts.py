"""What becomes of changes that cannot be applied one after the other."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from agentctl.bot.stage import Built, Conflict, Stager
from agentctl.bot.turn import Turn
from agentctl.core.queue.admission_rules import same_name
from agentctl.core.queue.answer import Facts
from agentctl.core.queue.events import Clash
from agentctl.core.queue.model import Probe
from agentctl.core.queue.records import AgainstRules, AlreadyThere, AnyReason, Conflicts, Queued
from agentctl.core.text.json_form import quoted
from agentctl.core.text.printable import printable
from agentctl.errors import AgentctlError, Infrastructure
from agentctl.git.merge import diff
from agentctl.git.repository import Hub
from agentctl.hub import landed
from agentctl.hub.outbox import Answer


def settle(turn: Turn, stager: Stager, probe: Probe, built: Built) -> None:
    """Reject each change that conflicts with trunk, and note which queued changes conflict with each other.

    A change that conflicts only with another queued change waits for that one.
    """
    clashes: set[tuple[str, str]] = set()
    for conflict in built.conflicts:
        record = turn.state.queue.get(conflict.key)
        if not record:
            continue
        alone = stager.chain(turn.state.trunk, [record]).conflicts
        if alone:
            reason, why, answer = of_conflict(turn.hub, record, alone[0], _paths(record, alone[0]))
            turn.reject(record.key, reason, why, answer)
            continue
        before = probe.chain[: probe.chain.index(conflict.key)]
        paths = set(_paths(record, conflict))
        touching = [key for key in before if key in turn.state.queue and paths & set(turn.state.queue[key].work.places)]
        clashes |= {(min(key, conflict.key), max(key, conflict.key)) for key in touching or before}
    if new := clashes - turn.state.clashes:
        turn.happen(Clash(tuple(sorted(new))))


def _paths(record: Queued, conflict: Conflict) -> tuple[str, ...]:
    """Return the paths of a conflict.

    These are the paths that do not merge, or the two that are one name for some file systems. If there are none, they
    are all paths of the change, because trunk leaves nothing of it to do.
    """
    merged = conflict.merged
    return merged.conflicts or merged.same or record.work.places


def of_conflict(hub: Hub, record: Queued, conflict: Conflict, places: tuple[str, ...]) -> tuple[AnyReason, str, Answer]:
    """Return (reason, why, answer) for a change that cannot be applied to trunk; the reason names `places`."""
    merged, onto = conflict.merged, conflict.onto
    if merged.nothing:
        return _of_nothing(hub, record, onto)
    paths = merged.conflicts or merged.same
    other = _shown(landed.since, hub, record.base, onto, paths) or ()
    named = ", ".join(o.change or o.commit[:10] for o in other[:5]) or "trunk"
    why = f"conflicts in {', '.join(printable(path) for path in paths[:5])} with {printable(named)}"
    if merged.same:
        why = f"{same_name(*merged.same)}, which is on trunk"
    said = Facts(
        paths=tuple(map(quoted, paths)),
        conflicting=other,
        messages=merged.messages,
        landed=_shown(landed.since, hub, record.base, onto) or (),
    )
    ours = hub.objects.commit(onto).tree
    return (
        Conflicts(onto, tuple(map(quoted, places))),
        why,
        Answer(said, conflict=_shown(diff, hub, ours, merged.tree, paths) or ""),
    )


def _of_nothing(hub: Hub, record: Queued, onto: str) -> tuple[AnyReason, str, Answer]:
    """Return (reason, why, answer) for a change that would change nothing.

    Either all its paths are on trunk just as its head has them, or they are not, but the merge gives trunk's own tree.
    """
    trunk, head = (hub.objects.commit(oid).tree for oid in (onto, record.change.head))
    places = record.work.places
    there = places and all(hub.objects.at(trunk, path) == hub.objects.at(head, path) for path in places)
    other = (_shown(landed.since, hub, record.base, onto, places) or ()) if there else ()
    named = ", ".join(o.change or o.commit[:10] for o in other[:5])
    why = "it would change nothing: " + (
        f"trunk holds all that it does already{', with ' + printable(named) if named else ''}"
        if there
        else "what trunk holds by now leaves nothing of it to do"
    )
    return AlreadyThere() if there else AgainstRules((why,)), why, Answer(Facts(conflicting=other))


def _shown(make: Callable[..., Shown], *given: object) -> Shown | None:
    """Return what `make` gives, or None if that cannot be made: it only helps a reader.

    Raises Infrastructure.
    """
    try:
        return make(*given)
    except (AgentctlError, ValueError) as error:
        if isinstance(error, Infrastructure):
            raise
        return None


Shown = TypeVar("Shown")
