"""What follows when agentctl itself fails to run sessions, one after the other: facts in, decision out."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from agentctl.core.text.json_form import replace

TOO_MANY = 3
"""After so many sessions that could not be run, none of which was between them, something is given up."""


class Step(StrEnum):
    GO_ON = "go on"
    PARK = "give the task up"
    END = "end the fleet"


@dataclass(frozen=True, slots=True)
class FailedStarts:
    tasks: tuple[str, ...] = ()
    """The task of each session that could not be run, since one could."""
    ran: bool = False
    """True once a session could be run."""

    def one_ran(self) -> FailedStarts:
        return FailedStarts(ran=True)

    def one_failed(self, task: str, machine: bool, others: bool) -> tuple[FailedStarts, Step]:
        """Return the state after a session could not be run, and what follows.

        `machine` tells whether the machine may be the cause, and not the task; `others` whether sessions run.
        """
        tasks = (*self.tasks, task)
        if tasks.count(task) >= TOO_MANY and (not machine or self.ran and set(tasks) == {task}):
            return replace(self, tasks=tuple(other for other in tasks if other != task)), Step.PARK
        ends = machine and len(tasks) >= TOO_MANY and not others
        return replace(self, tasks=tasks), Step.END if ends else Step.GO_ON

    @property
    def too_many(self) -> bool:
        """True if nothing more is to start as long as a session runs whose end will tell more."""
        return len(self.tasks) >= TOO_MANY
