"""agentctl task: the work to be done."""

from __future__ import annotations

import contextlib
import time

import click

from agentctl.core import refnames
from agentctl.core.notices import passed_over
from agentctl.core.queue.lifecycle import Stage
from agentctl.core.queue.records import Landed
from agentctl.core.tasks import task_list
from agentctl.core.tasks.task import Status, Task, standings
from agentctl.core.text.json_form import facts, replace
from agentctl.core.text.printable import printable
from agentctl.errors import NotFound, Refused, UsageError
from agentctl.hub import landed, status, tasks
from agentctl.hub.ledger import Ledger
from agentctl.hub.tasks import Survey
from agentctl.messages import aligned
from agentctl.terminal.parser import Given, as_command, given, group, read_input


@group(
    "task",
    """
agentctl task add 'Fix the crash on empty input'
agentctl task add --file tasks.yaml
agentctl task list
agentctl task show fix-the-crash-on-empty-input
agentctl task done fix-the-crash-on-empty-input
agentctl task open fix-the-crash-on-empty-input
""",
)
def tasks_group() -> None:
    """Add, list, show, close and reopen tasks."""


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
@click.option("--file", "file", type=click.Path(), help="A YAML list of tasks (- for standard input).")
@click.option("--id", "name", help="Its name (default: made from its first line).")
@click.option("--acceptance", default="", help="When it is done.")
@click.option("--after", multiple=True, metavar="TASK", help="A task that must land first; may be repeated.")
@click.option("--priority", type=int, default=0, help="Higher goes first.")
@click.option("--paths", multiple=True, metavar="GLOB", help="Where the work lies; may be repeated.")
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
) -> int:
    """Add a task from TEXT, or many from a file.

    A TEXT of - is read from standard input.
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
    chosen = name or refnames.slug(title)
    if not refnames.valid_name(chosen):
        raise UsageError(f"{chosen!r} cannot be the name of a task", hint="give one with --id")
    known = tasks.all_tasks(hub)
    for other in after:
        if other not in known:
            raise UsageError(f"--after {other}: there is no such task", hint="agentctl task list")
    return _added(given, [Task(chosen, title, prompt, acceptance, after, priority, paths, time.time())])


def add_list(given: Given, file: str) -> int:
    return _added(given, read_list(given, file))


def read_list(given: Given, file: str) -> list[Task]:
    """Return the tasks of a YAML file, ready to be added.

    Raises PolicyError that names each bad line, and UsageError if the file cannot be read.
    """
    try:
        text = read_input() if file == "-" else _content(file)
    except UnicodeDecodeError as error:
        raise UsageError(f"{file}: not UTF-8: {error}") from None
    except OSError as error:
        raise UsageError(f"{file}: {error.strerror}") from None
    known = frozenset(tasks.all_tasks(given.hub))
    now = time.time()
    return [replace(task, created=now + n / 1000) for n, task in enumerate(task_list.parse(text, file, known))]


def _content(path: str) -> str:
    with open(path, encoding="utf-8") as file:
        return file.read()


def _added(given: Given, listed: list[Task]) -> int:
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
    """List tasks and where each stands."""
    found = tasks.survey(given.hub)
    where = statuses(given, found)
    shown = [t for t in found.tasks.values() if not wanted or where[t.id] == wanted]
    if given.json:
        given.emit([facts(t) | {"status": where[t.id]} for t in shown])
        return 0
    for line in aligned([(where[task.id], task.id, printable(task.title)) for task in shown]):
        given.say(line, hang=11)
    for notice in passed_over(found.passed_over):
        given.say(f"note: {notice.how}")
    return 0


def statuses(given: Given, found: Survey) -> dict[str, Status]:
    """Return where each task stands now."""
    ledger = Ledger.read(given.hub)
    newest = {name: record for name, task in found.tasks.items() if (record := tasks.newest(ledger, task))}
    away = landed.gone(given.hub, given.tip, [r.commit for r in newest.values() if isinstance(r, Landed)])
    gone = {name for name, record in newest.items() if isinstance(record, Landed) and record.commit in away}
    return standings(found.tasks, {name: claim for name, (claim, _) in found.claims.items()}, newest, gone)


@tasks_group.add_command
@as_command("show", "agentctl task show fix-the-crash")
@click.argument("task")
@given
def show_command(given: Given, task: str) -> int:
    """Show a task: its text, its sessions and where it stands."""
    found = tasks.get(given.hub, task)
    where = statuses(given, tasks.survey(given.hub))[task]
    if given.json:
        given.emit(facts(found) | {"status": where})
        return 0
    given.say(f"{found.id}: {where}{' (' + printable(found.reason, 1000) + ')' if found.reason else ''}")
    for label, value in (
        ("title", found.title),
        ("after", ", ".join(found.after)),
        ("priority", found.priority),
        ("paths", " ".join(found.paths)),
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
    return 0


@tasks_group.add_command
@as_command("open", "agentctl task open fix-the-crash")
@click.argument("task")
@given
def open_command(given: Given, task: str) -> int:
    """Offer a parked or closed task again, with all its attempts."""
    tasks.change(given.hub, task, "opened again", lambda t: t.open())
    if given.json:
        given.emit({"task": task, "closed": ""})
    given.say(f"{task}: open")
    return 0


@tasks_group.add_command
@as_command("done", "agentctl task done fix-the-crash\nagentctl task done fix-the-crash --reason 'no longer wanted'")
@click.argument("task")
@click.option("--reason", default="", help="Why, for the record.")
@given
def done_command(given: Given, task: str, reason: str) -> int:
    """Close a task by hand: nobody works on it any more."""
    claim = tasks.held(given.hub, task)
    if claim:
        raise Refused(f"{claim.agent} is working on {task}", hint=f"agentctl stop {claim.agent}, then again")
    tasks.change(given.hub, task, f"done: {reason}" if reason else "done", lambda t: replace(t, closed="done", reason=reason))
    if given.json:
        given.emit({"task": task, "closed": "done", "reason": reason})
    with contextlib.suppress(NotFound):
        if (found := status.find(given.hub, task)).stage in (Stage.WAITING, Stage.QUEUED):
            given.say(f"note: its change {found.key} is {found.stage} still, and may land: agentctl withdraw {task}")
    given.say(f"{task}: done")
    return 0


command = tasks_group
