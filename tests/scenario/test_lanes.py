"""Two lanes: a slow gate and a fast one, each for paths of its own."""

import pytest

from agentctl.core.policy.policy import parts
from agentctl.core.queue.model import Verdict
from agentctl.core.text.json_form import replace
from agentctl.hub import verdicts
from agentctl.hub.policy_file import in_force
from agentctl.hub.verification import prove
from tests.support.hub import eventually, finish, until

POLICY = """\
version: 1
gates:
  - name: slow
    run: |
      echo slow >>{log}
      if [ -e slow/wait ]; then until [ -e {go} ]; do sleep 0.05; done; fi
      ! grep -rq BUG slow
    paths: ["slow/**"]
  - name: fast
    run: |
      echo fast >>{log}
      ! grep -rq BUG fast
    paths: ["fast/**"]
queue:
  slots: {slots}
protect: []
"""


class Gates:
    """What the gates of a test have in common: a log of their runs, and what the slow one waits for."""

    def __init__(self, folder):
        self.log, self.go = folder / "runs", folder / "go"

    def runs(self):
        """Which gates ran since the last time."""
        found = self.log.read_text().split() if self.log.exists() else []
        self.log.unlink(missing_ok=True)
        return found

    def policy(self, slots=2):
        return POLICY.format(log=self.log, go=self.go, slots=slots)


@pytest.fixture
def gates(tmp_path_factory):
    return Gates(tmp_path_factory.mktemp("gates"))


@pytest.fixture
def repo(make_repo, gates):
    return make_repo(files={".agentctl/policy.yaml": gates.policy(), "slow/a": "a\n", "fast/a": "a\n"})


def test_the_fast_lane_does_not_wait_for_the_slow_one(repo, gates):
    # A change to what the slow gate judges is being tested; that takes its time.
    repo.submit("tortoise", {"slow/wait": "for it\n"})
    with repo.bot() as bot:
        until(bot, lambda: any("tortoise/1" in s.probe.chain for s in bot.state.probes))
        assert bot.state.queue["tortoise/1"].change.gates == ("slow",)
        # Trunk was tested by both gates; then each change is by its own alone.
        eventually(lambda: gates.log.read_text().split() == ["slow", "fast", "slow"])

        # Changes to what the fast gate judges come, and land one after the other.
        for name in ("hare", "rabbit"):
            repo.submit(name, {f"fast/{name}": f"{name}\n"})
            until(bot, lambda: name + "/1" not in bot.state.queue)
        assert repo.landings() == ["hare/1", "rabbit/1"]
        assert gates.runs() == ["slow", "fast", "slow", "fast", "fast"]

        # The slow gate passes on a trunk that is no more. On the present one it has nothing new to judge.
        gates.go.touch()
        finish(bot)
    assert repo.landings() == ["hare/1", "rabbit/1", "tortoise/1"]
    assert gates.runs() == []
    assert "holds on" in repo.cli("why", "tortoise").stdout
    # The very tree that landed has a verdict, and each gate has one on its paths of it.
    assert len(verdicts.passed_parts(repo.hub, bot.policy, repo.hub.objects.commit(repo.tip).tree)) == 2
    assert repo.proven().landed == 3


def test_a_culprit_holds_up_its_own_lane_alone(repo, gates):
    # All wait when the bot comes. The planner does not mix lanes.
    gates.go.touch()
    repo.submit("bad", {"slow/bad": "BUG\n"})
    for name in ("one", "two"):
        repo.submit(f"s-{name}", {f"slow/{name}": f"{name}\n"})
        repo.submit(f"f-{name}", {f"fast/{name}": f"{name}\n"})
    with repo.bot() as bot:
        finish(bot)
    assert repo.stages() == {"bad/1": "rejected", **{f"{lane}-{name}/1": "landed" for lane in "sf" for name in ("one", "two")}}
    asked = [probe.chain for probe, _ in bot.judged if probe.chain]
    assert all(len({key[0] == "f" for key in chain}) == 1 for chain in asked)
    assert [j.verdict for p, j in bot.judged if p.chain[:1] == ("f-one/1",)] == [Verdict.PASSED]
    assert repo.verdict("bad")["step"] == "slow"
    repo.proven()


def test_a_culprit_that_fails_on_a_trunk_that_is_no_more(repo, gates):
    repo.submit("tortoise", {"slow/wait": "for a BUG\n"})
    with repo.bot() as bot:
        until(bot, lambda: any("tortoise/1" in s.probe.chain for s in bot.state.probes))
        begin = repo.tip
        repo.submit("hare", {"fast/hare": "hare\n"})
        until(bot, lambda: "hare/1" not in bot.state.queue)
        gates.go.touch()
        finish(bot)
    # It failed once beside the trunk that was there, and is a certificate still; once more makes sure.
    assert repo.stages() == {"hare/1": "landed", "tortoise/1": "rejected"}
    assert [p.base == begin for p, j in bot.judged if "tortoise/1" in p.chain] == [True, False]
    assert gates.runs().count("slow") == 3
    assert repo.proven().rejected == 1


