"""What can be wrong with a hub, and what mends it without losing anything.

A check is a function that yields findings, and maybe one that mends them. What mends is a command line that can be
typed as it stands; where only a person can decide there is none, and a note says what to decide. Nothing that somebody
wrote is deleted by a mend: what is in the way is moved aside, edits become a commit on a branch, what a ref held is kept
by another ref. Tests run every mend on the fault that it is printed for.
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
    """How to call agentctl on it."""
    trunk: str = "main"
    tip: str = ""
    """Empty if trunk is not known."""
    in_force: Policy | None = None
    """Trunk's policy, if trunk is known."""

    @property
    def policy(self) -> Policy:
        """Raises PolicyError if trunk is not known."""
        if self.in_force is None:
            raise PolicyError("no trunk found, and so no policy is in force")
        return self.in_force

    def mend(self, check: str) -> str:
        """The command that mends what a check finds."""
        return f"{self.agentctl} doctor --mend {check}"


@dataclass(frozen=True, slots=True)
class Check:
    name: str
    find: Callable[[Patient], Iterator[Symptom]]
    mend: Callable[[Patient], Iterator[str]] | None = None
    """Looks again by itself, and yields a sentence for each thing it did. Killed anywhere, it is finished by itself."""
