"""agentctl task: the work to be done."""

from __future__ import annotations

import contextlib
import os
import time

import click

from agentctl.core import refnames
from agentctl.core.notices import passed_over
from agentctl.core.policy import roles
from agentctl.core.queue.lifecycle import Stage
from agentctl.core.queue.records import Landed
from agentctl.core.queue.request import PRIORITY
from agentctl.core.tasks import live_list, reviewing, task_list
from agentctl.core.tasks.live_list import HeldUp
from agentctl.core.tasks.task import Status, Task, standings
from agentctl.core.text.json_form import Plain, facts, replace
from agentctl.core.text.printable import printable
from agentctl.errors import NotFound, Refused, UsageError
from agentctl.fleet import blocking, in_session, planning, reviews, session_folder, stopping
from agentctl.hub import handed_in, landed, status, tasks
from agentctl.hub.ledger import Ledger
from agentctl.hub.tasks import Survey
from agentctl.messages import aligned, some
from agentctl.terminal.parser import Given, as_command, given, group, read_input


@group(
    "task",
    """
agentctl task add 'Fix the crash on empty input'
agentctl task add --file tasks.yaml
agentctl task list
agentctl task show fix-the-crash-on-empty-input
agentctl task bump fix-the-crash-on-empty-input
agentctl task park fix-the-crash-on-empty-input --reason 'after the release'
agentctl task open fix-the-crash-on-empty-input
agentctl task done fix-the-crash-on-empty-input
""",
)
def tasks_group() -> None:
    """Add, list, show, put aside, close and reopen tasks.

    All of it takes effect while `agentctl run` goes on.
    """


def _once(ctx: click.Context, param: click.Parameter, names: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(names))


several = click.argument("names", nargs=-1, required=True, metavar="TASK...", callback=_once)
"""The tasks that a command is about, each once."""


@tasks_group.add_command
@as_command(
    "add",
    """
agentctl task add 'Fix the crash on empty input'
agentctl task add --id crash --after parser --priority 5 - < prompt.md
agentctl task add --file tasks.yaml
""",
)
@click.argument("text", nargs=-1)
@click.option("--file", "file", type=click.Path(), help="A YAML list of tasks (- for standard input): agentctl help tasks.")
@click.option("--id", "name", help="Its name (default: made from its first line).")
@click.option("--acceptance", default="", help="When it is done.")
@click.option("--after", multiple=True, metavar="TASK", help="A task that must land first; may be repeated.")
@click.option("--priority", type=click.IntRange(-PRIORITY, PRIORITY), default=0, help="Higher goes first.")
@click.option("--paths", multiple=True, metavar="GLOB", help="Where the work lies; may be repeated.")
@click.option("--role", default="", help="Whose task it is: worker (the default), planner, reviewer, or one of agents.roles.")
@given
def add_command(
    given: Given,
    text: tuple[str, ...],
    file: str | None,
    name: str | None,
    acceptance: str,
    after: tuple[str, ...],
    priority: int,
    paths: tuple[str, ...],
    role: str,
) -> int:
    """Add a task from TEXT, or many from a file.

    A TEXT of - is read from standard input. What a planner adds in its session stands below its own task, and it is called
    again when all of that is over.
    """
    hub = given.hub
    if file:
        if text:
            raise UsageError("give TEXT or --file, not both")
        return add_list(given, file)
    words = " ".join(text)
    prompt = read_input() if words == "-" else words
    if not prompt.strip():
        raise UsageError("the task has no text", hint="agentctl task add 'What is to be done'")
    title = prompt.strip().splitlines()[0][:100]
    chosen = name or refnames.of_title(title)
    if not refnames.valid_name(chosen):
        raise UsageError(f"{chosen!r} cannot be the name of a task", hint="give one with --id")
    known = tasks.names(hub)
    for other in after:
        if other not in known:
            raise UsageError(f"--after {other}: there is no such task", hint="agentctl task list")
    return _added(given, [Task(chosen, title, prompt, acceptance, after, priority, paths, time.time(), role=role)])


