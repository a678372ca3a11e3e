"""Which files changes were rejected for lately because they conflicted in them: read from the ledger."""

from __future__ import annotations

from dataclasses import dataclass

from agentctl.core.queue.ledger_format import META
from agentctl.core.queue.records import Conflicts, Landed, Rejected
from agentctl.core.text.json_form import unquoted
from agentctl.hub.ledger import Ledger

LATELY = 100
"""How many of the last landings and rejections count."""
COMMITS = 10 * LATELY
"""How many of the ledger's last commits are read for them at most."""


@dataclass(frozen=True, slots=True)
class Fought:
    ended: tuple[tuple[str, ...], ...] = ()
    """The last landings and rejections, newest first: the paths of each that conflicted, none for the others."""
    tip: str | None = None
    """The commit of the ledger that they are read from."""

    @property
    def conflicts(self) -> tuple[tuple[str, ...], ...]:
        return tuple(paths for paths in self.ended if paths)


def lately(ledger: Ledger, before: Fought | None = None) -> Fought:
    """Return the last LATELY landings and rejections, with their conflicts; raise Malformed.

    What an earlier call returned spares reading what that has read.
    """
    before, objects, oid = before or Fought(), ledger.hub.objects, ledger.tip
    ended: list[tuple[str, ...]] = []
    for _ in range(COMMITS):
        # The first commit of a ledger has no state before it, but may have heads as parents.
        if oid in (None, before.tip) or len(ended) >= LATELY or not objects.at(objects.commit(oid).tree, META):
            break
        for event in reversed(ledger.happened(oid)):
            match event:
                case Rejected(reason=Conflicts(paths=paths)):
                    ended.append(tuple(map(unquoted, paths)))
                case Landed() | Rejected():
                    ended.append(())
        oid = next(iter(objects.commit(oid).parents), None)
    return Fought(tuple([*ended, *(before.ended if oid == before.tip else ())][:LATELY]), ledger.tip)
