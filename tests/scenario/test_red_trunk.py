"""Trunk is red: who mends it lands, nobody is blamed, and nothing is tried without end."""

import json
import subprocess
import time

from agentctl.bot import green_trunk
from tests.support.agents import add, run, started, task
from tests.support.hub import PATIENCE, command, environment, eventually, finish, told, until

RED = {"trunk.txt": "BUG\n"}
TOGETHER = "test -e left && test -e right && sh check.sh"


def tried(bot):
    """The chains that were tested on a trunk that was red, in order."""
    return [",".join(key.split("/")[0] for key in probe.chain) for probe, _ in bot.judged if "mend trunk" in probe.reason]


def mend(repo, name="fix", **facts):
    return repo.submit(name, {"trunk.txt": "mended\n"}, **facts)


def test_what_mends_trunk_lands_and_then_the_rest(make_repo):
    # Ann's change is fine, Bob's is not, Cleo's mends trunk; none of them says so.
    repo = make_repo(files=RED, slots=1)
    repo.submit("a-fine", {"fine.txt": "fine\n"})
    repo.submit("b-bad", {"bad.txt": "BUG\n"}, agent="bob")
    mend(repo, "c-fix", agent="cleo")
    bot = repo.drain()

    # Each was tried by itself; what failed then was held against nobody.
    assert tried(bot) == ["a-fine", "b-bad", "c-fix"]
    assert repo.landings() == ["c-fix/1", "a-fine/1"]
    # On the green trunk Bob's was found out in the ordinary way, by a failure over a pass.
    record = repo.record("b-bad")
    assert record.stage == "rejected" and record.reason.passed
    (said,) = {line.partition(":")[0] for line in told(bot, "red")}
    assert said.startswith("trunk itself is red since")
    counts = repo.proven()
    assert (counts.landed, counts.rejected) == (2, 1)


def test_who_says_that_it_mends_trunk_is_tried_first(make_repo):
    repo = make_repo(files=RED, slots=1)
    for name in ("a", "b", "c"):
        repo.submit(name, {f"{name}.txt": f"{name}\n"}, priority=5)
    repo.git("checkout", "-q", "-b", "topic")
    (repo.path / "trunk.txt").write_text("mended\n")
    repo.git("commit", "-q", "-a", "-m", "mend")
    repo.cli("submit", "--change", "z-fix", "--mends-trunk")
    repo.git("checkout", "-q", "main")
    bot = repo.drain()
    assert tried(bot) == ["z-fix"] and repo.landings()[0] == "z-fix/1" and len(repo.landings()) == 4
    repo.proven()


def test_many_are_tried_at_a_time(make_repo):
    repo = make_repo(files=RED, slots=3, gate="if grep -qs SLOW c*.txt; then exec sleep 1000; fi; sh check.sh")
    for n in range(5):
        repo.submit(f"c{n}", {f"c{n}.txt": "SLOW\n" if n < 2 else "c\n"})
    mend(repo)
    with repo.bot() as bot:
        until(bot, lambda: repo.landings() == ["fix/1"])
        # Two that hang are stopped then: what they would say is of a trunk that was red.
        until(
            bot,
            lambda: (
                {str(j.verdict) for p, j in bot.judged if p.chain in (("c0/1",), ("c1/1",)) and "mend" in p.reason} == {"aborted"}
            ),
        )
    assert all(record.stage != "rejected" for record in map(repo.record, ("c0", "c1", "c2")))


def test_two_that_mend_it_only_together(make_repo):
    repo = make_repo(gate=TOGETHER)
    repo.submit("left", {"left": "left\n"}, mends=True)
    repo.submit("right", {"right": "right\n"}, mends=True)
    repo.submit("other", {"other.txt": "other\n"})
    bot = repo.drain()
    assert "left,right" in tried(bot) and sorted(repo.landings()[:2]) == ["left/1", "right/1"]
    assert repo.stage("other") == "landed"
    repo.proven()


