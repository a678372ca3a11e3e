"""agentctl replay: a repository's own history as tasks for scripted agents."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass

import click

from agentctl.commands import tune
from agentctl.core.policy.policy import Policy, parse
from agentctl.core.text.json_form import facts, replace
from agentctl.errors import UsageError
from agentctl.git.repository import Hub, find
from agentctl.replay import table
from agentctl.replay.forecast import Asked, forecast
from agentctl.replay.prepare import GateTrials, Prepared, Progress, prepare
from agentctl.replay.replay import ReplayOutcome, begin, cast, make_hub, outcome
from agentctl.terminal.parser import Duration, Given, as_command, given

ATTEMPTS = 50


@dataclass(frozen=True)
class Mode:
    """How one replay is run."""

    agents: int
    slots: int
    batch: int | None = None


@as_command(
    "replay",
    """
agentctl replay . v1.0..v1.1 --gate 'make test'
agentctl replay ~/src/h11 A^..B --gate 'python -m pytest -q h11' --agents 8 --bad 10%
agentctl replay . HEAD~50..HEAD --gate 'make test' --compare
agentctl replay . HEAD~500..HEAD --gate 'make test' --bad 5% --simulate
""",
)
@click.argument("repo", type=click.Path())
@click.argument("range_", metavar="RANGE")
@click.option("--gate", "gate_", metavar="CMD", help="Command that judges a commit, run at its top.")
@click.option("--setup", metavar="CMD", default="", help="Run before the gate; its failure blames nobody.")
@click.option("-n", "--agents", type=click.IntRange(1, 1000), default=8, show_default=True, help="How many agents.")
@click.option("--bad", default="0", metavar="P", help="Share of changes with a bug that the gate catches, as 0.1 or 10%.")
@click.option("--slots", type=click.IntRange(1, 256), default=2, show_default=True, help="Gates that run at a time.")
@click.option("--batch", type=click.IntRange(1), help="Most changes in one probe.")
@click.option("--timeout", type=Duration(), metavar="TIME", default="10m", show_default=True, help="Of the gate, such as 90s.")
@click.option("--limit", type=click.IntRange(1), help="Only the first commits of the range.")
@click.option("--seed", type=int, default=1, show_default=True, help="Which changes are bad.")
@click.option("--compare", is_flag=True, help="Do it a second time one by one: one slot, batches of one.")
@click.option("--simulate", is_flag=True, help="Run one gate only, and say how the queue would do with more slots.")
@click.option("--gate-seconds", type=click.FloatRange(0.001), metavar="S", help="With --simulate: do not even run that one.")
@click.option("--plot", "picture", metavar="FILE", type=click.Path(), help="With --simulate: draw the turnaround as SVG.")
@click.option("--keep", is_flag=True, help="Leave the hubs, to look at.")
@given
def command(
    given: Given,
    repo: str,
    range_: str,
    gate_: str | None,
    setup: str,
    agents: int,
    bad: str,
    slots: int,
    batch: int | None,
    timeout: float,
    limit: int | None,
    seed: int,
    compare: bool,
    simulate: bool,
    gate_seconds: float | None,
    picture: str | None,
    keep: bool,
) -> int:
    """Replay a history as tasks for agents, and compare the end with it.

    Each first-parent commit of RANGE in REPO is a task whose agent puts that commit's
    change on the trunk of the moment, waiting when what it builds on has not landed. A..B
    leaves A out, as in Git; A^..B begins with A, also where A is the very first commit.

    First the gate is tried on each commit; what it says is kept in the user's cache folder,
    for the next time. A commit that it finds red joins the ones after it up to the first
    green one. With --bad, a share of the changes is handed in with a bug at first, and as
    it was only when the gate has rejected that.

    With --simulate no task is run: each commit is a change that some agent has in the queue,
    a share of them bad, and table and plot are those of `agentctl policy tune`.

    REPO is only read. Exit status 0 if all landed, trunk's last tree is the history's, each
    bug was rejected with evidence, and `verify` finds nothing; else 7.
    """
    source, risk = find(repo).git_dir, tune.share("--bad", bad)
    _check_together(gate_, gate_seconds, picture, simulate)
    text, policy = _policy(gate_ or "true", setup, slots, timeout)
    modes = {"as given": Mode(agents, slots, batch)} | ({"one by one": Mode(agents, 1, 1)} if compare else {})
    columns: dict[str, ReplayOutcome] = {}
    with _folder(given, keep) as folder:
        trial = make_hub(source, os.path.join(folder, "trial.git"))
        if simulate:
            found = forecast(
                GateTrials(trial, policy),
                range_,
                Asked(risk, limit, seed, agents, slots, batch, gate_seconds),
                tune.numbers("--slots", tune.SLOTS),
                tune.numbers("--batch", tune.BATCHES),
            )
            tune.report(given, tune.told(found.arrivals, 0.0, agents), found.outcomes, found.now, picture)
            return 0
        plan = prepare(GateTrials(trial, policy), range_, risk, limit, seed, _progress(given))
        given.note(plan.told)
        for name, mode in modes.items():
            hub = make_hub(trial.git_dir, os.path.join(folder, name.replace(" ", "-") + ".git"))
            columns[name] = rehearse(given, hub, text, plan, mode)
        report(given, plan, columns)
    return 0 if all(column.good for column in columns.values()) else 7


def _check_together(gate: str | None, gate_seconds: float | None, picture: str | None, simulate: bool) -> None:
    """Raise UsageError for options that do not go together."""
    if gate is None and not (simulate and gate_seconds):
        raise UsageError("--gate is missing", hint="agentctl replay REPO A..B --gate 'make test'")
    for option, value in (("--gate-seconds", gate_seconds), ("--plot", picture)):
        if value and not simulate:
            raise UsageError(f"{option} goes with --simulate")


def rehearse(given: Given, hub: Hub, policy: str, plan: Prepared, mode: Mode) -> ReplayOutcome:
    """Run the tasks to the end, and compare the result with the history."""
    from agentctl.commands.run import watched
    from agentctl.harness.loop import RunPlan

    begin(hub, plan.base, policy)
    inner = replace(given, path=hub.git_dir)
    crew = cast(hub, plan.pieces, mode.agents)
    ran = watched(inner, RunPlan(crew, parse(policy, "replay"), None, mode.slots, mode.batch))
    return outcome(hub, plan.pieces, ran.summary, ran.parked, ran.tally.deferred)


def _policy(gate: str, setup: str, slots: int, timeout: float) -> tuple[str, Policy]:
    text = json.dumps(
        {
            "version": 1,
            "gates": [{"name": "gate", "run": gate, "timeout": f"{timeout:.3f}s"}],
            "queue": {"slots": slots},
            "slot": {"setup": setup},
            "agents": {"attempts": ATTEMPTS, "timeout": "10m"},
        },
        ensure_ascii=False,
        indent=1,
    )
    return text, parse(text, "replay")


@contextlib.contextmanager
def _folder(given: Given, keep: bool) -> Iterator[str]:
    made = tempfile.mkdtemp(prefix="agentctl-replay-")
    try:
        yield made
    finally:
        if keep:
            given.note(f"kept: {made}")
            if given.json:
                given.emit({"kind": "kept", "folder": made})
        else:
            shutil.rmtree(made, ignore_errors=True)


def _progress(given: Given) -> Progress:
    """Return a function that tells of each trial on a terminal, and elsewhere of every twentieth and the last."""
    live = sys.stderr.isatty()

    def tell(done: int, count: int) -> None:
        if live or done % 20 == 0 or done == count:
            given.note(f"trying the gate: {done} of {count}", "\r" if live and done < count else "\n")

    return tell


def report(given: Given, plan: Prepared, columns: dict[str, ReplayOutcome]) -> None:
    if given.json:
        given.emit(
            {
                "kind": "replay",
                "commits": plan.commits,
                "told": plan.told,
                "tasks": len(plan.pieces),
                **{name.replace(" ", "_"): facts(o) | {"good": o.good} for name, o in columns.items()},
            }
        )
        return
    given.say()
    given.show("\n".join([plan.told, *table.lines(columns)]))
