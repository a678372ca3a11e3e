"""Reviews by agents: where a change lacks the approval of a role that reviews, a task for that role is opened."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Collection, Iterable, Mapping, Sequence

from agentctl.core.policy import roles
from agentctl.core.policy.policy import Policy
from agentctl.core.queue.approvals import Lack
from agentctl.core.queue.records import Queued
from agentctl.core.queue.request import Review
from agentctl.core.tasks import reviewing
from agentctl.core.tasks.task import Status, Task
from agentctl.core.text.json_form import replace
from agentctl.errors import AgentctlError, Malformed, NotFound
from agentctl.git.repository import Hub
from agentctl.hub import approvals, inbox, tasks
from agentctl.hub.ledger import Ledger


def of(hub: Hub, key: str) -> list[Task]:
    """Return the tasks that review a revision and can be read, those in the archive too."""
    return _there(hub, key)[0]


def _there(hub: Hub, key: str) -> tuple[list[Task], int]:
    """Return (the tasks that review a revision and can be read, the first number that none has).

    The number is 0 if so many cannot be read that the archive itself is likely to be broken.
    """
    found, number, unread = list[Task](), 1, 0
    while unread <= reviewing.MOST:
        try:
            found.append(tasks.get(hub, reviewing.name_of(key, number)))
        except NotFound:
            return found, number
        except Malformed:
            unread += 1
        number += 1
    return found, 0


def judged(hub: Hub, task: Task, agent: str) -> bool:
    """Tell whether an agent has judged in the role of a review what that is about, or nothing is left to judge."""
    # What leaves the inbox after this look is in the ledger by then.
    waiting = inbox.read(hub)
    for record in Ledger.read(hub).state().queue.values():
        if reviewing.reviews_of(record.key, task):
            return agent in reviewing.judges(record, task.role, waiting)
    return True


class Reviews:
    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._by: object = None
        """By which ledger and which policy these two are."""
        self._queue: Mapping[str, Queued] = {}
        self._lacks: dict[str, list[Lack]] = {}
        """What queued changes lack that reviewers can give, by key: one for each role."""
        self._own: dict[str, frozenset[str]] = {}
        """The reviews of a queued change for which it waits, by its key."""
        self._all: dict[str, frozenset[str]] = {}
        """The same, with those of what it comes after."""

    def follow(self, policy: Policy, ledger: Ledger, known: Mapping[str, Task], busy: Collection[str]) -> None:
        """Open the tasks that are lacking by policy and ledger, and close those by which nothing is left to judge, parked ones too.

        `busy` are tasks on which a session works: it may have something to say still.
        """
        by = ledger.tip, policy.approvals, policy.agents.roles
        if by != self._by:
            self._by, self._queue = by, ledger.state().queue if policy.approvals else {}
            found = {key: self._lacking(policy, record, known) for key, record in self._queue.items()}
            self._lacks = {key: lacks for key, lacks in found.items() if lacks}
        there = reviewing.by_revision(known.values())
        first = reviewing.name_of
        self._own = {key: self._waits(ledger, key, lacks, known, there.get(first(key), ())) for key, lacks in self._lacks.items()}
        self._all = reviewing.with_followers(self._queue, self._own)
        # One that was parked may be opened again.
        wanted = {(first(key), lack.rule.by) for key, lacks in self._lacks.items() for lack in lacks}
        for about, reviews in there.items():
            for task in reviews:
                over = reviewing.is_review(task) and task.closed != "done" and (about, task.role) not in wanted
                if over and task.id not in busy:
                    self._close(task)

    def for_others(self, ledger: Ledger, known: Mapping[str, Task]) -> dict[str, Task]:
        """Return the open reviews as `reviewing.for_others` does, by what is said of their changes by now."""
        reviews = reviewing.by_revision(task for task in known.values() if not task.closed)
        there = [(task, key) for key in self._lacks for task in reviews.get(reviewing.name_of(key), ())]
        if not there:
            return {}
        # What leaves the inbox after this look is in the ledger by then.
        waiting, now = inbox.read(self._hub), Ledger.read(self._hub)
        queue = self._queue if now.tip == ledger.tip else now.state().queue
        queued = ((task, queue[key]) for task, key in there if key in queue)
        return {t.id: reviewing.for_others(t, reviewing.judges(record, t.role, waiting)) for t, record in queued}

    def _waits(
        self, ledger: Ledger, key: str, lacks: Iterable[Lack], known: Mapping[str, Task], there: Sequence[Task]
    ) -> frozenset[str]:
        """Return the reviews for which a change waits, and open those that are missing; `there` are those of the list."""
        waits = set[str]()
        for lack in lacks:
            waits.update(task.id for task in reviewing.waited_for(lack, there))
            if not reviewing.still_to_open(lack, there):
                continue
            if any(task.closed == "done" for task in there) and self._on_its_way(ledger, self._queue[key]):
                continue
            every, free = _there(self._hub, key)
            missing = reviewing.still_to_open(lack, every)
            if missing and (done := reviewing.for_a_person(lack, every)):
                self._ask_for_a_person(done)
                continue
            for number in range(free, free + missing) if free else ():
                self._open(self._queue[key], lack, number, known)
        return frozenset(waits)

    def _on_its_way(self, ledger: Ledger, record: Queued) -> bool:
        """Tell whether what somebody said of a change may not be in this ledger yet."""
        waiting = any(isinstance(request, Review) for request in inbox.read(self._hub, record.change.id))
        return waiting or Ledger.read(self._hub).tip != ledger.tip

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
            return self._lacks.get(record.key, [])
        return reviewing.of_roles(lack for lack in found if roles.does(policy.agents, lack.rule.by) == "review")

    def _open(self, record: Queued, lack: Lack, number: int, known: Mapping[str, Task]) -> None:
        about = known.get(record.change.task or "")
        # If something stands in the way of its ref, a person sees by `queue` that the change waits.
        with contextlib.suppress(AgentctlError):
            tasks.add(self._hub, [reviewing.task_for(record, lack, number, about, time.time())])

    def _ask_for_a_person(self, closed: Sequence[Task]) -> None:
        """Park one of the reviews that are closed; together they did not bring what the change lacks."""
        why = f"{len(closed)} reviews of this change are closed, and it lacks an approval still"
        with contextlib.suppress(AgentctlError):
            tasks.change(self._hub, closed[0].id, f"parked: {why}", lambda t: replace(t, closed="parked", reason=why))

    def _close(self, task: Task) -> None:
        with contextlib.suppress(AgentctlError):
            tasks.change(self._hub, task.id, "done: nothing is left to judge", lambda t: replace(t, closed="done", reason=""))