def test_a_stack_mends_it(make_repo):
    repo = make_repo(gate=TOGETHER)
    lower = repo.change({"left": "left\n"}, "lower")
    repo.hand_in("a-lower", lower)
    repo.hand_in("b-upper", repo.change({"right": "right\n"}, "upper", lower))
    bot = repo.drain()
    assert sorted(tried(bot)) == ["a-lower", "a-lower,b-upper"] and repo.landings() == ["a-lower/1", "b-upper/1"]
    repo.proven()


def test_if_none_mends_it_the_bot_says_so_and_tries_nothing_twice(make_repo):
    repo = make_repo(files=RED, retries=1)
    for name in ("one", "two"):
        repo.submit(name, {f"{name}.txt": "fine\n"})
    said = repo.cli("bot", "run", "--once", "--json", ok=125)
    heard = [json.loads(line) for line in said.stdout.splitlines()]
    probes = [line["probe"]["chain"] for line in heard if line["kind"] == "probed"]
    assert probes[:2] == [[], []] and sorted(probes[2:]) == [["one/1"], ["two/1"]]
    error = json.loads(said.stderr)
    assert "trunk itself is red since" in error["message"] and "check: exit status 1" in error["message"]
    assert "2 changes tried on it, and none mends it" in error["message"] and "nobody is blamed" in error["message"]
    assert "agentctl submit --mends-trunk" in error["hint"] and "found a bug" in error["hint"]
    assert repo.stages() == {"one/1": "queued", "two/1": "queued"}

    # People are told, whatever they ask.
    assert "trunk itself is red since" in repo.cli("queue").stdout
    assert "tried on it" in repo.cli("why", "one").stdout

    # The next bot asks trunk itself once more, and nobody else.
    heard = [json.loads(line) for line in repo.cli("bot", "run", "--once", "--json", ok=125).stdout.splitlines()]
    assert [line["probe"]["chain"] for line in heard if line["kind"] == "probed"] == [[]]

    # What is new is tried.
    mend(repo)
    bot = repo.drain()
    assert tried(bot) == ["fix"] and sorted(repo.landings()) == ["fix/1", "one/1", "two/1"]
    repo.proven()


def test_a_newer_revision_is_tried(make_repo):
    repo = make_repo(files=RED, retries=0)
    repo.submit("fix", {"trunk.txt": "a BUG still\n"})
    repo.cli("bot", "run", "--once", ok=125)
    mend(repo)
    assert tried(repo.drain()) == ["fix"] and repo.landings() == ["fix/2"]
    repo.proven()


def test_an_empty_queue_on_a_red_trunk_ends_with_a_word(make_repo):
    repo = make_repo(files=RED, retries=0)
    assert "nothing tried on it mends it" in repo.cli("bot", "run", "--once", ok=125).stderr


def test_a_bot_that_was_not_told_to_end_waits_for_what_mends_it(make_repo):
    repo = make_repo(files=RED, retries=0)
    repo.submit("one", {"one.txt": "1\n"})
    bot = subprocess.Popen(command("bot", "run"), cwd=repo.path, env=environment(), stdout=subprocess.PIPE, text=True)
    try:
        line = next(line for line in bot.stdout if "none mends it" in line)
        assert "1 change tried on it" in line and bot.poll() is None
        mend(repo)
        eventually(lambda: sorted(repo.landings()) == ["fix/1", "one/1"])
    finally:
        bot.terminate()
        bot.communicate()
    repo.proven()


def test_trunk_that_failed_by_chance_is_tried_again_before_it_counts_as_red(make_repo, tmp_path):
    flaky = tmp_path / "flaky"
    flaky.write_text("x" * 2)
    repo = make_repo(gate=f"if [ -s {flaky} ]; then truncate -s -1 {flaky}; exit 1; fi")
    repo.submit("one", {"one.txt": "1\n"})
    bot = repo.drain()
    assert repo.landings() == ["one/1"] and tried(bot) == []
    assert [str(judged.verdict) for probe, judged in bot.judged if not probe.chain] == ["failed", "failed", "passed"]


