"""agentctl task: the work to be done."""

from __future__ import annotations

import time

import click

from agentctl.commands import task_orders
from agentctl.core import refnames
from agentctl.core.notices import passed_over
from agentctl.core.policy import roles
from agentctl.core.queue.request import PRIORITY
from agentctl.core.tasks import live_list, task_list
from agentctl.core.tasks.live_list import HeldUp
from agentctl.core.tasks.task import Status, Task
from agentctl.core.text.json_form import Plain, facts, replace
from agentctl.core.text.printable import printable
from agentctl.errors import UsageError
from agentctl.fleet import in_session
from agentctl.fleet.logs import sessions_of_task
from agentctl.hub import tasks
from agentctl.hub.standing import statuses
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
    where = statuses(given.hub, given.seen.tip, found)
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


@tasks_group.add_command
@as_command("show", "agentctl task show fix-the-crash")
@click.argument("task")
@given
def show_command(given: Given, task: str) -> int:
    """Show a task: its text, its sessions and where it stands."""
    found = tasks.get(given.hub, task)
    known = tasks.survey(given.hub, also=[task])
    where = statuses(given.hub, given.seen.tip, known)
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
    logged = sessions_of_task(given.hub, found.id)
    for s in found.sessions:
        rev = f" as {found.id}/{s.revision}" if s.revision else ""
        fault = f" ({s.failure.kind}: no attempt)" if s.failure else ""
        spent = f"  {s.spent}" if str(s.spent) else ""
        given.say(f"session {s.generation}  {s.agent}  {s.seconds:.1f} s{spent}  {s.end}{rev}{fault}  {printable(s.note, 1000)}")
        if s.salvage and given.hub.refs.get(s.salvage):
            given.say(f"  what it left: agentctl salvage show {s.salvage.removeprefix(refnames.SALVAGE)}")
        if s.generation in logged:
            given.say(f"  what it printed: agentctl logs {found.id}/{s.generation}")
    if total := str(found.spent):
        given.say(f"\nspent: {total}")
    if found.revision:
        given.say(f"\nits change: agentctl why {found.id}")
    if where[task] in (Status.BLOCKED, Status.READY, Status.WORKING, Status.SUBMITTED):
        given.tell_held_up()
    return 0


for order in (
    task_orders.open_command,
    task_orders.done_command,
    task_orders.park_command,
    task_orders.bump_command,
    task_orders.block_command,
):
    tasks_group.add_command(order)

command = tasks_group
