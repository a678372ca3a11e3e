"""agentctl test: run the gate on this worktree's files merged with trunk."""

from __future__ import annotations

import time

import click

from agentctl.bot.stage import Built, Stager
from agentctl.core.policy.policy import parts
from agentctl.core.queue.model import Change, Verdict
from agentctl.core.queue.records import Queued, Work
from agentctl.core.text.json_form import facts
from agentctl.core.text.printable import uncoloured
from agentctl.errors import GateSaidNo, Infrastructure, MergeConflict
from agentctl.fleet import agents
from agentctl.gate import judging
from agentctl.git import checkouts, worktrees
from agentctl.hub import verdicts
from agentctl.messages import quoted
from agentctl.terminal.parser import Given, as_command, given


@as_command("test", "agentctl test\nagentctl test HEAD~1")
@click.argument("commit", required=False)
@click.option("--again", is_flag=True, help="Run the gate although this tree has passed before.")
@given
def command(given: Given, commit: str | None, again: bool) -> int:
    """Run the gate on this worktree's files, or on COMMIT, with trunk.

    The files are taken as they are, uncommitted ones too, and merged with trunk. Gates that
    passed before on these very files, or on the paths that they name, are not run. What they say
    here is for whoever asks, and is shared with others who call this; it proves nothing to the
    bot, which tests in an environment of its own whatever is submitted. Exit status 7 if the
    gate fails, 6 for a conflict.
    """
    hub, policy, tip = given.hub, given.policy, given.tip
    head = hub.commit_of(commit) if commit else _files(given)
    base = hub.git("merge-base", tip, head)
    record = Queued(Change("test", 1, head, "test", 0, float(int(time.time()))), Work(base))
    built = Stager(hub, policy.strategy).chain(tip, [record])
    if built.conflicts and built.conflicts[0].merged.nothing:
        built = Built(tip, hub.objects.commit(tip).tree, ())
    if built.conflicts:
        merged = built.conflicts[0].merged
        paths = ", ".join((merged.conflicts or merged.same)[:5])
        raise MergeConflict(f"conflicts with trunk in {paths}", hint=f"git rebase {quoted(policy.trunk)}")
    known = None if again else verdicts.passed(hub, policy, built.commit, time.time(), hints=True)
    if not known:
        done = frozenset() if again else verdicts.passed_parts(hub, policy, built.tree, hints=True)
        names = {name for part in parts(policy) if part.fingerprint not in done for name in part.gates}
        given.note(f"testing {built.tree[:12]}: {', '.join(g.name for g in policy.gates if g.name in names)}")
        known = judging.once(hub, policy, built.commit, done, tip)
        verdicts.store(hub, [known], time.time(), hints=True)
    return _report(given, known)


def _files(given: Given) -> str:
    """Return a commit with the files of the folder that the caller stands in; trunk's tip if it is no checkout."""
    hub = given.hub
    if hub.agent:
        tree = worktrees.of_agent(hub, hub.agent)
        with agents.found(hub, hub.agent, tree, given.tip, "test\n") as there:
            return there.whole
    found = checkouts.at(hub, hub.top) if hub.top else None
    return found.snapshot("test\n", time.time(), hub.person(given.path)) if found else given.tip


def _report(given: Given, judgement: verdicts.Judgement) -> int:
    if given.json:
        given.emit(facts(judgement))
    if judgement.verdict == Verdict.PASSED:
        given.say(f"passed: tree {judgement.tree[:12]} in {judgement.seconds:.1f} s")
        return 0
    given.say(uncoloured(judgement.log).rstrip())
    kind = GateSaidNo if judgement.verdict == Verdict.FAILED else Infrastructure
    raise kind(judgement.why, hint="mend it, then: agentctl test")