def test_a_quick_gate_for_everything_leaves_the_lanes_as_they_are(make_repo, gates):
    text = (
        gates.policy()
        .replace(
            "queue:",
            f"""\
  - name: lint
    run: echo lint >>{gates.log}
    paths: ["**"]
queue:""",
        )
        .replace("! grep -rq BUG slow", "[ -e slow/wait ] || sleep 0.5")
    )
    repo = make_repo(files={".agentctl/policy.yaml": text, "slow/a": "a\n", "fast/a": "a\n"})
    repo.submit("tortoise", {"slow/wait": "for it\n"})
    with repo.bot() as bot:
        until(bot, lambda: any("tortoise/1" in s.probe.chain for s in bot.state.probes))
        assert bot.state.queue["tortoise/1"].change.gates == ("slow", "lint")
        eventually(lambda: gates.log.read_text().split() == ["slow", "fast", "lint", "slow"])
        for name in ("hare", "rabbit"):
            repo.submit(name, {f"fast/{name}": f"{name}\n"})
            until(bot, lambda: name + "/1" not in bot.state.queue)
        assert gates.runs() == ["slow", "fast", "lint", "slow", "fast", "lint", "fast", "lint"]
        gates.go.touch()
        finish(bot)
    # The slow gate is not run again, nor while it ran: only the one that judges all.
    assert repo.landings() == ["hare/1", "rabbit/1", "tortoise/1"]
    assert gates.runs() == ["lint", "lint"]
    repo.proven()


def test_with_a_gate_that_names_no_paths_there_is_one_lane(make_repo, gates):
    gates.go.touch()
    text = gates.policy().replace('    paths: ["fast/**"]\n', "")
    repo = make_repo(files={".agentctl/policy.yaml": text, "slow/a": "a\n", "fast/a": "a\n"})
    repo.submit("one", {"slow/one": "one\n"})
    repo.submit("two", {"fast/two": "two\n"})
    with repo.bot() as bot:
        until(bot, lambda: bot.state.queue)
        assert {r.change.gates for r in bot.state.queue.values()} == {None}
        finish(bot)
    # What is not concerned is not run all the same.
    repo.submit("three", {"other/three": "three\n"})
    gates.runs()
    repo.drain()
    assert gates.runs() == ["fast"] and "three/1" in repo.landings()
    repo.proven()


def test_what_passed_in_a_pause_lands_on_a_trunk_that_was_moved_meanwhile(repo, gates):
    gates.go.touch()
    repo.submit("tortoise", {"slow/wait": "for it\n"})
    repo.cli("queue", "pause")
    with repo.bot() as bot:
        until(bot, lambda: bot.halted)
        repo.push({"fast/pushed": "pushed\n"})
        until(bot, lambda: bot.state.trunk == repo.tip and bot.halted)
        assert gates.runs() == ["slow", "fast", "slow", "fast"]
        repo.cli("queue", "resume")
        finish(bot)
    assert (repo.landings(), gates.runs()) == (["tortoise/1"], [])
    repo.proven()


def test_a_new_bot_lands_what_passed_on_another_trunk_without_a_run(repo, gates):
    gates.go.touch()
    repo.submit("tortoise", {"slow/wait": "for it\n"})
    repo.cli("queue", "pause")
    repo.cli("bot", "run", "--once")
    repo.push({"fast/pushed": "pushed\n"})
    repo.cli("queue", "resume")
    gates.runs()
    repo.drain()
    assert (repo.landings(), gates.runs()) == (["tortoise/1"], ["fast"])
    repo.proven()


def test_a_new_bot_knows_what_passed_and_plans_no_other_probe(repo, gates):
    # A probe passes in a pause, and trunk moves for the other lane. Then the bot dies.
    gates.go.touch()
    repo.submit("tortoise", {"slow/wait": "for it\n"})
    repo.cli("queue", "pause")
    with repo.bot() as bot:
        until(bot, lambda: bot.halted)
        (passed,) = bot.state.passed
    repo.push({"fast/pushed": "pushed\n"})

    # The next bot finds that the very probe holds on this trunk, and lands it when the pause ends.
    with repo.bot() as bot:
        assert bot.state.passed == (passed,)
        until(bot, lambda: bot.state.trunk == repo.tip and bot.halted)
        (there,) = bot.state.passed
        assert there.probe == replace(passed.probe, base=repo.tip) and there.commit != passed.commit
        repo.cli("queue", "resume")
        finish(bot)
        assert (bot.state.passed, bot.state.next_probe) == ((), passed.probe.number + 1)
    assert repo.landings() == ["tortoise/1"]
    assert f"probe {passed.probe.number} holds on" in repo.cli("why", "tortoise").stdout
    repo.proven()


