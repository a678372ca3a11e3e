"""Steering the queue: pause and resume, bump, retry."""

import json

import pytest

from agentctl.git.objects import EMPTY_TREE
from agentctl.hub import marks, pause
from agentctl.hub.ledger import Ledger
from tests.support.hub import finish, told, until


def passed(bot):
    return {key for probe, judgement in bot.judged if judgement.verdict == "passed" for key in probe.chain}


def test_a_paused_queue_tests_and_rejects_but_does_not_land(repo):
    begin = repo.tip
    assert "paused by Tess Tester: release" in repo.cli("queue", "pause", "--reason", "release").stdout
    assert "already" in repo.cli("queue", "pause", ok=5).stderr
    for name in ("one", "two"):
        repo.submit(name, {f"{name}.txt": f"{name}\n"})
    repo.submit("bad", {"bad.txt": "BUG\n"})

    # The bot comes, tests all there is, and waits.
    with repo.bot() as bot:
        until(bot, lambda: bot.halted and "bad/1" not in bot.state.queue)
        assert passed(bot) == {"one/1", "two/1"}
        assert repo.tip == begin and set(bot.state.queue) == {"one/1", "two/1"}
        assert told(bot, "paused") == ["the queue is paused by Tess Tester: release; nothing lands until: agentctl queue resume"]
        assert "nothing lands until" in repo.cli("queue").stdout
        assert "the queue is paused by" in repo.cli("why", "one").stdout

        # What has passed is not run again when it goes on.
        runs = len(bot.judged)
        assert repo.cli("queue", "resume").stdout == "resumed\n"
        finish(bot)
        assert len(bot.judged) <= runs + 1
        assert told(bot, "resumed") == ["the queue is resumed"]
    assert repo.stages() == {"one/1": "landed", "two/1": "landed", "bad/1": "rejected"}
    assert "not paused" in repo.cli("queue", "resume").stdout
    assert repo.refs("refs/agentctl/pause") == []
    repo.proven()


def test_a_single_pass_is_kept_for_the_resumption(repo):
    repo.submit("one", {"one.txt": "one\n"})
    repo.cli("queue", "pause")
    with repo.bot() as bot:
        until(bot, lambda: bot.halted)
        runs = len(bot.judged)
        repo.cli("queue", "resume")
        finish(bot)
        assert len(bot.judged) == runs
    assert repo.landings() == ["one/1"]
    repo.proven()


def test_a_pause_outlives_the_bot(repo):
    repo.submit("one", {"one.txt": "one\n"})
    repo.cli("queue", "pause")
    for _ in range(2):
        said = repo.cli("bot", "run", "--once").stdout
        assert "the queue is paused by Tess Tester; nothing lands" in said and "queued still: 1" in said
    assert json.loads(repo.cli("--json", "queue").stdout)["paused"]["by"] == "Tess Tester"
    assert repo.stages() == {"one/1": "queued"}
    repo.cli("queue", "resume")
    said = json.loads(repo.cli("bot", "run", "--once", "--json").stdout.splitlines()[-1])
    assert (said["landed"], said["probes"], said["paused"]) == (1, 0, False)
    repo.proven()


def test_what_is_withdrawn_in_a_pause_does_not_land(repo):
    for name in ("one", "two"):
        repo.submit(name, {f"{name}.txt": f"{name}\n"})
    repo.cli("queue", "pause")
    with repo.bot() as bot:
        until(bot, lambda: bot.halted)
        repo.cli("withdraw", "one")
        until(bot, lambda: "one/1" not in bot.state.queue)
        repo.cli("queue", "resume")
        finish(bot)
    assert repo.landings() == ["two/1"]
    repo.proven()


def test_trunk_moved_by_somebody_else_in_a_pause(repo):
    repo.submit("one", {"one.txt": "one\n"})
    repo.cli("queue", "pause")
    with repo.bot() as bot:
        until(bot, lambda: bot.halted)
        repo.push({"release.txt": "1.4\n"})
        until(bot, lambda: bot.state.trunk == repo.tip and bot.halted)
        repo.cli("queue", "resume")
        finish(bot)
    assert repo.landings() == ["one/1"]
    repo.proven()


def test_any_ref_pauses(repo):
    # Somebody pushes whatever is at hand.
    repo.git("update-ref", "refs/agentctl/pause", repo.tip)
    repo.submit("one", {"one.txt": "one\n"})
    assert pause.read(repo.hub) == pause.Pause()
    with repo.bot() as bot:
        until(bot, lambda: bot.halted)
        assert repo.landings() == []
        repo.git("update-ref", "-d", "refs/agentctl/pause")
        finish(bot)
    assert repo.landings() == ["one/1"]