def test_a_machine_that_was_mended_is_noticed(make_repo, tmp_path, monkeypatch):
    # Nothing in the queue could have helped; after a while trunk is asked again, and is green.
    broken = tmp_path / "broken"
    broken.touch()
    repo = make_repo(gate=f"test ! -e {broken}", retries=0)
    repo.submit("one", {"one.txt": "1\n"})
    with repo.bot() as bot:
        until(bot, lambda: bot.halted)
        broken.unlink()
        bot.take_turn()
        assert bot.halted and len(bot.judged) == 2
        monkeypatch.setattr(green_trunk, "RETEST", 0.0)
        finish(bot)
    assert repo.landings() == ["one/1"]
    repo.proven()


def test_a_person_mends_it_by_hand_while_others_are_tried(make_repo):
    repo = make_repo(files=RED, retries=0)
    repo.submit("bad", {"bad.txt": "BUG\n"})
    repo.submit("hangs", {"hangs.txt": "SLOW\n"})
    with repo.bot() as bot:
        until(bot, lambda: any("mend trunk" in s.probe.reason for s in bot.state.probes))
        repo.push({"trunk.txt": "mended\n"})
        until(bot, lambda: repo.record("bad").stage == "rejected")
    assert repo.record("bad").reason.passed == repo.hub.objects.commit(repo.tip).tree
    assert repo.stage("hangs") == "queued"
    repo.proven()


def test_trunk_turns_red_from_outside_while_changes_are_tested(repo):
    repo.submit("one", {"one.txt": "1\n"})
    with repo.bot() as bot:
        until(bot, lambda: any(staged.probe.chain for staged in bot.state.probes))
        pushed = repo.push(RED)
        until(bot, lambda: bot.halted)
        assert repo.tip == pushed and repo.stage("one") == "queued"
        mend(repo)
        finish(bot)
    assert repo.landings() == ["fix/1", "one/1"]
    repo.proven()


def test_a_paused_queue_keeps_what_mends_trunk_from_landing(make_repo):
    repo = make_repo(files=RED, retries=0)
    mend(repo)
    repo.cli("queue", "pause")
    with repo.bot() as bot:
        until(bot, lambda: bot.halted)
        assert repo.landings() == []
        repo.cli("queue", "resume")
        finish(bot)
    assert repo.landings() == ["fix/1"]
    repo.proven()


def test_what_is_frozen_is_not_tried(make_repo):
    repo = make_repo(files=RED, retries=0)
    repo.submit("low", {"low.txt": "low\n"})
    mend(repo, priority=5)
    repo.cli("queue", "pause", "--below", "3")
    with repo.bot() as bot:
        until(bot, lambda: repo.landings() == ["fix/1"])
    assert tried(bot) == ["fix"]


def test_what_does_not_merge_with_a_red_trunk_goes_back_with_both_sides(make_repo):
    repo = make_repo(files=RED | {"word": "one\n"}, retries=0)
    base = repo.tip
    repo.push({"word": "two\n"})
    repo.submit("clash", {"word": "three\n"}, base=base)
    mend(repo)
    repo.drain()
    assert repo.kind("clash") == "conflict" and repo.landings() == ["fix/1"]
    repo.proven()


def test_two_that_clash_and_both_say_that_they_mend_it(make_repo):
    repo = make_repo(files=RED, retries=0)
    repo.submit("one", {"trunk.txt": "one BUG\n"}, mends=True)
    repo.submit("two", {"trunk.txt": "two BUG\n"}, mends=True)
    assert "2 changes tried on it" in repo.cli("bot", "run", "--once", ok=125).stderr
    assert repo.stages() == {"one/1": "queued", "two/1": "queued"}


def test_a_gate_that_depends_on_paths_is_mended_too(make_repo):
    gates = (
        "version: 1\nqueue: {retries: 0}\ngates:\n  - {name: a, run: '! grep -rs BUG a', paths: ['a/**']}\n"
        "  - {name: b, run: '! grep -rs BUG b', paths: ['b/**']}\n"
    )
    repo = make_repo(files={"a/x": "BUG\n", "b/x": "b\n", ".agentctl/policy.yaml": gates})
    repo.submit("other", {"b/y": "y\n"})
    repo.submit("fix", {"a/x": "mended\n"})
    repo.drain()
    assert sorted(repo.landings()) == ["fix/1", "other/1"] and repo.landings()[0] == "fix/1"
    repo.proven()


