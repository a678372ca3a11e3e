"""A train: a probe that lands although the head of its chain has landed before, by a shorter one."""

import subprocess

import pytest

from agentctl.bot.rejection import convict
from agentctl.core.queue.model import Certificate
from agentctl.hub.ledger import Ledger
from tests.support.hub import finish, policy
from tests.support.train import admitted, judged, land, started, turn

WAITS = "if [ -e c.txt ]; then until [ -e %s ]; do sleep 0.05; done; fi; sh check.sh"


@pytest.fixture
def signal(tmp_path):
    """The gate of what holds c.txt ends once this file is there."""
    return tmp_path / "go"


@pytest.fixture
def repo(make_repo, signal):
    repo = make_repo(gate=f"'{WAITS % signal}'", slots=4)
    repo.trunk_judged()
    return repo


def submit(repo, *names, word=""):
    for name in names:
        repo.submit(name, {f"{name}.txt": word or f"{name}\n"})


def staged(bot, probe):
    return next(s for s in bot.state.probes if s.probe.number == probe.number)


def test_the_rest_of_a_train_lands_on_what_landed_before(repo, signal):
    submit(repo, "a", "b", "c", "d")
    begin = repo.tip
    with repo.bot() as bot:
        # Two probes run at once, one of them longer. What they share is the same commits.
        admitted(bot)
        short, long = started(bot, 7, begin, "a", "b"), started(bot, 8, begin, "a", "b", "c", "d")
        tested = staged(bot, long)
        assert tested.landing[:2] == staged(bot, short).landing

        # The shorter lands. The longer runs on, staged and recorded as before.
        judged(bot, short)
        assert land(bot, short) == ["a", "b"]
        assert staged(bot, long) == tested
        assert repo.refs("refs/agentctl/stage") == ["refs/agentctl/stage/8"]

        # It passes, and the rest of it lands: trunk is the very commit that was tested.
        signal.touch()
        judged(bot, long)
        assert repo.refs("refs/agentctl/stage") == []
        assert land(bot, long) == ["c", "d"]
        assert repo.tip == tested.commit
        # The real planner finds its way from there.
        submit(repo, "e")
        finish(bot)
    assert repo.landings() == ["a/1", "b/1", "c/1", "d/1", "e/1"]
    assert repo.record("c").proof.old == repo.record("b").commit
    assert (repo.path / "d.txt").exists() and repo.git("status", "--porcelain") == ""
    assert repo.proven().moves == 3


@pytest.mark.parametrize("strategy", ["squash", "rebase", "merge"])
def test_each_strategy_has_trains(make_repo, strategy):
    repo = make_repo(strategy=strategy)
    repo.trunk_judged()
    first = repo.change({"a.txt": "1\n"}, "half")
    repo.hand_in("a", repo.change({"a.txt": "2\n"}, "whole", first))
    submit(repo, "b")
    begin = repo.tip
    with repo.bot() as bot:
        admitted(bot)
        short, long = started(bot, 7, begin, "a"), started(bot, 8, begin, "a", "b")
        judged(bot, short, long)
        assert land(bot, short) == ["a"]
        assert land(bot, long) == ["b"]
    assert sorted(repo.stages().values()) == ["landed", "landed"]
    repo.proven()


def test_a_train_lands_after_a_restart(repo, signal):
    signal.touch()
    submit(repo, "a", "b", "c")
    begin = repo.tip
    with repo.bot() as bot:
        admitted(bot)
        short, long = started(bot, 7, begin, "a"), started(bot, 8, begin, "a", "b", "c")
        judged(bot, short, long)
        land(bot, short)
    with repo.bot() as bot:
        assert land(bot, long) == ["b", "c"]
    repo.proven()