def test_a_freeze_lets_through_what_is_urgent(repo):
    assert (
        "frozen below priority 5 by Tess Tester: release"
        in repo.cli("queue", "pause", "--below", "5", "--reason", "release").stdout
    )
    repo.submit("late", {"late.txt": "late\n"})
    repo.submit("fix", {"fix.txt": "fix\n"}, priority=5)
    repo.submit("rest", {"rest.txt": "rest\n"}, priority=9, after=["late"])
    repo.submit("bad", {"bad.txt": "BUG\n"}, priority=6)

    # Only what is urgent enough is tested, lands, or is rejected. The bot has nothing else to do.
    said = repo.cli("bot", "run", "--once", ok=7).stdout
    assert "nothing below is tested or lands until: agentctl queue resume" in said and "queued still: 2" in said
    assert repo.stages() == {"fix/1": "landed", "bad/1": "rejected", "late/1": "queued", "rest/1": "queued"}
    assert "frozen  late/1" in repo.cli("queue").stdout
    assert "it is held back" in repo.cli("why", "late").stdout
    assert "it lands after late" in repo.cli("why", "rest").stdout
    assert json.loads(repo.cli("--json", "queue").stdout)["paused"]["below"] == 5

    # Who is bumped gets through; the rest goes on where it stood.
    repo.submit("later", {"later.txt": "later\n"})
    repo.cli("queue", "bump", "late", "--priority", "5")
    repo.cli("bot", "run", "--once")
    assert repo.stages() == {"fix/1": "landed", "bad/1": "rejected", "late/1": "landed", "rest/1": "landed", "later/1": "queued"}
    repo.cli("queue", "resume")
    repo.drain()
    assert repo.landings() == ["fix/1", "late/1", "rest/1", "later/1"]
    repo.proven()


def test_a_freeze_stops_what_it_holds_back(repo):
    repo.submit("slow", {"slow.txt": "SLOW\n"})
    with repo.bot(slots=1) as bot:
        until(bot, lambda: any(s.probe.chain for s in bot.state.probes))
        repo.cli("queue", "pause", "--below", "1")
        repo.submit("fix", {"fix.txt": "fix\n"}, priority=1)
        until(bot, lambda: repo.landings() == ["fix/1"])
        # A gate's thread may wake the bot just after the turn that took its answer.
        until(bot, lambda: bot.halted)
        assert set(bot.state.queue) == {"slow/1"}
        # It is tested again as soon as it may be.
        repo.cli("queue", "resume")
        until(bot, lambda: any("slow/1" in s.probe.chain for s in bot.state.probes))
    repo.proven()


def test_the_reasons_of_what_the_planner_does_are_told(repo):
    repo.submit("slow", {"slow.txt": "SLOW\n"})
    with repo.bot(slots=3) as bot:
        # While a probe runs.
        until(bot, lambda: any("slow/1" in s.probe.chain for s in bot.state.probes))
        staged = next(s for s in bot.state.probes if "slow/1" in s.probe.chain)
        probe = f"probe {staged.probe.number}"
        assert any(c.isdigit() for c in staged.probe.reason)
        for told in (
            repo.cli("queue").stdout,
            repo.cli("why", "slow").stdout,
            repo.git("log", "--format=%B", "refs/agentctl/state"),
        ):
            assert probe in told and staged.probe.reason in told
        repo.cli("withdraw", "slow")
        until(bot, lambda: "slow/1" not in bot.state.queue)
        for name in ("one", "two"):
            repo.submit(name, {f"{name}.txt": f"{name}\n"}, agent=name)
        repo.submit("bad", {"bad.txt": "BUG\n"}, agent="bob")
        finish(bot)

    # And when all is over: how each probe of a change ended, what landed it, and on what proof it fell.
    assert f"cancel {probe}: " in repo.cli("why", "slow", "--log").stdout
    one = repo.record("one")
    passed = f"probe {one.proof.probe} passed"
    said = repo.cli("why", "one", "--log").stdout
    assert f"  {passed}\n" in said and f"{one.proof.tip}: {passed} on trunk with" in said
    bad = repo.cli("why", "bad", "--log").stdout
    assert "to 1 that it is bad" in bad and "bob" in bad and f"probe {repo.record('bad').reason.probe} failed" in bad
    log = repo.git("log", "--format=%B", "refs/agentctl/state")
    assert all(line in log for line in (f"cancel {probe}: ", f": {passed} on trunk with", "to 1 that it is bad"))


