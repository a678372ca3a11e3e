"""What became of the changes of tasks: the ledger's records of them, and which of them are on trunk no longer."""

from __future__ import annotations

from collections.abc import Mapping

from agentctl.core.queue.records import Landed, Record
from agentctl.core.tasks.task import Task
from agentctl.git.repository import Hub
from agentctl.hub import landed, tasks
from agentctl.hub.ledger import Ledger


class Outcomes:
    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._landed: dict[str, Landed] = {}
        """The last record of each task that landed."""
        self._held: set[str] = set()
        self._held_by = ""
        """`_held` are commits that are on trunk, and `_held_by` is the tip that was seen to hold them."""
        self.records: dict[str, Record] = {}
        """The ledger's record of the newest revision of each task that has one."""
        self.gone: set[str] = set()
        """The tasks whose change landed and is on trunk no longer."""

    def read(self, ledger: Ledger, known: Mapping[str, Task], tip: str) -> None:
        """Look at the tasks that are `known`, with trunk at `tip`."""
        found = {name: self._record(ledger, task) for name, task in known.items()}
        self.records = {name: record for name, record in found.items() if record}
        self._landed = {name: record for name, record in self.records.items() if isinstance(record, Landed)}
        commits = {name: record.commit for name, record in self._landed.items()}
        # As long as trunk moves forward, it still holds what it held before, and that is not looked up again.
        if self._held_by and tip != self._held_by and not self._hub.holds(tip, self._held_by):
            self._held.clear()
        away = landed.gone(self._hub, tip, set(commits.values()) - self._held)
        self._held = set(commits.values()) - away
        self._held_by = tip
        self.gone = {name for name, commit in commits.items() if commit in away}

    def _record(self, ledger: Ledger, task: Task) -> Record | None:
        """Return the record of the task's newest revision; a revision that landed stays landed."""
        known = self._landed.get(task.id)
        return known if known and known.change.revision >= task.revision else tasks.newest(ledger, task)
