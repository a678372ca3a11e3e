"""Which files changes were rejected for lately because they conflicted in them: read from the ledger."""

from __future__ import annotations

from dataclasses import dataclass

from agentctl.core.queue.records import Conflicts, Landed, Rejected
from agentctl.core.text.json_form import unquoted
from agentctl.hub.ledger import Ledger

LATELY = 100
"""How many of the last landings and rejections count."""
COMMITS = 10 * LATELY
"""How many of the ledger's last commits are read for them at most."""


@dataclass(frozen=True, slots=True)
class Fought:
    conflicts: tuple[tuple[str, ...], ...]
    """The paths of each conflict, newest first."""
    among: int
    """How many landings and rejections these are found among."""


def lately(ledger: Ledger) -> Fought:
    """Return the conflicts among the last LATELY landings and rejections; raise Malformed."""
    found, among = [], 0
    for _, happened in ledger.history(most=COMMITS):
        for event in reversed(happened):
            if isinstance(event, (Landed, Rejected)) and among < LATELY:
                among += 1
                if isinstance(event, Rejected) and isinstance(event.reason, Conflicts):
                    found.append(tuple(map(unquoted, event.reason.paths)))
        if among == LATELY:
            break
    return Fought(tuple(found), among)