def test_a_trunk_that_has_lost_the_gates_own_program_is_mended_too(make_repo):
    repo = make_repo(gate="./gate.sh", retries=0)
    repo.submit("other", {"other.txt": "other\n"})
    repo.git("checkout", "-q", "-b", "topic")
    (repo.path / "gate.sh").write_text("#!/bin/sh\nexit 0\n")
    (repo.path / "gate.sh").chmod(0o755)
    repo.git("add", "-A")
    repo.git("commit", "-q", "-m", "the gate")
    repo.cli("submit", "--change", "gate")
    repo.git("checkout", "-q", "main")
    repo.drain()
    assert repo.landings() == ["gate/1", "other/1"]
    repo.proven()


def test_a_gate_that_cannot_be_run_ends_a_bot_that_was_not_told_to_end(make_repo):
    # Most likely it is the machine that has to be mended, and the bot to be started again.
    repo = make_repo(gate="no-such-program", retries=0)
    repo.submit("one", {"one.txt": "1\n"})
    said = repo.cli("bot", "run", ok=125).stderr
    assert "the gate command cannot be run" in said and "nobody is blamed" in said
    assert repo.stage("one") == "queued"


# with a fleet

MENDS = (
    'case $AGENTCTL_TASK in mend) echo mended >trunk.txt;; *) echo "$AGENTCTL_TASK" >"$AGENTCTL_TASK.txt";; esac; '
    'git add -A; git commit -qm "$AGENTCTL_TASK"'
)


def test_a_fleet_mends_trunk(make_repo):
    repo = make_repo(files=RED, retries=0)
    add(repo, "one", "mend", "two")
    assert "3 of 3 landed" in run(repo, MENDS).stdout
    assert repo.landings()[0] == "mend/1"
    repo.proven()


def test_a_fleet_whose_tasks_do_not_mend_it_ends_with_a_word(make_repo):
    repo = make_repo(files=RED, retries=0)
    add(repo, "one", "two")
    said = run(repo, MENDS, ok=125).stderr
    assert "2 changes tried on it, and none mends it" in said
    assert task(repo, "one")["status"] == "submitted"
    # Nothing is lost: it goes on once somebody has mended it.
    repo.push({"trunk.txt": "mended\n"})
    assert "2 of 2 landed" in run(repo, MENDS).stdout


def test_a_fleet_does_not_pay_for_what_cannot_land(make_repo):
    repo = make_repo(files=RED, retries=0)
    add(repo, *(f"t{n}" for n in range(8)))
    run(repo, "sleep 1; " + MENDS, "--agents", "2", ok=125)
    where = [task(repo, f"t{n}")["status"] for n in range(8)]
    # Two begin before trunk is known to be red, and then one at a time.
    assert where.count("submitted") <= 4 and where.count("ready") >= 4
    repo.push({"trunk.txt": "mended\n"})
    assert "8 of 8 landed" in run(repo, MENDS).stdout


def test_a_fleet_waits_for_trunk_that_turns_red_meanwhile(make_repo):
    repo = make_repo(retries=0)
    add(repo, *(f"t{n}" for n in range(8)))
    fleet = started(repo, "sleep 0.3; " + MENDS, "--agents", "1")
    try:
        eventually(lambda: repo.landings())
        repo.push(RED)
        eventually(lambda: [task(repo, f"t{n}")["status"] for n in range(8)].count("submitted") == 3)
        time.sleep(2)
        assert fleet.poll() is None and "ready" in [task(repo, f"t{n}")["status"] for n in range(8)]
        repo.push({"trunk.txt": "mended\n"})
        assert fleet.wait(PATIENCE) == 0
    finally:
        fleet.kill()
        fleet.communicate()
    assert len(repo.landings()) == 8
    repo.proven()
