"""The events of a run, counted: of no event more is kept, since a run may last for weeks."""

from __future__ import annotations

from dataclasses import dataclass

from agentctl.core import notices
from agentctl.core.notices import Told
from agentctl.core.queue.events import Probed
from agentctl.core.queue.records import Conflicts, Landed, Rejected
from agentctl.core.tasks.ending import End


@dataclass
class Tally:
    landed: int = 0
    rejected: int = 0
    conflicts: int = 0
    """How many changes were rejected for a conflict."""
    sessions: int = 0
    deferred: int = 0
    """How many sessions said "not yet"."""
    probes: int = 0
    """Probes for which a gate ran."""
    known: int = 0
    """Probes whose verdict was known by their tree, so that no gate ran."""

    def count(self, event: Told) -> None:
        match event:
            case Landed():
                self.landed += 1
            case Rejected(reason=reason):
                self.rejected += 1
                self.conflicts += isinstance(reason, Conflicts)
            case Probed(known=known):
                self.known += known
                self.probes += not known
            case notices.SessionEnded(session=session):
                self.sessions += 1
                self.deferred += session.end == End.DEFERRED
