"""The evidence of a rejection: a failed and a passed verdict of one gate, the one in force."""

import re
import subprocess
import time

from agentctl.bot.rejection import convict
from agentctl.core.queue import events
from agentctl.core.queue.events import Staged
from agentctl.core.queue.model import Certificate, Probe, Verdict
from agentctl.hub import marks, verdicts
from agentctl.hub.verdicts import Judgement
from tests.support.hub import command, environment, policy, until

INFERENCE = policy().replace("queue:\n", "queue:\n  rejection: inference\n")


def failed_with(bot, *keys):
    """A turn in which a probe of these changes, on the present trunk, is known to have failed."""
    turn = bot.begin_turn(time.time())
    base = turn.state.trunk
    built = bot.stager.chain(base, turn.members(keys))
    staged = Staged(Probe(99, base, keys, len(keys), "both"), built.commit, built.tree, built.landing, bot.gate)
    verdicts.store(bot.hub, [Judgement(Verdict.FAILED, built.tree, built.commit, bot.gate, 1.0, 1.0, why="found a bug")], 1.0)
    turn.happen(events.ProbeBegun(staged))
    turn.happen(events.Probed(staged.probe, Verdict.FAILED, staged.tree, staged.gate))
    return turn, staged


def queued(repo, bot, **files):
    for name, text in files.items():
        repo.submit(name, {f"{name}.txt": text})
    until(bot, lambda: {f"{name}/1" for name in files} <= bot.state.queue.keys())


def test_a_trunk_that_only_another_gate_passed_is_no_evidence(make_repo):
    repo = make_repo(files={".agentctl/policy.yaml": INFERENCE})
    with repo.bot() as bot:
        until(bot, lambda: bot.idle)
        queued(repo, bot, x="SLOW\n", a="a\n")
        turn, staged = failed_with(bot, "x/1", "a/1")
        base = repo.hub.objects.commit(turn.state.trunk).tree
        # The other change has landed since, and what trunk is now passed under another gate alone.
        new = repo.push({"a.txt": "a\n"})
        turn.happen(events.Adopted(turn.state.trunk, new))
        convict(turn, Certificate("x/1", 99, "by inference"), bot.gate)
        bot.end_turn(turn)
    assert repo.record("x").reason.passed == base
    repo.proven()


def test_a_failure_under_a_gate_that_is_not_in_force_convicts_nobody(make_repo):
    repo = make_repo(files={".agentctl/policy.yaml": INFERENCE})
    with repo.bot() as bot:
        until(bot, lambda: bot.idle)
        queued(repo, bot, x="SLOW\n", a="a\n")
        turn, _ = failed_with(bot, "x/1", "a/1")
        for key in ("x/1", "a/1"):
            convict(turn, Certificate(key, 99, "by inference"), "another")
        assert len(turn.state.queue) == 2 and turn.state.failed == () and turn.state.memory == b""


def test_a_failure_whose_verdict_is_gone_convicts_nobody(make_repo):
    # Whoever wants everything tested anew may have the bot take it so that there are no verdicts.
    repo = make_repo(files={".agentctl/policy.yaml": INFERENCE})
    with repo.bot() as bot:
        until(bot, lambda: bot.idle)
        queued(repo, bot, x="SLOW\n", a="a\n")
        turn, staged = failed_with(bot, "x/1", "a/1")
        repo.git("update-ref", "-d", "refs/agentctl/verdicts")
        marks.accept(repo.hub, "refs/agentctl/verdicts")
        tree = repo.hub.objects.commit(staged.probe.base).tree
        verdicts.store(bot.hub, [Judgement(Verdict.PASSED, tree, staged.probe.base, bot.gate, 1.0, 1.0)], 1.0)
        convict(turn, Certificate("x/1", 99, "by inference"), bot.gate)
        assert "x/1" in turn.state.queue and turn.state.failed == ()


def test_what_why_says_to_do_next_works_as_it_stands(repo):
    repo.submit("bad", {"bad.txt": "BUG\n"})
    repo.drain()
    repo.push({"other.txt": "other\n"})
    step = repo.cli("why", "bad").stdout.rpartition("next: ")[2]
    switch, submit = re.search(r"\((git switch .*) has its commits\), then: (.*)$", step).groups()
    agentctl = " ".join(map(str, command()))
    for words in (switch, "echo good >bad.txt; git commit -qam mended", submit.replace("agentctl", agentctl)):
        subprocess.run(words, shell=True, cwd=repo.path, env=environment(), check=True, capture_output=True)
    repo.drain()
    assert repo.stages() == {"bad/1": "rejected", "bad/2": "landed"}
    # What was withdrawn comes back by what is said there, too.
    repo.submit("two", {"two.txt": "two\n"})
    repo.cli("queue", "pause")
    repo.cli("withdraw", "two")
    repo.drain()
    again = repo.cli("why", "two").stdout.rpartition("next: ")[2].partition(" puts it")[0]
    repo.cli(*again.split()[1:])
    repo.cli("queue", "resume")
    repo.drain()
    assert repo.stage("two") == "landed"
