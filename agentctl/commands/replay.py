"""agentctl replay: a repository's own history as tasks for scripted agents."""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
from dataclasses import asdict, dataclass

import click

from agentctl.commands.parser import Given, command, given
from agentctl.core.policy import Policy, parse
from agentctl.core.units import duration
from agentctl.errors import Infrastructure, NotFound, UsageError
from agentctl.git.objects import EMPTY_TREE
from agentctl.replay import history
from agentctl.replay.history import Piece
from agentctl.replay.prepare import Tried, injected
from agentctl.replay.rehearsal import Outcome, begin, make_hub, rehearse

ATTEMPTS = 50


@command("replay", """
agentctl replay . v1.0..v1.1 --gate 'make test'
agentctl replay ~/src/h11 A^..B --gate 'python -m pytest -q h11' --agents 8 --bad 10%
agentctl replay . HEAD~50..HEAD --gate 'make test' --compare
""")
@click.argument("repo", type=click.Path())
@click.argument("range_", metavar="RANGE")
@click.option("--gate", "gate_", required=True, metavar="CMD", help="Command that judges a commit, run at its top.")
@click.option("-n", "--agents", type=click.IntRange(1, 1000), default=8, show_default=True, help="How many agents.")
@click.option("--bad", default="0", metavar="P", help="Share of changes with a bug that the gate catches, as 0.1 or 10%.")
@click.option("--slots", type=click.IntRange(1, 256), default=2, show_default=True, help="Gates that run at a time.")
@click.option("--batch", type=click.IntRange(1), help="Most changes in one probe.")
@click.option("--timeout", default="10m", show_default=True, help="Of the gate.")
@click.option("--limit", type=click.IntRange(1), help="Only the first commits of the range.")
@click.option("--seed", type=int, default=1, show_default=True, help="Which changes are bad.")
@click.option("--compare", is_flag=True, help="Do it a second time one by one: one slot, batches of one.")
@click.option("--keep", is_flag=True, help="Leave the hub, to look at.")
@given
def command(given: Given, repo, range_, gate_, agents, bad, slots, batch, timeout, limit, seed, compare, keep) -> int:
    """Replay a history as tasks for agents, and compare the end with it.

    Each first-parent commit of RANGE in REPO is a task whose agent puts that commit's change on the trunk of the moment,
    waiting when what it builds on has not landed. A commit that the gate finds red joins
    the ones after it up to the first green one. REPO is only read. Exit status 0 if all
    landed, trunk's last tree is the history's, each bug was rejected with evidence, and
    `verify` finds nothing.
    """
    if not os.path.isdir(repo):
        raise NotFound(f"no such folder: {repo}", hint="agentctl replay REPO A..B --gate CMD")
    policy = _policy(gate_, slots, timeout)
    work = tempfile.mkdtemp(prefix="agentctl-replay-")
    try:
        plan = prepare(given, os.path.abspath(repo), work, range_, policy, _share(bad), limit, seed)
        given.note(plan.told)
        columns = {"as given": _one(given, work, "queue", repo, plan, policy, agents, slots, batch)}
        if compare:
            columns["one by one"] = _one(given, work, "serial", repo, plan, policy, agents, 1, 1)
        report(given, plan, columns)
        return 0 if all(outcome.good for outcome in columns.values()) else 7
    finally:
        if keep:
            given.note(f"kept: {work}")
            if given.json:
                given.emit({"kind": "kept", "folder": work})
        else:
            shutil.rmtree(work, ignore_errors=True)


@dataclass(frozen=True)
class Plan:
    base: str
    """Tree that trunk begins with."""
    pieces: list[Piece]
    commits: int
    told: str


def _policy(gate: str, slots: int, timeout: str) -> tuple[str, Policy]:
    text = json.dumps({
        "version": 1, "gates": [{"name": "gate", "run": gate, "timeout": timeout}], "queue": {"slots": slots},
        "agents": {"attempts": ATTEMPTS, "timeout": "10m"}}, ensure_ascii=False, indent=1)
    duration(timeout)
    return text, parse(text, "replay")


