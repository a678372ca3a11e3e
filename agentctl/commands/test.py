"""agentctl test: run the gate on this worktree's files merged with trunk."""

from __future__ import annotations

import time
from dataclasses import asdict

import click

from agentctl import signals
from agentctl.commands.parser import Given, command, given
from agentctl.core.ledger import Record
from agentctl.core.model import Change, Verdict
from agentctl.core.policy import parts
from agentctl.errors import GateFailed, Infrastructure, MergeConflict
from agentctl.git import worktrees
from agentctl.queue import gate, verdicts
from agentctl.queue.stage import Built, Stager


@command("test", "agentctl test\nagentctl test HEAD~1")
@click.argument("commit", required=False)
@click.option("--again", is_flag=True, help="Run the gate although this tree has passed before.")
@given
def command(given: Given, commit: str | None, again: bool) -> int:
    """Run the gate on this worktree's files, or on COMMIT, with trunk.

    The files are taken as they are, uncommitted ones too, and merged with trunk. Gates that
    passed before on these very files, or on the paths that they name, are not run. The verdict
    is shared with the bot: what passed here is not tested again when it is submitted and trunk
    has not moved. Exit status 7 if the gate fails, 6 for a conflict.
    """
    hub, policy, tip = given.hub, given.policy, given.tip
    head = hub.commit_of(commit) if commit else _files(given)
    base = hub.git("merge-base", tip, head)
    record = Record(Change("test", 1, head, "test", 0, float(int(time.time()))), base)
    built = Stager(hub, policy.strategy).chain(tip, [record])
    if built.conflicts and built.conflicts[0].merged.nothing:
        built = Built(tip, hub.objects.commit(tip).tree, ())
    if built.conflicts:
        merged = built.conflicts[0].merged
        paths = ", ".join((merged.conflicts or merged.same)[:5])
        raise MergeConflict(f"conflicts with trunk in {paths}", hint=f"git rebase {policy.trunk}")
    known = None if again else verdicts.passed(hub, policy, built.commit, time.time())
    if not known:
        done = frozenset() if again else verdicts.passed_parts(hub, policy, built.tree)
        names = {name for part in parts(policy) if part.fingerprint not in done for name in part.gates}
        given.note(f"testing {built.tree[:12]}: {', '.join(g.name for g in policy.gates if g.name in names)}")
        runs = gate.Runs()
        try:
            known = gate.judge(hub, policy, runs, built.commit, done, tip)
        finally:
            with signals.held():
                runs.stop()
                gate.remove_slots(hub)
        verdicts.store(hub, [known], time.time())
    return _report(given, known)


def _files(given: Given) -> str:
    tree = worktrees.at(given.hub, given.hub.top) if given.hub.top else None
    if not tree:
        return given.tip
    return worktrees.snapshot(given.hub, tree, "test\n", time.time(), given.hub.person(given.path)) \
        if worktrees.dirty(tree) else tree.head()


def _report(given: Given, judgement: verdicts.Judgement) -> int:
    if given.json:
        given.emit(asdict(judgement))
    if judgement.verdict == Verdict.PASSED:
        given.say(f"passed: tree {judgement.tree[:12]} in {judgement.seconds:.1f} s")
        return 0
    given.say(judgement.log.rstrip())
    kind = GateFailed if judgement.verdict == Verdict.FAILED else Infrastructure
    raise kind(judgement.why, hint="mend it, then: agentctl test")
