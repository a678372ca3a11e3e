"""What is queued, by its key, and found by its change and its head as well."""

from __future__ import annotations

from collections.abc import Mapping

from agentctl.core.queue.records import Queued


class Queue(dict[str, Queued]):
    """Records by key, in order of admission; of each change one revision."""

    def __init__(self, records: Mapping[str, Queued] = {}) -> None:
        super().__init__(records)
        self._changes = {record.change.id: key for key, record in self.items()}
        self._heads = {record.change.head: key for key, record in self.items()}

    def __setitem__(self, key: str, record: Queued) -> None:
        super().__setitem__(key, record)
        self._changes[record.change.id] = key
        self._heads[record.change.head] = key

    def __delitem__(self, key: str) -> None:
        record = self[key]
        super().__delitem__(key)
        for index, name in ((self._changes, record.change.id), (self._heads, record.change.head)):
            if index.get(name) == key:
                del index[name]

    def of_change(self, change: str) -> Queued | None:
        """The queued revision of a change, or None."""
        return self.get(self._changes.get(change, ""))

    def of_head(self, head: str) -> Queued | None:
        """The last one queued with that head, or None."""
        return self.get(self._heads.get(head, ""))
