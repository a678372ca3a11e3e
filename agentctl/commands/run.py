"""agentctl run: the main job, for which a fleet and the bot run on a list of tasks."""

from __future__ import annotations

import contextlib
import os
import re
import time
from collections.abc import Callable, Iterator

import click

from agentctl import signals
from agentctl.cluster import chosen
from agentctl.commands.task import read_list, read_text
from agentctl.core import refnames
from agentctl.core.notices import Told
from agentctl.core.policy.policy import Policy, duration
from agentctl.core.policy.schema_kinds import VARIABLE
from agentctl.core.tasks.task import Task
from agentctl.core.text.json_form import facts, replace
from agentctl.errors import NotFound, UsageError
from agentctl.fleet import in_session
from agentctl.fleet.crew import Crew
from agentctl.fleet.supervisor import Fleet
from agentctl.harness import loop
from agentctl.harness.loop import RunOutcome, RunPlan
from agentctl.harness.seat import Seat
from agentctl.hub import tasks
from agentctl.hub.policy_file import read_policy
from agentctl.terminal import agent_program
from agentctl.terminal.narrator import Narrator
from agentctl.terminal.parser import Given, as_command, given


@as_command(
    "run",
    """
agentctl run tasks.yaml --agents 8
agentctl run --agents 4 -- claude -p '{prompt}' --permission-mode bypassPermissions
agentctl run tasks.yaml --agents 2 -- ./my-agent.sh
agentctl run --goal GOAL.md --adapter claude
agentctl run tasks.yaml --adapter claude --model opus --budget money=20 --budget time=8h
""",
)
@click.argument("words", nargs=-1, type=click.UNPROCESSED, metavar="[TASKS] [-- CMD...]")
@click.option(
    "-n", "--agents", type=click.IntRange(1, 10_000), help="How many agents (default: what scale said, else the policy's)."
)
@click.option("--adapter", help="How to call the agent (default: the policy's).")
@click.option("--attempts", type=click.IntRange(1), help="Tries a task before it is parked.")
@click.option("--slots", type=click.IntRange(1, 256), help="Gates that run at a time.")
@click.option("--batch", type=click.IntRange(1), help="Most changes in one probe.")
@click.option("--model", help="The model that the agent uses (default: the policy's).")
@click.option("-e", "--env", multiple=True, metavar="NAME[=VALUE]", help="Give agents a variable (default: its value here).")
@click.option(
    "--budget",
    multiple=True,
    metavar="KIND=N",
    help="End all when turns, tokens, money (US dollars) or the agents' time together is used up.",
)
@click.option("--goal", metavar="FILE", help="Begin with one task: a planner is to reach the goal that FILE describes.")
@click.option("--keep", is_flag=True, help="Leave the agents' worktrees.")
@click.option(
    "--engine", metavar="ADDRESS", help="Run gates and sessions on a Dask cluster (default: agentctl.engine, or local)."
)
@click.option("--no-bot", is_flag=True, help="Of a hub on a remote: leave the queue to a bot elsewhere.")
@given
@click.pass_context
def command(
    ctx: click.Context,
    given: Given,
    words: tuple[str, ...],
    agents: int | None,
    adapter: str | None,
    attempts: int | None,
    slots: int | None,
    batch: int | None,
    model: str | None,
    env: tuple[str, ...],
    budget: tuple[str, ...],
    goal: str | None,
    keep: bool,
    engine: str | None,
    no_bot: bool,
) -> int:
    """Run agents and the queue until every task landed or is parked.

    TASKS is a YAML list of tasks (agentctl help tasks); those not there yet are added. Without it, the tasks
    there are. What is added, opened or bumped while it runs is worked on, too; a task that is
    parked is not, and what comes after it waits, as a change does whose review is parked: when
    nothing else is left, the run ends. What the policy of trunk says of agents counts from the
    next session on. The command after -- is the agent: it gets the prompt on standard input, in
    $AGENTCTL_PROMPT_FILE, and in place of {prompt} or {prompt_file}. A program such as
    ./my-agent.sh is the one where you are; if there is none, that of the agent's worktree. A
    failure that hits all agents, such as a refused key or a rate limit, counts against no task:
    nothing starts for a while, and then one session is tried, until they can work again. Exit
    status 0 only if every task landed; run again after any interruption and it goes on.
    """
    in_session.refuse(given.hub)
    if no_bot and not given.hub.station:
        raise UsageError("--no-bot is for a hub on a remote: here nothing else would land", hint="agentctl init --remote NAME")
    file, argv = split(words)
    if file and goal:
        raise UsageError("give TASKS or --goal, not both")
    limits, typed = dict(map(_limit, budget)), agent_program.Typed(argv, adapter, model, dict(map(_variable, env)))

    def by_trunk(tip: str) -> tuple[Policy, Crew]:
        policy = read_policy(given.hub, tip)
        settings = policy.agents
        budgets = replace(settings.budget, fleet=replace(settings.budget.fleet, **limits))
        tuned = replace(settings, attempts=attempts or settings.attempts, budget=budgets)
        program, by_role = agent_program.chosen(given, tip, tuned, typed), agent_program.by_role(given, tip, tuned, typed)
        return replace(policy, agents=program.settings), Crew(agents, program.argv, program.stdin, by_role)

    policy, crew = by_trunk(given.tip)
    only = add_missing(given, file) if file else frozenset({add_goal(given, goal)}) if goal else None
    if not (only or tasks.names(given.hub)):
        raise NotFound("there are no tasks", hint="agentctl task add 'What is to be done'")
    with chosen.engine(given.hub, engine) as (gates, sessions):
        job = RunPlan(crew, policy, only, slots, batch, keep, not no_bot, gates, sessions, by_trunk)
        return run(given, job)


