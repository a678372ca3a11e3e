"""The events of a run, counted."""

from __future__ import annotations

from dataclasses import dataclass, field

from agentctl.core import notices
from agentctl.core.notices import Told
from agentctl.core.queue.events import Probed
from agentctl.core.queue.records import Conflicts, Landed, Rejected
from agentctl.core.tasks.task import Session


@dataclass
class Tally:
    landed: list[Landed] = field(default_factory=list)
    rejected: list[Rejected] = field(default_factory=list)
    sessions: list[Session] = field(default_factory=list)
    probes: int = 0
    """Probes for which a gate ran."""
    known: int = 0
    """Probes whose verdict was known by their tree, so that no gate ran."""

    def count(self, event: Told) -> None:
        match event:
            case Landed():
                self.landed.append(event)
            case Rejected():
                self.rejected.append(event)
            case Probed(known=known):
                self.known += known
                self.probes += not known
            case notices.SessionEnded(session=session):
                self.sessions.append(session)

    @property
    def conflicts(self) -> int:
        """The number of changes that were rejected for a conflict."""
        return sum(isinstance(record.reason, Conflicts) for record in self.rejected)
