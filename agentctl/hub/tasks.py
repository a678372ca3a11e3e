"""The list of tasks, as refs.

refs/agentctl/tasks/<task> names a chain of commits, one for each event; the tree of each holds `task.json`, the task
after that event. What is over leaves the list for the archive (`hub.archive`), and is found all the same by whoever asks
for it. The claims on tasks are refs, too (`hub.claims`).

Whoever can push can write these refs. What cannot be read is odd: it is named and passed over, and holds up nothing but
a task of that name. A claim that no session can have made is not heeded.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, field

from agentctl.core import refnames
from agentctl.core.policy import roles
from agentctl.core.policy.policy import Agents
from agentctl.core.queue.records import Record, Superseded
from agentctl.core.tasks import claim as claims
from agentctl.core.tasks import task as codec
from agentctl.core.tasks.claim import Claim
from agentctl.core.tasks.task import Task
from agentctl.core.text.printable import printable
from agentctl.errors import AgentctlError, Contended, Infrastructure, Malformed, NotFound, UsageError, together
from agentctl.git import refs, transactions
from agentctl.git.objects import EMPTY_TREE
from agentctl.git.repository import Hub
from agentctl.hub import policy_file
from agentctl.hub.archive import Archive
from agentctl.hub.claims import read_claim, standing
from agentctl.hub.ledger import Ledger

FILE = "task.json"


def read(hub: Hub, name: str, tip: str) -> Task:
    """Return the task `name` as of a commit of its ref; raise Malformed."""
    with refs.decoding(refnames.TASKS + name):
        task = codec.decode(hub.objects.read(hub.objects.commit(tip).tree, FILE) or b"")
        if task.id != name or not refnames.valid_name(name):
            raise ValueError(f"it is the task {task.id!r}")
        return task


@dataclass(frozen=True, slots=True)
class Survey:
    """What stands below refs/agentctl/tasks/ and refs/agentctl/claims/."""

    tasks: dict[str, Task]
    """Every task by id, oldest first."""
    claims: dict[str, tuple[Claim, str]]
    """The claims that are heeded: (claim, object id) by task."""
    unheeded: dict[str, tuple[Claim, str, str]]
    """The claims that no session can have made: (claim, object id, why) by task."""
    odd: dict[str, str]
    """What is neither a task nor a claim, and why, by the name of its ref."""
    below: frozenset[str]
    """Those of `odd` that are refs below the name of a task or a claim: whoever writes that one sets them aside."""
    archived: frozenset[str] = frozenset()
    """Those of `tasks` that are in the archive and no more in the list."""

    @property
    def passed_over(self) -> dict[str, str]:
        """What is odd or not heeded, and why, by the name of its ref."""
        forged = {refnames.CLAIMS + name: f"no session made it: {why}" for name, (_, _, why) in self.unheeded.items()}
        return self.odd | forged

    def spoilt(self, task: str) -> str:
        """Return what stands in the place of a task's ref and is no task; empty if nothing does."""
        return self._at(refnames.TASKS + task)

    def in_the_way(self, task: str) -> str:
        """Return what keeps sessions of a task from being claimed or written down; empty if nothing does."""
        return self.spoilt(task) or self._at(refnames.CLAIMS + task)

    def _at(self, ref: str) -> str:
        name = next((n for n in self.odd if n == ref or n.startswith(ref + "/") and n not in self.below), None)
        return f"{printable(name)} is in its way: {self.odd[name]}; agentctl doctor" if name else ""


def survey(
    hub: Hub, longest: float | None = None, cache: dict[str, Task] | None = None, also: Collection[str] | None = ()
) -> Survey:
    """Return the list of tasks and claims, and what else stands among them.

    Of the archive are there the tasks that others come after, or that planned them, and those that `also` names; None means
    all. `longest` is the time limit of a session; None means that of the policy in force. `cache` maps object ids to tasks;
    it is filled, and forgets what is no longer there.
    """
    # Claims are read before tasks: a session is written down before its claim goes, so no task is older than its claim.
    made, odd = {}, {}
    listed = hub.refs.settled([refnames.CLAIMS])
    for name, ref in listed.refs.items():
        try:
            made[name.removeprefix(refnames.CLAIMS)] = read_claim(hub, ref), ref.oid
        except Malformed as error:
            odd[name] = str(error.values["why"])
    seen = _Seen(cache or {})
    known, strange, broken = _tasks(hub, seen)
    known, archived = _with_archive(hub, known, also, seen, broken)
    if cache is not None:
        cache.clear()
        cache.update(seen.now)
    limit, now = longest if longest is not None else _longest(hub) if made else 0.0, time.time()
    why = {
        name: claims.unfounded(claim, known[name].generation if name in known else None, limit, now)
        for name, (claim, _) in made.items()
    }
    return Survey(
        known,
        {name: one for name, one in made.items() if not why[name]},
        {name: (*one, why[name]) for name, one in made.items() if why[name]},
        {**listed.odd, **odd, **broken, **strange},
        frozenset(filter(refnames.in_the_way, {**odd, **strange})),
        archived,
    )