def test_a_bump_puts_a_change_first(repo):
    for name in ("one", "two", "three"):
        repo.submit(name, {f"{name}.txt": f"{name}\n"}, priority=2)
    # Before a bot has admitted it.
    repo.cli("queue", "bump", "three")
    with repo.bot(batch=1, slots=1) as bot:
        until(bot, lambda: bot.state.queue)
        assert bot.state.queue["three/1"].change.priority == 3
        # And when it is queued.
        repo.cli("queue", "bump", "two", "--priority", "5")
        finish(bot)
    assert (repo.record("two").change.priority, repo.record("three").change.priority) == (5, 3)
    assert repo.landings() == ["two/1", "three/1", "one/1"]
    assert "bump three/1 to priority 3" in repo.cli("why", "three").stdout
    assert "landed already" in repo.cli("queue", "bump", "three", ok=5).stderr
    repo.cli("queue", "bump", "nothing", ok=4)
    repo.proven()


def test_a_retry_submits_the_same_head_with_all_it_came_with(repo):
    head = repo.submit("shy", {"shy.txt": "BUG\n"}, priority=4)
    repo.drain()
    assert "shy/2: submitted" in repo.cli("queue", "retry", "shy").stdout
    assert "waiting" in repo.cli("queue", "retry", "shy", ok=5).stderr
    repo.drain()
    record = repo.record("shy")
    assert (record.key, record.stage, record.change.head, record.change.priority) == ("shy/2", "rejected", head, 4)
    repo.submit("good", {"good.txt": "good\n"})
    repo.drain()
    assert "landed" in repo.cli("queue", "retry", "good", ok=5).stderr
    repo.proven()


@pytest.mark.parametrize(
    ("subject", "shown"),
    [
        ('{"reason": "release", "at": -1e308}', "paused: release; its ref says at in a way that cannot be read"),
        ('{"reason": "release", "below": 1' + "0" * 5000 + "}", "paused: release; its ref says below in a way"),
        ('{"by": "Tess \\ud800", "reason": "release", "below": 3}', "frozen below priority 3 by Tess \\ud800: release"),
        ('{"by": [], "reason": "release", "more": 1}', "paused: release; its ref says by in a way that cannot be read"),
        ('{"reason": "release', "paused: what its ref says cannot be read"),
        ('{"below": ' + "[" * 99_000, "paused: what its ref says cannot be read"),
    ],
)
def test_of_a_pause_that_cannot_be_read_the_rest_is_told(repo, subject, shown):
    repo.hub.objects.write_tree({})
    made = repo.hub.objects.write_commit(EMPTY_TREE, (), subject + "\n", 1)
    repo.git("update-ref", "refs/agentctl/pause", made)
    said = repo.cli("queue").stdout
    assert shown in said and " ago" not in said
    repo.cli("queue", "--json")
    repo.submit("one", {"one.txt": "one\n"})
    repo.cli("bot", "run", "--once")
    assert repo.stages() == {"one/1": "queued"}
    repo.proven()


def test_a_long_reason_is_cut_where_a_pause_is_read(repo):
    long = "so it is " * 100_000
    repo.hub.objects.write_tree({})
    made = repo.hub.objects.write_commit(EMPTY_TREE, (), json.dumps({"by": "x" * 999, "reason": long}) + "\n", 1)
    repo.git("update-ref", "refs/agentctl/pause", made)
    paused = json.loads(repo.cli("queue", "--json").stdout)["paused"]
    assert paused["reason"] == long[:2000] + "..." and paused["by"] == "x" * 100 + "..."
    repo.cli("queue", "resume")
    repo.cli("queue", "pause", "--reason", long[:9000])
    repo.cli("queue", "pause", "--reason", long[:9000])


@pytest.mark.parametrize("text", ["zwei", "1" * 5000, ""])
def test_a_ledger_whose_format_is_no_number(repo, text):
    repo.drain()
    tree = repo.hub.objects.replace(Ledger.read(repo.hub).tree, {"format": text.encode()})
    repo.git("update-ref", "refs/agentctl/state", repo.hub.objects.write_commit(tree, (), "odd\n", 1))
    marks.accept(repo.hub, "refs/agentctl/state")
    assert f"its file format holds '{text[:40]}" in repo.cli("queue", ok=1).stderr
