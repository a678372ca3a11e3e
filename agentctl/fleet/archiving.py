"""The tasks that a fleet puts into the archive, and how many of its own are there."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Collection, Mapping

from agentctl.core.tasks import reviewing
from agentctl.core.tasks.archiving import to_archive
from agentctl.core.tasks.task import Status, Task
from agentctl.errors import Contended, Infrastructure, Malformed, NotFound
from agentctl.fleet.old_sessions import OldSessions
from agentctl.git.repository import Hub
from agentctl.hub import tasks
from agentctl.hub.archive import Archive
from agentctl.hub.gone_stations import GoneStations

REST = 60.0
"""Seconds until the next try where one failed."""


class Archiving:
    def __init__(self, hub: Hub) -> None:
        self._hub, self._next, self._old, self._gone = hub, 0.0, OldSessions(hub), GoneStations(hub)
        self.finished: Counter[Status] = Counter()
        """How many tasks of this fleet are in the archive, by how they ended; without the reviews."""
        self.reviews = 0
        """How many reviews of this fleet are there."""

    def turn(self, known: Mapping[str, Task], statuses: Mapping[str, Status], busy: Collection[str]) -> None:
        """Put away what is over, of the list that is `known`; where that fails, later. What old sessions and stations left goes."""
        self._old.turn()
        self._gone.turn()
        if time.monotonic() < self._next or not (over := to_archive(known, statuses, busy)):
            return
        try:
            tasks.put_away(self._hub, over)
        except (Contended, Infrastructure, Malformed, NotFound):
            self._next = time.monotonic() + REST

    def count(self, missing: Collection[str]) -> set[str]:
        """Return which of the tasks that are `missing` in the list are in the archive, and count them from now on."""
        found = set()
        if missing:
            archive = Archive.if_readable(self._hub)
            for name in missing:
                try:
                    there = archive.get(name)
                except Malformed:
                    continue
                if there:
                    found.add(name)
                    if reviewing.is_review(there[0]):
                        self.reviews += 1
                    else:
                        self.finished[Status.DONE if there[0].closed == Status.DONE else Status.LANDED] += 1
        return found