def at_work(hub: Hub) -> list[tuple[Task, Claim]]:
    """Return the tasks that are being worked on, each with its claim; the others are not looked at."""
    found, now, longest = list[tuple[Task, Claim]](), time.time(), _longest(hub)
    for name, ref in hub.refs.settled([refnames.CLAIMS]).refs.items():
        with contextlib.suppress(Malformed, NotFound):
            claim, task = read_claim(hub, ref), get(hub, name.removeprefix(refnames.CLAIMS))
            if not claims.unfounded(claim, task.generation, longest, now):
                found.append((task, claim))
    return found


def listed(hub: Hub) -> dict[str, Task]:
    """Return every task of the list that can be read by id, oldest first."""
    return _tasks(hub, _Seen({}))[0]


def names(hub: Hub) -> frozenset[str]:
    """Return the ids of all tasks, those in the archive too."""
    listed = {name.removeprefix(refnames.TASKS) for name in hub.refs.names([refnames.TASKS]).oids}
    with contextlib.suppress(Malformed):
        listed.update(Archive.if_readable(hub).names())
    return frozenset(listed)


def exists(hub: Hub, name: str) -> bool:
    """Tell whether there is a task of that name, in the list or in the archive."""
    try:
        get(hub, name)
    except NotFound:
        return False
    except Malformed:
        pass
    return True


def _with_archive(
    hub: Hub, listed: dict[str, Task], also: Collection[str] | None, seen: _Seen, odd: dict[str, str]
) -> tuple[dict[str, Task], frozenset[str]]:
    """Return (the tasks of the list, and of the archive those that are asked for; which ones these are).

    A fault of the archive is put into `odd`.
    """
    found = dict[str, Task]()
    try:
        archive = Archive.read(hub)
        if archive.tip and also is None:
            found = {task.id: task for task in archive.tasks() if task.id not in listed}
        todo = {*(also or ()), *(name for task in listed.values() for name in (*task.after, task.parent))} - listed.keys()
        while archive.tip and todo:
            name = todo.pop()
            if name not in found and (there := archive.get(name, seen.before)):
                found[name], oid = there
                seen.now[oid] = found[name]
                todo |= {found[name].parent} - listed.keys()
    except (Malformed, Infrastructure) as error:
        odd[refnames.ARCHIVE] = str(error.values["why"]) if isinstance(error, Malformed) else error.message
    return _sorted({**found, **listed}) if found else listed, frozenset(found)


def _sorted(found: dict[str, Task]) -> dict[str, Task]:
    return dict(sorted(found.items(), key=lambda item: (item[1].created, item[0])))


@dataclass
class _Seen:
    """Tasks by the object ids of what holds them: as they were seen before, and now."""

    before: dict[str, Task]
    now: dict[str, Task] = field(default_factory=dict)


def _tasks(hub: Hub, seen: _Seen) -> tuple[dict[str, Task], dict[str, str], dict[str, str]]:
    """Return (every task by id, oldest first; refs that hold none, and what is no ref, each with why by its name)."""
    found, odd, listed = {}, {}, hub.refs.settled([refnames.TASKS])
    for name, ref in listed.refs.items():
        id = name.removeprefix(refnames.TASKS)
        try:
            known = seen.before.get(ref.oid)
            found[id] = seen.now[ref.oid] = known if known and known.id == id else read(hub, id, ref.oid)
        except Malformed as error:
            odd[name] = str(error.values["why"])
    return _sorted(found), odd, listed.odd


def _longest(hub: Hub) -> float:
    """Return the time limit of a session by the policy in force; without one that can be read, there is no limit."""
    try:
        return policy_file.in_force(hub)[1].agents.timeout
    except AgentctlError:
        return float("inf")


def get(hub: Hub, name: str) -> Task:
    """Return the task `name`; raise NotFound if there is none."""
    return _found(hub, name)[0]


def _found(hub: Hub, name: str) -> tuple[Task, str | None]:
    """Return (the task `name`, the commit of its ref or None if it is in the archive); raise NotFound if there is none."""
    if tip := hub.refs.get(refnames.TASKS + name) if refnames.valid_name(name) else None:
        return read(hub, name, tip), tip
    if away := Archive.if_readable(hub).get(name):
        return away[0], None
    raise NotFound(f"no task called {name!r}", hint="agentctl task list")


def purpose(hub: Hub, agents: Agents, name: str) -> str:
    """Return what the role of a task is for: work, plan or review; work for a task that is not there."""
    try:
        return roles.does(agents, get(hub, name).role)
    except (NotFound, Malformed):
        return "work"


def handed_in_by(hub: Hub, name: str, generation: int) -> int:
    """Return the newest generation of a task above `generation` whose session handed something in; 0 if there is none."""
    try:
        newer = [s.generation for s in get(hub, name).sessions if s.generation > generation and s.revision]
    except (NotFound, Malformed):
        return 0
    return max(newer, default=0)


