"""agentctl task open, done, park, bump and block: what becomes of tasks that there are."""

from __future__ import annotations

import contextlib
import os

import click

from agentctl.core.queue.lifecycle import Stage
from agentctl.core.queue.request import PRIORITY
from agentctl.core.tasks import reviewing
from agentctl.core.tasks.task import Status, Task
from agentctl.core.text.json_form import replace
from agentctl.errors import NotFound, Refused, UsageError
from agentctl.fleet import blocking, in_session, planning, reviews, session_folder, stopping
from agentctl.hub import handed_in, status, tasks
from agentctl.hub.standing import statuses
from agentctl.messages import some
from agentctl.terminal.parser import Given, as_command, given


def _once(ctx: click.Context, param: click.Parameter, names: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(names))


several = click.argument("names", nargs=-1, required=True, metavar="TASK...", callback=_once)
"""The tasks that a command is about, each once."""


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
    where = statuses(given.hub, given.seen.tip, tasks.survey(given.hub, also=names))
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
    working = stopping.put_aside(given.hub, statuses(given.hub, given.seen.tip, tasks.survey(given.hub, also=names)), names, why)
    for name in names:
        agent = working.get(name)
        if given.json:
            given.emit({"task": name, "closed": "parked", "reason": why, "stopped": agent})
        _tell_queued(given, name)
        given.say(f"{name}: parked" + (f"; {agent} is told to stop" if agent else ""))
    return 0


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
