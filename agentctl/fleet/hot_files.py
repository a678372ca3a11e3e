"""The files that a fleet holds apart: crowded ones, which one task at a time may declare, and the tasks that split them."""

from __future__ import annotations

import time
from collections.abc import Mapping

from agentctl.core.notices import Crowded
from agentctl.core.tasks import hot_file_split, overlap
from agentctl.core.tasks.task import Task
from agentctl.core.text.json_form import quoted
from agentctl.errors import AgentctlError
from agentctl.git.objects import EXECUTABLE, FILE
from agentctl.git.repository import Hub
from agentctl.hub import fought, tasks
from agentctl.hub.ledger import Ledger


class HotFiles:
    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._fought = fought.Fought()
        self.crowded: dict[str, int] = {}
        """The crowded files, each with the conflicts in it lately."""

    def read(self, ledger: Ledger, known: Mapping[str, Task], tip: str, split: bool) -> list[Crowded]:
        """Read on in the ledger, and return what there is to tell of files that are crowded since.

        With `split` (agents.split_hot) a task to split such a file is opened, unless there was one before.
        """
        if ledger.tip == self._fought.tip or not (split or any(task.paths for task in known.values())):
            return []
        try:
            self._fought = fought.lately(ledger, self._fought)
        except AgentctlError:
            # Others tell of a ledger that cannot be read; nothing is held apart by it.
            return []
        before, self.crowded = self.crowded, overlap.crowded(self._fought.conflicts)
        among = len(self._fought.ended)
        return [
            Crowded(quoted(path), count, among, self._opened(path, count, among, known, tip) if split else "")
            for path, count in self.crowded.items()
            if path not in before
        ]

    def _opened(self, path: str, count: int, among: int, known: Mapping[str, Task], tip: str) -> str:
        """Open the task to split a file of trunk, and return its name; "" if none is opened."""
        name, found = hot_file_split.name_of(path), self._hub.objects.at(self._hub.objects.commit(tip).tree, path)
        there = tasks.exists(self._hub, name)
        if there or quoted(path) != path or not found or found[0] not in (FILE, EXECUTABLE):
            return ""
        try:
            tasks.add(self._hub, [hot_file_split.task_for(path, count, among, known.values(), time.time())])
        except AgentctlError:
            # Somebody else opened it, or something stands in its way.
            return ""
        return name