def offered(hub: Hub, name: str) -> bool:
    """Tell whether there is an open task called `name`: when its change leaves the queue, it is worked on again."""
    try:
        return not get(hub, name).closed
    except (NotFound, Malformed):
        return False


def add(hub: Hub, tasks: list[Task]) -> list[str]:
    """Create the tasks that are not there yet, all of them or none; return their names.

    A task that says exactly the same counts as there already, so that a killed command can be repeated. Raises
    UsageError if another task has the name, and Contended after ten tries.
    """
    new = transactions.retrying(10, lambda: _add(hub, tasks))
    hub.sync()
    return new


def _add(hub: Hub, tasks: list[Task]) -> list[str]:
    transaction, new = hub.refs.transaction(f"add {len(tasks)} tasks"), []
    with hub.objects.store.together():
        for task in tasks:
            if task.parent and task.parent in task.after:
                raise UsageError(
                    f"{task.id} cannot come after {task.parent}, which planned it and so waits for it",
                    hint=f"leave {task.parent} out of what {task.id} comes after",
                )
            try:
                there = get(hub, task.id)
            except NotFound:
                transaction.create(refnames.TASKS + task.id, _commit(hub, task, None, f"created: {task.title}"))
                new.append(task.id)
                continue
            if _asked(there) != _asked(task):
                raise UsageError(
                    f"there is a task {task.id!r} already", hint=f"agentctl task show {task.id}, or give the new one another id"
                )
        hub.objects.store.flush()
        transaction.commit()
    return new


def _asked(task: Task) -> tuple[object, ...]:
    """Return what a person says in a task."""
    return task.title, task.prompt, task.acceptance, tuple(task.after), task.priority, tuple(task.paths), task.role, task.parent


def last_of(hub: Hub, agent: str) -> str | None:
    """Return the open task that an agent works on, or worked on last; None if another agent has taken that up since."""
    found = survey(hub)
    held = next((name for name, (held, _) in found.claims.items() if held.agent == agent), None)
    if held:
        return held
    known = [task for task in found.tasks.values() if task.sessions and task.sessions[-1].agent == agent]
    last = max(known, key=lambda task: task.sessions[-1].ended, default=None)
    return last.id if last and not last.closed else None


def change(hub: Hub, name: str, event: str, edit: Callable[[Task], Task]) -> Task:
    """Append an event to a task, unless `edit` changes nothing; return the task after it.

    Raises NotFound, or Contended after ten tries.
    """
    return change_all(hub, [name], event, edit)[name]


def change_all(hub: Hub, names: Collection[str], event: str, edit: Callable[[Task], Task]) -> dict[str, Task]:
    """Append an event to several tasks, to all or to none, except where `edit` changes nothing; return them after it.

    `edit` may raise an error that says why its task cannot be changed so. Raises one error for all that cannot.
    """
    return transactions.retrying(10, lambda: _change(hub, names, event, edit))


def _change(hub: Hub, names: Collection[str], event: str, edit: Callable[[Task], Task]) -> dict[str, Task]:
    move, after, errors = hub.refs.transaction(event), {}, {}
    with hub.objects.store.together():
        for name in names:
            try:
                before, tip = _found(hub, name)
                after[name] = edit(before)
                if after[name] != before:
                    # What was in the archive stands in the list again.
                    move.update(refnames.TASKS + name, _commit(hub, after[name], tip, event), tip)
            except AgentctlError as error:
                errors[name] = error
        if errors:
            raise together(errors, len(names))
        if move:
            hub.objects.store.flush()
            move.commit()
    return after


def put_away(hub: Hub, over: Collection[Task]) -> None:
    """Put tasks of the list into the archive.

    Raises Contended if one of them is no more as it is here, or the archive moved, and Malformed for an archive that is none.
    """
    away = dict[str, Task]()
    for task in over:
        there, tip = _found(hub, task.id)
        if not tip or there != task:
            raise Contended(f"somebody changes {task.id}")
        away[tip] = task
    Archive.read(hub).put(away)


def _commit(hub: Hub, task: Task, tip: str | None, event: str) -> str:
    tree = hub.objects.replace(EMPTY_TREE, {FILE: codec.encode(task)})
    return hub.objects.write_commit(tree, [tip] if tip else [], event + "\n", time.time())


def newest(ledger: Ledger, task: Task) -> Record | None:
    """Return the ledger's record of the task's newest revision, but for those of sessions that others had overtaken.

    None if the task has submitted nothing, or if the ledger does not have its newest revision yet.
    """
    record = ledger.newest(task.id) if task.revision else None
    if not record or record.change.revision >= task.revision:
        return record
    own = ledger.record(f"{task.id}/{task.revision}")
    return record if isinstance(own, Superseded) and own.late else None


def held(hub: Hub, name: str) -> Claim | None:
    """Return the claim of a task that is heeded, or None; a ref that holds no claim gives no rights."""
    try:
        made = standing(hub, name)
        return made if made and not claims.unfounded(made, get(hub, name).generation, _longest(hub), time.time()) else None
    except AgentctlError:
        return None