def _share(text: str) -> float:
    try:
        share = float(text[:-1]) / 100 if text.endswith("%") else float(text)
    except ValueError:
        share = -1.0
    if not 0 <= share <= 1:
        raise UsageError(f"--bad: expected a share such as 0.1 or 10%, not {text!r}")
    return share


def prepare(given: Given, repo: str, work: str, words: str, policy: tuple[str, Policy], share: float,
            limit: int | None, seed: int) -> Plan:
    """Try the gate on the whole range and draw up the tasks."""
    hub = make_hub(repo, os.path.join(work, "trial.git"))
    below, commits = history.commits_of(hub, words)
    commits = commits[:limit]
    base = hub.objects.commit(below).tree if below else EMPTY_TREE
    tried = Tried(hub, policy[1])

    def progress(done: int, count: int) -> None:
        if not (given.quiet or given.json) and (sys.stderr.isatty() or done % 20 == 0 or done == count):
            print(f"trying the gate: {done} of {count}", end="\r" if sys.stderr.isatty() else "\n", file=sys.stderr)

    green = tried.green([base, *(c.tree for c in commits)], progress)
    groups, left = history.group([green[c.tree] for c in commits])
    joined = sum(len(g) > 1 for g in groups)
    if not groups:
        raise Infrastructure("the gate finds every commit of this range red", hint="try it by hand in a checkout")
    if not green[base]:
        base, groups = commits[groups[0][-1]].tree, groups[1:]
    pieces = history.pieces(commits, groups, base)
    pieces = injected(tried, pieces, history.drawn(len(pieces), seed), round(share * len(pieces)), progress)
    told = (f"{len(commits)} commits, {sum(not green[c.tree] for c in commits)} of them red: {len(pieces)} tasks, "
            f"{joined} of several commits, {sum(p.bug is not None for p in pieces)} with a bug"
            + (f"; {len(left)} red commits at the end are left out" if left else ""))
    return Plan(base, pieces, len(commits), told)


def _one(given: Given, work: str, name: str, repo: str, plan: Plan, policy: tuple[str, Policy], agents: int,
         slots: int, batch: int | None) -> Outcome:
    hub = make_hub(os.path.join(work, "trial.git"), os.path.join(work, name + ".git"))
    begin(hub, plan.base, policy[0])
    return rehearse(given, hub, policy[1], plan.pieces, agents, slots, batch)


ROWS = (
    ("landed", lambda o: f"{o.summary.landed} of {o.summary.tasks}"),
    ("rejected", lambda o: str(o.summary.rejected)),
    ("  for a conflict", lambda o: str(o.summary.conflicts)),
    ("  by the gate", lambda o: str(o.summary.rejected - o.summary.conflicts)),
    ("sessions put off", lambda o: str(o.deferred)),
    ("probes", lambda o: str(o.summary.probes)),
    ("probes per landed change", lambda o: f"{o.summary.probes / max(1, o.summary.changes):.2f}"),
    ("seconds", lambda o: f"{o.summary.seconds:.0f}"),
    ("landed an hour", lambda o: f"{o.summary.changes / max(o.summary.seconds, 0.001) * 3600:,.0f}"),
    ("trunk's tree is history's", lambda o: "yes" if not o.differences else f"no: {len(o.differences)} paths"),
    ("bugs rejected with evidence", lambda o: "all" if not o.unseen else f"not {', '.join(o.unseen[:3])}"),
    ("verify", lambda o: "clean" if not o.broken else f"{len(o.broken)} findings"),
)


def report(given: Given, plan: Plan, columns: dict[str, Outcome]) -> None:
    if given.json:
        given.emit({"kind": "replay", "commits": plan.commits, "tasks": len(plan.pieces),
                    **{name.replace(" ", "_"): asdict(o) | {"good": o.good} for name, o in columns.items()}})
        return
    given.say()
    given.say(plan.told)
    given.say(" " * 30 + "".join(f"{name:>16}" for name in columns))
    for label, value in ROWS:
        given.say(f"{label:<30}" + "".join(f"{value(o):>16}" for o in columns.values()))
    for outcome in columns.values():
        for path in outcome.differences[:20]:
            given.say(f"differs: {path}")
        for finding in outcome.broken[:20]:
            given.say(f"broken: {finding}")
        for name, reason in outcome.parked.items():
            given.say(f"parked: {name}: {reason}")
