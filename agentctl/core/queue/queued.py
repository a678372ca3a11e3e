"""The queued records by key, to be found by change and by head as well."""

from __future__ import annotations

from collections.abc import Mapping

from agentctl.core.queue.records import Queued


class Queue(dict[str, Queued]):
    """The queued records by key, in the order of admission, with one revision of each change."""

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
        """Return the queued revision of a change, or None."""
        return self.get(self._changes.get(change, ""))

    def of_head(self, head: str) -> Queued | None:
        """Return the last record that was queued with that head, or None."""
        return self.get(self._heads.get(head, ""))