def add_goal(given: Given, file: str) -> str:
    """Add a planner's task for the goal that a file describes, unless it is there already, and return its id."""
    text = read_text(file)
    if not text.strip():
        raise UsageError(f"{file}: the goal has no text")
    title = text.strip().splitlines()[0].lstrip("# ").strip()[:100]
    task = Task(refnames.of_title(f"goal-{title}"), title, text, role="planner", created=time.time())
    tasks.add(given.hub, [task])
    return task.id


def _variable(text: str) -> tuple[str, str]:
    """Return the name and the value of NAME=VALUE, or of a NAME with the value that it has here; raise UsageError."""
    name, given, value = text.partition("=")
    if not re.fullmatch(VARIABLE, name):
        raise UsageError(f"--env {text}: not the name of a variable", hint="--env NAME=VALUE, or --env NAME for its value here")
    if not given and name not in os.environ:
        raise UsageError(f"--env {name}: there is no such variable here", hint=f"--env {name}=VALUE")
    return name, value if given else os.environ[name]


def _limit(text: str) -> tuple[str, float]:
    """Return the kind and the number of one part of a budget, such as money=20 or time=8h; raise UsageError."""
    kind, _, amount = text.partition("=")
    try:
        if kind == "time":
            return kind, duration(amount)
        if kind in ("turns", "tokens") and int(amount) > 0:
            return kind, int(amount)
        if kind == "money" and 0 < float(amount) < float("inf"):
            return kind, float(amount)
    except ValueError:
        pass
    raise UsageError(f"--budget {text}: not a budget", hint="--budget money=20, tokens=5000000, turns=1000 or time=8h")


def split(words: tuple[str, ...]) -> tuple[str | None, tuple[str, ...]]:
    """Split the words of `[TASKS] [-- CMD...]` into (task file, command).

    The first word is the task file if it ends with .yaml or .yml, is `-`, or is a file that is no program. The `--`
    is not among the words, because click has removed it.
    """
    if words and (words[0].endswith((".yaml", ".yml")) or words[0] == "-" or _is_list(words[0])):
        return words[0], words[1:]
    return None, words


def _is_list(path: str) -> bool:
    """Tell whether `path` is a file and no program: neither executable nor a script that begins with `#!`."""
    if not os.path.isfile(path) or os.access(path, os.X_OK):
        return False
    with open(path, "rb") as file:
        return file.read(2) != b"#!"


def add_missing(given: Given, file: str) -> frozenset[str]:
    """Add the tasks of a file that do not exist yet, and return the ids of all tasks in it.

    A task that cannot be added because something else stands in the place of its ref is left out; the fleet names it.
    """
    listed = read_list(given, file)
    found = tasks.survey(given.hub, also={task.id for task in listed})
    new = [task for task in listed if task.id not in found.tasks and not found.spoilt(task.id)]
    if new:
        tasks.add(given.hub, new)
    return frozenset(task.id for task in listed)


def run(given: Given, job: RunPlan) -> int:
    """Run fleet and bot to the end, and return 0 if every task landed, 7 if not."""
    try:
        outcome = watched(given, job)
    except KeyboardInterrupt:
        rest = "" if job.only is None else "; agentctl run without a list goes on with all tasks that are open"
        given.note(f"agentctl: stopped; nothing is lost, and the same command goes on from here{rest}")
        raise
    report(given, outcome)
    return 0 if outcome.summary.complete else 7


def watched(given: Given, job: RunPlan, also: Callable[[Told], None] = lambda event: None) -> RunOutcome:
    """Run fleet and bot and show on the terminal what happens; `also` is given every event, too."""
    from agentctl.terminal.live import view

    narrator = Narrator(given)

    def tell(event: Told) -> None:
        also(event)
        narrator.tell(event)

    @contextlib.contextmanager
    def watch(fleet: Fleet, seat: Seat) -> Iterator[Callable[[], None]]:
        try:
            with view(given, narrator, fleet, lambda: seat.bot) as refresh:
                yield refresh
        finally:
            if signals.heard():
                given.note("agentctl: stopping; the agents' work is made safe")

    return loop.run(given.hub, given.trunk, job, tell, watch)


def report(given: Given, outcome: RunOutcome) -> None:
    if given.json:
        given.emit(
            {"kind": "summary", **facts(outcome.summary), "parked_tasks": outcome.parked, "blocked_tasks": outcome.blocked}
        )
        return
    given.say()
    for line in outcome.summary.lines:
        given.say(line, hang=12)
    for status, left in (("parked", outcome.parked), ("blocked", outcome.blocked)):
        for name, reason in sorted(left.items()):
            given.say(f"{status:<12}{name}: {reason}", hang=12)
    if outcome.parked:
        given.say(
            "hint: agentctl task show TASK tells more; agentctl task open TASK offers it again, and what comes after it", hang=6
        )