def planned_by(given: Given) -> str:
    """Return the task of the planner in whose session this is; empty if it is in none."""
    own = in_session.own_task(given.hub)
    role = roles.role(given.policy.agents, own.role) if own else None
    return own.id if own and role and role.does == "plan" else ""


def add_list(given: Given, file: str) -> int:
    return _added(given, read_list(given, file))


def read_list(given: Given, file: str) -> list[Task]:
    """Return the tasks of a YAML file, ready to be added.

    Raises PolicyError that names each bad line, and UsageError if the file cannot be read.
    """
    text = read_text(file)
    known = tasks.names(given.hub)
    now = time.time()
    return [replace(task, created=now + n / 1000) for n, task in enumerate(task_list.parse(text, file, known))]


def read_text(path: str) -> str:
    """Return the text of a file, or of standard input for -; raise UsageError if it cannot be read."""
    try:
        if path == "-":
            return read_input()
        with open(path, encoding="utf-8") as file:
            return file.read()
    except UnicodeDecodeError as error:
        raise UsageError(f"{path}: not UTF-8: {error}") from None
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}") from None


def _added(given: Given, listed: list[Task]) -> int:
    parent = planned_by(given)
    listed = [replace(task, parent=parent) for task in listed]
    for name in {task.role for task in listed} - {""}:
        if roles.role(given.policy.agents, name) is None:
            known = ", ".join(roles.names(given.policy.agents))
            raise UsageError(f"there is no role {name!r}", hint=f"one of: {known}")
    new = tasks.add(given.hub, listed)
    there = [task.id for task in listed if task.id not in new]
    if given.json:
        given.emit({"added": new, "there": there})
    for task in listed:
        given.say(task.id if task.id in new else f"{task.id}: there already")
    return 0


@tasks_group.add_command
@as_command("list", "agentctl task list\nagentctl task list --status parked --json")
@click.option("--status", "wanted", type=click.Choice([s.value for s in Status]), help="Only those.")
@given
def list_command(given: Given, wanted: str | None) -> int:
    """List tasks, where each stands, and what keeps it from going on."""
    found = tasks.survey(given.hub, also=None)
    where = statuses(given, found)
    shown = [t for t in found.tasks.values() if not wanted or where[t.id] == wanted]
    if given.json:
        given.emit([_facts(t, where) for t in shown])
        return 0
    held = live_list.held_up(found.tasks, where)
    rows = [(task, _why(task, found.tasks, where, held)) for task in shown]
    for line in aligned([(where[t.id], t.id, printable(t.title) + (f" ({printable(why)})" if why else "")) for t, why in rows]):
        given.say(line, hang=11)
    given.tell_held_up()
    for notice in passed_over(found.passed_over):
        given.say(f"note: {notice.how}")
    return 0


def _facts(task: Task, where: dict[str, Status]) -> Plain:
    """Return the value of a task for --json."""
    return {**facts(task), "status": where[task.id], "waits_for": live_list.waits_for(task, where)}


def _why(task: Task, known: dict[str, Task], where: dict[str, Status], held: dict[str, HeldUp]) -> str:
    """Return why a task is closed, or what it waits for; empty if there is nothing to say."""
    if where[task.id] in (Status.PARKED, Status.DONE):
        return task.reason
    if where[task.id] != Status.BLOCKED:
        return ""
    if task.id in held:
        return live_list.why(held[task.id], known, where)
    if not live_list.waits_for(task, where):
        return "it waits for the tasks that it planned"
    return f"it comes after {some(live_list.waits_for(task, where))}"


def statuses(given: Given, found: Survey) -> dict[str, Status]:
    """Return where each task stands now."""
    ledger = Ledger.read(given.hub)
    newest = {name: record for name, task in found.tasks.items() if (record := tasks.newest(ledger, task))}
    away = landed.gone(given.hub, given.seen.tip, [r.commit for r in newest.values() if isinstance(r, Landed)])
    gone = {name for name, record in newest.items() if isinstance(record, Landed) and record.commit in away}
    where = standings(found.tasks, {name: claim for name, (claim, _) in found.claims.items()}, newest, gone)
    return live_list.with_planners(found.tasks, where)


