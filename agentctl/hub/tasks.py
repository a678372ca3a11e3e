"""Tasks and claims as refs.

refs/agentctl/tasks/<task> names a chain of commits, one for each event; the tree of each holds `task.json`, the task
after that event. refs/agentctl/claims/<task> names a commit without files whose subject is the claim as one line of
JSON. A claim is only ever created or deleted, so if several supervisors want a task, exactly one gets it.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from agentctl.core import refnames
from agentctl.core.queue.records import Record
from agentctl.core.tasks import task as codec
from agentctl.core.tasks.task import Claim, Task
from agentctl.errors import Contended, Malformed, NotFound, UsageError
from agentctl.git import refs, transactions
from agentctl.git.objects import EMPTY_TREE
from agentctl.git.repository import Hub
from agentctl.hub.ledger import Ledger

FILE = "task.json"


def read(hub: Hub, name: str, tip: str) -> Task:
    """Return the task `name` as of a commit of its ref; raise Malformed."""
    with refs.decoding(refnames.TASKS + name):
        task = codec.decode(hub.objects.read(hub.objects.commit(tip).tree, FILE) or b"")
        if task.id != name or not refnames.valid_name(name):
            raise ValueError(f"it is the task {task.id!r}")
        return task


def all_tasks(hub: Hub, cache: dict[str, Task] | None = None) -> dict[str, Task]:
    """Return every task by id, oldest first; `cache` maps tips to tasks and is filled."""
    cache = {} if cache is None else cache
    found = {}
    for name, ref in hub.refs.read([refnames.TASKS]).items():
        id = name.removeprefix(refnames.TASKS)
        if ref.oid not in cache:
            cache[ref.oid] = read(hub, id, ref.oid)
        found[id] = cache[ref.oid]
    return dict(sorted(found.items(), key=lambda item: (item[1].created, item[0])))


def get(hub: Hub, name: str) -> Task:
    """Return the task `name`; raise NotFound if there is none."""
    tip = hub.refs.get(refnames.TASKS + name) if refnames.valid_name(name) else None
    if not tip:
        raise NotFound(f"no task called {name!r}", hint="agentctl task list")
    return read(hub, name, tip)


def offered(hub: Hub, name: str) -> bool:
    """Tell whether there is an open task called `name`: when its change leaves the queue, it is worked on again."""
    try:
        return not get(hub, name).closed
    except (NotFound, Malformed):
        return False


def add(hub: Hub, tasks: list[Task]) -> list[str]:
    """Create the tasks that are not there yet, all of them or none; return their names.

    A task that says exactly the same counts as there already, so that a killed command can be repeated. Raises
    UsageError if another task has the name.
    """
    transaction, new = hub.refs.transaction(f"add {len(tasks)} tasks"), []
    with hub.objects.store.together():
        for task in tasks:
            tip = hub.refs.get(refnames.TASKS + task.id)
            if not tip:
                transaction.create(refnames.TASKS + task.id, _commit(hub, task, None, f"created: {task.title}"))
                new.append(task.id)
            elif _asked(read(hub, task.id, tip)) != _asked(task):
                raise UsageError(
                    f"there is a task {task.id!r} already", hint=f"agentctl task show {task.id}, or give the new one another id"
                )
        hub.objects.store.flush()
        transaction.commit()
    hub.sync()
    return new


def _asked(task: Task) -> tuple[object, ...]:
    """Return what a person says in a task."""
    return task.title, task.prompt, task.acceptance, tuple(task.after), task.priority, tuple(task.paths)


def last_of(hub: Hub, agent: str) -> str | None:
    """Return the open task that an agent works on, or worked on last; None if another agent has taken that up since."""
    held = next((name for name, (held, _) in claims(hub).items() if held.agent == agent), None)
    if held:
        return held
    known = [task for task in all_tasks(hub).values() if task.sessions and task.sessions[-1].agent == agent]
    last = max(known, key=lambda task: task.sessions[-1].ended, default=None)
    return last.id if last and not last.closed else None


def change(hub: Hub, name: str, event: str, edit: Callable[[Task], Task]) -> Task:
    """Append an event to a task, unless `edit` changes nothing; return the task after it.

    Raises NotFound, or Contended after ten tries.
    """
    return transactions.retrying(10, lambda: _change(hub, name, event, edit))


def _change(hub: Hub, name: str, event: str, edit: Callable[[Task], Task]) -> Task:
    tip = hub.refs.get(refnames.TASKS + name)
    if not tip:
        raise NotFound(f"no task called {name!r}", hint="agentctl task list")
    before = read(hub, name, tip)
    after = edit(before)
    if after != before:
        move = hub.refs.transaction(event)
        with hub.objects.store.together():
            move.update(refnames.TASKS + name, _commit(hub, after, tip, event), tip)
            hub.objects.store.flush()
            move.commit()
    return after


def _commit(hub: Hub, task: Task, tip: str | None, event: str) -> str:
    tree = hub.objects.replace(EMPTY_TREE, {FILE: codec.encode(task)})
    return hub.objects.write_commit(tree, [tip] if tip else [], event + "\n", time.time())


def newest(ledger: Ledger, task: Task) -> Record | None:
    """Return the ledger's record of the task's newest revision.

    None if the task has submitted nothing, or if the ledger does not have that revision yet.
    """
    record = ledger.newest(task.id) if task.revision else None
    return record if record and record.change.revision >= task.revision else None


def claims(hub: Hub) -> dict[str, tuple[Claim, str]]:
    """Return (claim, object id) by task; raise Malformed."""
    found = {}
    for name, ref in hub.refs.read([refnames.CLAIMS]).items():
        with refs.decoding(name):
            found[name.removeprefix(refnames.CLAIMS)] = codec.decode_claim(ref.subject), ref.oid
    return found


def claim(hub: Hub, name: str, wanted: Claim) -> str:
    """Claim a task, and return the object id of the claim; raise Contended if somebody has the task."""
    with hub.objects.store.together():
        hub.objects.write_tree({})
        made = hub.objects.write_commit(EMPTY_TREE, [], codec.encode_claim(wanted) + "\n", time.time())
        create = hub.refs.transaction(f"claim {name}")
        create.create(refnames.CLAIMS + name, made)
        hub.objects.store.flush()
        create.commit()
    return made


def release(hub: Hub, name: str, oid: str) -> None:
    """Give up a claim; a claim that somebody else has made meanwhile is left alone."""
    delete = hub.refs.transaction(f"release {name}")
    delete.delete(refnames.CLAIMS + name, oid)
    try:
        delete.commit()
    except Contended:
        pass
