"""What can be wrong with a hub, and what mends it without losing anything.

A check has a function that yields symptoms, and may have one that mends them. A symptom names its mend as a command
line that can be typed as it stands. Where only a person can decide there is no such line, and a note says what to
decide. No mend deletes what somebody wrote: files in the way are moved aside, edits become a commit on a branch, and
what a ref held is kept by another ref. Tests run every mend on the fault that it is printed for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from agentctl.core.policy.policy import Policy
from agentctl.errors import PolicyError
from agentctl.git.repository import Hub


@dataclass(frozen=True, slots=True)
class Symptom:
    what: str
    mend: str = ""
    """The command line to type; empty if only a person can decide."""
    note: str = ""
    """What to know or to decide."""


@dataclass(frozen=True, slots=True)
class Patient:
    """A hub under examination."""

    hub: Hub
    agentctl: str
    """How to call agentctl on this hub."""
    trunk: str = "main"
    tip: str = ""
    """Trunk's commit; empty if trunk is not known."""
    in_force: Policy | None = None
    """Trunk's policy; None if trunk is not known."""
    look: Callable[[], object] = lambda: None
    """Brings what the remote has, if the hub stands on one. It needs the folders that agentctl keeps in the hub."""

    @property
    def policy(self) -> Policy:
        """Trunk's policy; to read it raises PolicyError if trunk is not known."""
        if self.in_force is None:
            raise PolicyError("no trunk found, and so no policy is in force")
        return self.in_force

    def mend(self, check: str) -> str:
        """Return the command that mends what a check finds."""
        return f"{self.agentctl} doctor --mend {check}"


@dataclass(frozen=True, slots=True)
class Check:
    name: str
    find: Callable[[Patient], Iterator[Symptom]]
    mend: Callable[[Patient], Iterator[str]] | None = None
    """Looks again by itself, mends what it finds, and yields a sentence for each thing that it did.

    If it is killed anywhere, the same call finishes the work.
    """