def test_a_failing_train_convicts_its_last(repo, signal):
    # a, b and bad fail together; a and b land literally, and trunk goes on.
    submit(repo, "a", "b", "d")
    submit(repo, "bad", word="BUG\n")
    begin = repo.tip
    with repo.bot() as bot:
        admitted(bot)
        red, first, second = (
            started(bot, 7, begin, "a", "b", "bad"),
            started(bot, 8, begin, "a"),
            started(bot, 9, begin, "a", "b"),
        )
        judged(bot, red, first, second)
        land(bot, first)
        land(bot, second)
        last = started(bot, 10, repo.tip, "d")
        judged(bot, last)
        land(bot, last)
        now = turn(bot)
        convict(now, Certificate("bad/1", red.number, "it fails on what is green"), bot.gate)
        bot.end_turn(now)
    record = repo.record("bad")
    assert record.stage == "rejected"
    assert record.reason.passed == repo.hub.objects.commit(repo.record("b").commit).tree
    assert "found a bug" in repo.answer("bad")["gate.log"]
    assert repo.proven().rejected == 1


@pytest.mark.parametrize("how", ["a member left", "trunk was moved by somebody else"])
def test_what_cannot_land_any_more_does_not(repo, signal, how):
    signal.touch()
    submit(repo, "a", "b")
    begin = repo.tip
    with repo.bot() as bot:
        admitted(bot)
        short, long = started(bot, 7, begin, "a"), started(bot, 8, begin, "a", "b")
        judged(bot, short, long)
        land(bot, short)
        if how == "a member left":
            repo.cli("withdraw", "b")
            admitted(bot)
        else:
            repo.push({"other.txt": "other\n"})
            now = turn(bot)
            bot.following.follow(now)
            bot.end_turn(now)
        tip = repo.tip
        assert land(bot, long) == []
        assert repo.tip == tip
        # The planner starts from nothing and comes to an end.
        finish(bot)
    assert repo.landings()[0] == "a/1"
    repo.proven()


def test_a_prefix_is_not_built_twice(repo, monkeypatch):
    submit(repo, "a", "b", "c")
    with repo.bot() as bot:
        admitted(bot)
        records = list(bot.state.queue.values())
        whole = bot.stager.chain(repo.tip, records)
        wrote = []
        write = bot.hub.objects.store.write
        monkeypatch.setattr(bot.hub.objects.store, "write", lambda *what: wrote.append(what) or write(*what))
        assert bot.stager.chain(repo.tip, records[:2]).landing == whole.landing[:2]
        assert bot.stager.chain(repo.tip, records) == whole
        assert wrote == []

        # What a collection of garbage took is built again, the very same.
        subprocess.run(["git", "gc", "-q", "--prune=now"], cwd=repo.path, check=True)
        repo.hub.objects.close()
        assert not bot.hub.objects.exists(whole.commit)
        assert bot.stager.chain(repo.tip, records) == whole
        repo.git("fsck", "--connectivity-only", whole.commit)


def test_a_landing_that_changes_the_gate_voids_what_was_tested_with_the_old_one(make_repo, signal):
    text = policy(slots=4, gate=f"'{WAITS % signal}'").replace("protect:\n  - .agentctl/**\n", "protect: []\n")
    repo = make_repo(files={".agentctl/policy.yaml": text})
    repo.submit("gate", {".agentctl/policy.yaml": text.replace("sh check.sh", "test ! -e c.txt")})
    repo.submit("old", {"c.txt": "fails under the new gate\n"})
    begin = repo.tip
    repo.trunk_judged()
    with repo.bot() as bot:
        admitted(bot)
        short, long = started(bot, 7, begin, "gate"), started(bot, 8, begin, "gate", "old")
        judged(bot, short)
        assert land(bot, short) == ["gate"]
        signal.touch()
        finish(bot)
    assert [str(j.verdict) for p, j in bot.judged if p.number == long.number] == ["aborted"]
    assert repo.stages() == {"gate/1": "landed", "old/1": "rejected"}
    assert repo.proven().rejected == 1


def test_a_stack_goes_on_after_a_landing_that_a_crash_hid_from_the_planner(repo, signal):
    # The planner was not told that `a` landed: what comes after it is not held back.
    submit(repo, "a")
    repo.submit("b", {"b.txt": "b\n"}, after=["a"])
    with repo.bot() as bot:
        admitted(bot)
        probe = started(bot, 7, repo.tip, "a")
        judged(bot, probe)
        land(bot, probe)
        assert Ledger.read(repo.hub).record("b/1").change.after == ("a",)
        finish(bot)
    assert repo.landings() == ["a/1", "b/1"]