@tasks_group.add_command
@as_command("show", "agentctl task show fix-the-crash")
@click.argument("task")
@given
def show_command(given: Given, task: str) -> int:
    """Show a task: its text, its sessions and where it stands."""
    found = tasks.get(given.hub, task)
    known = tasks.survey(given.hub, also=[task])
    where = statuses(given, known)
    if given.json:
        given.emit(_facts(found, where))
        return 0
    why = _why(found, known.tasks, where, live_list.held_up(known.tasks, where))
    given.say(f"{found.id}: {where[task]}{' (' + printable(why, 1000) + ')' if why else ''}")
    for label, value in (
        ("title", found.title),
        ("after", ", ".join(found.after)),
        ("priority", found.priority),
        ("paths", " ".join(found.paths)),
        ("role", found.role),
        ("planned by", found.parent),
        ("acceptance", found.acceptance),
    ):
        if value:
            given.say(f"{label + ':':<12}{value}")
    given.say("\n" + found.prompt.strip() + "\n")
    for s in found.sessions:
        rev = f" as {found.id}/{s.revision}" if s.revision else ""
        fault = f" ({s.failure.kind}: no attempt)" if s.failure else ""
        spent = f"  {s.spent}" if str(s.spent) else ""
        given.say(f"session {s.generation}  {s.agent}  {s.seconds:.1f} s{spent}  {s.end}{rev}{fault}  {printable(s.note, 1000)}")
    if total := str(found.spent):
        given.say(f"\nspent: {total}")
    if found.revision:
        given.say(f"\nits change: agentctl why {found.id}")
    if where[task] in (Status.BLOCKED, Status.READY, Status.WORKING, Status.SUBMITTED):
        given.tell_held_up()
    return 0


@tasks_group.add_command
@as_command(
    "open", "agentctl task open parser lexer\nagentctl task open fix-the-crash --reason 'The key is in tests/key: use that'"
)
@several
@click.option("--reason", default="", help="What the next session is told, such as the answer to what an agent needs.")
@given
def open_command(given: Given, names: tuple[str, ...], reason: str) -> int:
    """Offer each parked or closed TASK again, with all its attempts.

    What comes after it is free again, too, and a fleet that runs takes it in. All are opened, or none.
    """
    in_session.refuse(given.hub, names, own=False)
    where = statuses(given, tasks.survey(given.hub, also=names))
    if over := [name for name in names if where.get(name) == Status.LANDED]:
        raise Refused(
            f"{some(over)}: it has landed", hint="agentctl revert CHANGE takes it back; agentctl task add asks for more"
        )
    tasks.change_all(given.hub, names, "opened again", lambda t: handed_in.corrected(given.hub, t).open(reason))
    for name in names:
        if given.json:
            given.emit({"task": name, "closed": "", "reason": reason})
        given.say(f"{name}: open")
    return 0


@tasks_group.add_command
@as_command("done", "agentctl task done fix-the-crash\nagentctl task done parser lexer --reason 'no longer wanted'")
@click.argument("names", nargs=-1, metavar="[TASK...]", callback=_once)
@click.option("--reason", default="", help="Why, for the record.")
@given
def done_command(given: Given, names: tuple[str, ...], reason: str) -> int:
    """Close each TASK by hand: nobody works on it any more.

    All are closed, or none. A planner or reviewer says so of its own task in its session, and needs not name it.
    """
    own = in_session.own_task(given.hub)
    if own and not planning.hands_in(given.policy, own) and names in ((), (own.id,)):
        if reviewing.is_review(own) and not reviews.judged(given.hub, own, os.environ.get("AGENTCTL_AGENT", "")):
            raise Refused(
                "you have judged nothing yet",
                hint="agentctl approve CHANGE, or agentctl approve CHANGE --refuse WHY; if a person has to, agentctl task block 'REASON'",
            )
        session_folder.finish(os.environ[session_folder.VARIABLE], reason or "done")
        given.emit({"task": own.id, "closed": "done", "reason": reason}) if given.json else given.say(
            f"{own.id}: done at the end"
        )
        return 0
    if not names:
        raise UsageError("which task?", hint="agentctl task list")
    in_session.refuse(given.hub, names)

    def closed(task: Task) -> Task:
        if claim := tasks.held(given.hub, task.id):
            own = in_session.own_task(given.hub)
            end = "commit and end the session: the rest happens by itself" if own and own.id == task.id else ""
            raise Refused(f"{claim.agent} is working on {task.id}", hint=end or f"agentctl stop {claim.agent}, then again")
        return replace(task, closed="done", reason=reason)

    tasks.change_all(given.hub, names, f"done: {reason}" if reason else "done", closed)
    for name in names:
        if given.json:
            given.emit({"task": name, "closed": "done", "reason": reason})
        _tell_queued(given, name)
        given.say(f"{name}: done")
    return 0


