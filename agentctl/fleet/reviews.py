"""Reviews by agents: where a change lacks the approval of a role that reviews, a task for that role is opened."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping

from agentctl.core.policy import roles
from agentctl.core.policy.policy import Policy
from agentctl.core.queue.approvals import Lack
from agentctl.core.queue.records import Queued
from agentctl.core.tasks import reviewing
from agentctl.core.tasks.task import Task
from agentctl.core.text.json_form import replace
from agentctl.errors import AgentctlError
from agentctl.git.repository import Hub
from agentctl.hub import approvals, tasks
from agentctl.hub.ledger import Ledger


class Reviews:
    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._tip: str | None = None
        self._wanted: set[str] = set()
        """The review tasks that are to be worked on by the ledger at `_tip`."""

    def follow(self, policy: Policy, ledger: Ledger, known: Mapping[str, Task], busy: Collection[str]) -> None:
        """Open the tasks that are lacking by policy and ledger, and close those by which nothing is left to judge, parked ones too.

        `busy` are tasks on which a session works: it may have something to say still.
        """
        if not policy.approvals:
            return
        if ledger.tip != self._tip:
            self._tip, self._wanted = ledger.tip, set()
            for record in ledger.state().queue.values():
                if (about := known.get(record.change.task or "")) and reviewing.is_review(about):
                    # What a reviewer submits is nobody's result.
                    continue
                for lack in self._lacking(policy, record):
                    self._wanted |= self._opened(record, lack, known)
        for task in known.values():
            over = reviewing.is_review(task) and task.closed != "done" and task.id not in self._wanted
            if over and task.id not in busy:
                self._close(task)

    def _lacking(self, policy: Policy, record: Queued) -> list[Lack]:
        try:
            found = approvals.lacking(self._hub, policy, record)
        except AgentctlError:
            return []
        return [lack for lack in found if (role := roles.role(policy.agents, lack.rule.by)) and role.does == "review"]

    def _opened(self, record: Queued, lack: Lack, known: Mapping[str, Task]) -> set[str]:
        """Return the names of the tasks by which a change gets what it lacks; those that are missing are opened."""
        names = [reviewing.name_of(record.key, n + 1) for n in range(reviewing.MOST)]
        there = {name for name in names if name in known and not known[name].closed}
        free = [n + 1 for n, name in enumerate(names) if name not in known and not tasks.exists(self._hub, name)]
        about = known.get(record.change.task or "")
        for number in free[: max(0, lack.missing - len(there))]:
            try:
                there |= set(tasks.add(self._hub, [reviewing.task_for(record, lack, number, about, time.time())]))
            except AgentctlError:
                # Something stands in the way of its ref; a person sees by `queue` that the change waits.
                continue
        # One that was parked may be opened again.
        return there.union(names)

    def _close(self, task: Task) -> None:
        try:
            tasks.change(self._hub, task.id, "done: nothing is left to judge", lambda t: replace(t, closed="done", reason=""))
        except AgentctlError:
            return