def test_what_no_gate_judges_lands_without_a_run(repo, gates):
    repo.trunk_judged()
    gates.runs()
    repo.submit("words", {"README": "words\n"})
    bot = repo.drain()
    assert (repo.record("words").change.gates, repo.landings(), gates.runs()) == ((), ["words/1"], [])
    assert bot.judged == []
    repo.proven()


def test_a_change_to_both_is_judged_by_both(repo, gates):
    repo.submit("both", {"fast/b": "b\n", "slow/b": "b\n"})
    repo.submit("half", {"fast/c": "c\n"})
    repo.drain()
    assert repo.record("both").change.gates == ("slow", "fast")
    assert sorted(repo.landings()) == ["both/1", "half/1"]
    repo.proven()


def test_trunk_moved_around_the_queue_is_judged_by_the_gates_it_concerns(repo, gates):
    repo.drain()
    gates.runs()
    repo.push({"fast/pushed": "pushed\n"})
    repo.submit("one", {"slow/one": "one\n"})
    repo.drain()
    assert gates.runs() == ["fast", "slow"]
    assert repo.landings()[-1] == "one/1"
    repo.proven()


def test_another_policy_voids_what_the_gate_said_that_it_changes(repo, gates):
    gates.go.touch()
    repo.drain()
    gates.runs()
    # Now the fast gate judges another folder too. The slow one is the same as before.
    repo.submit("policy", {".agentctl/policy.yaml": gates.policy().replace('["fast/**"]', '["fast/**", "more/**"]')})
    repo.submit("more", {"more/one": "one\n"})
    with repo.bot() as bot:
        until(bot, lambda: "policy/1" not in bot.state.queue)
        finish(bot)
    assert (repo.stages(), gates.runs().count("slow")) == ({"policy/1": "landed", "more/1": "landed"}, 0)
    repo.proven()


def test_queued_changes_are_put_into_the_lanes_of_the_policy_in_force(repo, gates):
    repo.submit("tortoise", {"slow/wait": "for it\n", "other/one": "one\n"})
    with repo.bot() as bot:
        until(bot, lambda: any("tortoise/1" in s.probe.chain for s in bot.state.probes))
        assert bot.state.queue["tortoise/1"].change.gates == ("slow",)
        repo.push({".agentctl/policy.yaml": gates.policy().replace('["fast/**"]', '["fast/**", "other/**"]')})
        until(bot, lambda: bot.state.queue["tortoise/1"].change.gates == ("slow", "fast"))
        # Without any paths there are no lanes.
        repo.push({".agentctl/policy.yaml": "\n".join(line for line in gates.policy().splitlines() if "paths" not in line)})
        until(bot, lambda: bot.state.queue["tortoise/1"].change.gates is None)
        gates.go.touch()
        finish(bot)
    assert repo.landings()[-1] == "tortoise/1"
    repo.proven()


def test_a_failure_on_a_part_is_no_short_cut(repo, gates):
    repo.submit("bad", {"fast/bad": "BUG\n"})
    repo.drain()
    failed = gates.runs().count("fast")
    # The same files again, beside others.
    repo.submit("bad-too", {"fast/bad": "BUG\n", "README": "more\n"})
    repo.drain()
    again = gates.runs()
    assert failed > 1 and again.count("fast") > 0 and "slow" not in again
    assert repo.stages() == {"bad/1": "rejected", "bad-too/1": "rejected"}
    repo.proven()


def test_an_agents_own_test_runs_the_gates_that_are_concerned(repo, gates):
    assert "passed" in repo.cli("test").stdout
    assert gates.runs() == ["slow", "fast"]
    (repo.path / "fast/new").write_text("new\n")
    said = repo.cli("-v", "test")
    assert gates.runs() == ["fast"]
    assert ": fast" in said.stdout + said.stderr
    (repo.path / "README").write_text("new\n")
    repo.cli("test")
    assert gates.runs() == []
    # Unless asked to.
    repo.cli("test", "--again")
    assert gates.runs() == ["slow", "fast"]

    # The bot runs them itself whatever passed there.
    repo.git("stash", "-u")
    repo.submit("new", {"fast/new": "new\n"})
    repo.drain()
    assert gates.runs() == ["slow", "fast", "fast"] and repo.landings() == ["new/1"]
    repo.proven()


def test_verify_asks_for_the_verdict_of_each_part(repo, gates, monkeypatch):
    repo.submit("one", {"fast/one": "one\n"})
    repo.drain()
    real = verdicts.lookup
    monkeypatch.setattr(verdicts, "lookup", lambda hub, gate, *more: None if gate == slow(repo) else real(hub, gate, *more))
    assert [f.text for f in prove(repo.hub, "main")[1] if f.grave] == [
        f"{repo.tip[:12]} landed without a passed verdict of slow on its paths"
    ]


def slow(repo):
    return parts(in_force(repo.hub)[1])[0].fingerprint