def _tell_queued(given: Given, task: str) -> None:
    with contextlib.suppress(NotFound):
        if (found := status.find(given.hub, task)).stage in (Stage.WAITING, Stage.QUEUED):
            given.say(f"note: its change {found.key} is {found.stage} still, and may land: agentctl withdraw {task}")


@tasks_group.add_command
@as_command("park", "agentctl task park fix-the-crash\nagentctl task park parser lexer --reason 'after the release'")
@several
@click.option("--reason", default="", help="Why, for whoever wonders.")
@given
def park_command(given: Given, names: tuple[str, ...], reason: str) -> int:
    """Put each TASK aside: nobody works on it until it is opened.

    `agentctl task open TASK` does that. A session that works on it is ended; what it did is salvaged, and counts as no attempt. What
    comes after it is blocked. All are parked, or none.
    """
    in_session.refuse(given.hub, names)
    by = os.environ.get("AGENTCTL_AGENT") or given.hub.person(given.path).name
    why = f"put aside by {by}{': ' + reason if reason else ''}"
    working = stopping.put_aside(given.hub, statuses(given, tasks.survey(given.hub, also=names)), names, why)
    for name in names:
        agent = working.get(name)
        if given.json:
            given.emit({"task": name, "closed": "parked", "reason": why, "stopped": agent})
        _tell_queued(given, name)
        given.say(f"{name}: parked" + (f"; {agent} is told to stop" if agent else ""))
    return 0


@tasks_group.add_command
@as_command("bump", "agentctl task bump fix-the-crash\nagentctl task bump parser lexer --priority 5")
@several
@click.option("--priority", type=click.IntRange(-PRIORITY, PRIORITY), help="The new priority (default: above all others).")
@given
def bump_command(given: Given, names: tuple[str, ...], priority: int | None) -> int:
    """Change the priority of each TASK: of all, or of none.

    A fleet that runs takes it in, and goes by it when it next gives a task to an agent. Sessions
    that run go on. What is in the queue already has a priority of its own: `agentctl queue bump`.
    """
    in_session.refuse(given.hub, names)
    if priority is None:
        others = [t.priority for t in tasks.listed(given.hub).values() if t.id not in names and not t.closed]
        priority = min(PRIORITY, max([0, *others]) + 1)
    tasks.change_all(given.hub, names, f"priority {priority}", lambda t: replace(t, priority=priority))
    for name in names:
        if given.json:
            given.emit({"task": name, "priority": priority})
        given.say(f"{name}: priority {priority}")
    return 0


@tasks_group.add_command
@as_command("block", "agentctl task block 'The tests need a key for the payment service'")
@click.argument("reason", nargs=-1, required=True)
@given
def block_command(given: Given, reason: tuple[str, ...]) -> int:
    """Say as an agent, in its session, that it needs a person.

    The session is over: what it has is salvaged and never handed in, it counts as no attempt,
    and the task is parked with REASON until a person opens it again. An agent that cannot run
    this writes REASON to the file `blocked` in the folder $AGENTCTL_SESSION. In an agent's
    worktree this does the same for the task that the agent works on, or worked on last.
    """
    why = " ".join(" ".join(reason).split())
    if not why:
        raise UsageError("the reason is empty", hint="agentctl task block 'What only a person can do'")
    agent, task = blocking.block(given.hub, why)
    if given.json:
        given.emit({"agent": agent, "task": task, "reason": why})
    given.say(f"{task or agent}: blocked; end the session now, a person is asked")
    return 0


command = tasks_group
