"""Reviews by agents: where a change lacks the approval of a role that reviews, a task for that role is opened."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Collection, Mapping

from agentctl.core import refnames
from agentctl.core.policy import roles
from agentctl.core.policy.policy import Policy
from agentctl.core.queue.approvals import Lack
from agentctl.core.queue.records import Queued
from agentctl.core.tasks import reviewing
from agentctl.core.tasks.task import Status, Task
from agentctl.core.text.json_form import replace
from agentctl.errors import AgentctlError, Malformed
from agentctl.git.repository import Hub
from agentctl.hub import approvals, tasks
from agentctl.hub.ledger import Ledger


def of(hub: Hub, key: str) -> list[Task]:
    """Return the tasks of the list that review a revision and can be read."""
    found = list[Task]()
    for name in reviewing.names(key):
        with contextlib.suppress(Malformed):
            if tip := hub.refs.get(refnames.TASKS + name):
                found.append(tasks.read(hub, name, tip))
    return found


class Reviews:
    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._tip: str | None = None
        self._queue: Mapping[str, Queued] = {}
        self._lacks: dict[str, list[Lack]] = {}
        """What queued changes lack that reviewers can give, by key. This and `_queue` are by the ledger at `_tip`."""
        self._own: dict[str, frozenset[str]] = {}
        """The reviews of itself for which a queued change waits, by key."""
        self._all: dict[str, frozenset[str]] = {}
        """The reviews for which a queued change waits, by key: those of what it comes after too."""

    def follow(self, policy: Policy, ledger: Ledger, known: Mapping[str, Task], busy: Collection[str]) -> None:
        """Open the tasks that are lacking by policy and ledger, and close those by which nothing is left to judge, parked ones too.

        `busy` are tasks on which a session works: it may have something to say still.
        """
        if not policy.approvals:
            self._tip, self._queue, self._lacks, self._own, self._all = None, {}, {}, {}, {}
            return
        if ledger.tip != self._tip:
            self._tip, self._queue = ledger.tip, ledger.state().queue
            found = {key: self._lacking(policy, record, known) for key, record in self._queue.items()}
            self._lacks = {key: lacks for key, lacks in found.items() if lacks}
            for key, lacks in self._lacks.items():
                for lack in lacks:
                    self._open(self._queue[key], lack, known)
        reviews = {key: [known[name] for name in reviewing.names(key) if name in known] for key in self._lacks}
        self._own = {
            key: frozenset(task.id for lack in lacks for task in reviewing.waited_for(lack, reviews[key]))
            for key, lacks in self._lacks.items()
        }
        self._all = reviewing.with_followers(self._queue, self._own)
        # One that was parked may be opened again.
        wanted = {name for key in self._lacks for name in reviewing.names(key)}
        for task in known.values():
            over = reviewing.is_review(task) and task.closed != "done" and task.id not in wanted
            if over and task.id not in busy:
                self._close(task)

    @property
    def needed(self) -> frozenset[str]:
        """The reviews for which queued changes wait."""
        return frozenset().union(*self._own.values())

    @property
    def by_task(self) -> dict[str, frozenset[str]]:
        """The reviews for which the queued change of a task waits, by task."""
        return {task: names for key, names in self._all.items() if (task := self._queue[key].change.task)}

    def parked(self, statuses: Mapping[str, Status]) -> dict[str, list[str]]:
        """Return the parked reviews of each queued change that waits for such ones, by key."""
        found = {key: sorted(name for name in names if statuses.get(name) == Status.PARKED) for key, names in self._own.items()}
        return {key: names for key, names in found.items() if names}

    def hold_up(self, queue: Collection[str], statuses: Mapping[str, Status]) -> bool:
        """Tell whether each change of a queue, by its key, waits for a review that is parked."""
        parked = {name for names in self.parked(statuses).values() for name in names}
        return bool(parked) and all(self._all.get(key, frozenset()) & parked for key in queue)

    def _lacking(self, policy: Policy, record: Queued, known: Mapping[str, Task]) -> list[Lack]:
        if (about := known.get(record.change.task or "")) and reviewing.is_review(about):
            # What a reviewer submits is nobody's result.
            return []
        try:
            found = approvals.lacking(self._hub, policy, record)
        except AgentctlError:
            return []
        return [lack for lack in found if roles.does(policy.agents, lack.rule.by) == "review"]

    def _open(self, record: Queued, lack: Lack, known: Mapping[str, Task]) -> None:
        """Open the tasks that are missing for a change to get what it lacks."""
        names = reviewing.names(record.key)
        missing = reviewing.still_to_open(lack, (known[name] for name in names if name in known))
        if not missing:
            return
        free = [n + 1 for n, name in enumerate(names) if name not in known and not tasks.exists(self._hub, name)]
        about = known.get(record.change.task or "")
        for number in free[:missing]:
            # If something stands in the way of its ref, a person sees by `queue` that the change waits.
            with contextlib.suppress(AgentctlError):
                tasks.add(self._hub, [reviewing.task_for(record, lack, number, about, time.time())])

    def _close(self, task: Task) -> None:
        with contextlib.suppress(AgentctlError):
            tasks.change(self._hub, task.id, "done: nothing is left to judge", lambda t: replace(t, closed="done", reason=""))
