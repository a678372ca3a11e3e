"""What is refused, what nobody is blamed for, and how the command line says so."""

import os
import subprocess
from xml.etree import ElementTree

import pytest

from agentctl.core.queue.records import reason_kind
from agentctl.errors import Infrastructure, PolicyError
from tests.support.hub import cli, command, environment, eventually, finish, git, policy, until, write

# changes that are sent back


def test_a_change_to_a_protected_path_is_refused(repo):
    repo.submit("weaken", {".agentctl/policy.yaml": policy(gate="true")})
    bot = repo.drain()
    assert repo.kind("weaken") == "policy"
    assert ".agentctl/policy.yaml" in repo.record("weaken").why
    assert repo.verdict("weaken")["rules"]
    # No gate ran for it.
    assert not any(probe.chain for probe, _ in bot.judged)
    assert "protect" in repo.cli("wait", "weaken", ok=5).stderr
    repo.proven()


def with_two_of(repo, path, text):
    """A commit on trunk, with one more entry of the name `path` before the one that is there."""
    objects, tip = repo.hub.objects, repo.tip
    tree = objects.commit(tip).tree
    data, entry = objects.store.read(tree)[1], b"100644 " + path.encode() + b"\0"
    before, _, after = data.partition(entry)
    twice = before + entry + bytes.fromhex(objects.write_blob(text.encode())) + entry + after
    return objects.write_commit(objects.store.write(b"tree", twice), [tip], "two\n", 1)


def test_a_tree_with_two_entries_of_one_name_is_refused(make_repo):
    # Git takes the first, as it does where a change is tested and where its policy is read.
    repo = make_repo(files={"a.txt": "good\n"})
    repo.hand_in("two", with_two_of(repo, "a.txt", "evil\n"))
    repo.drain()
    assert repo.kind("two") == "policy" and "Git would not write" in repo.record("two").why
    assert repo.show("a.txt") == "good\n"
    repo.proven()


def test_what_only_lies_on_the_way_of_a_change_is_read_before_it_is_queued(make_repo):
    repo = make_repo(files={"a.txt": "good\n"}, strategy="rebase")
    objects, way = repo.hub.objects, with_two_of(repo, "a.txt", "evil\n")
    last = objects.commit(repo.change({"b.txt": "b\n"})).tree
    repo.hand_in("way", objects.write_commit(last, [way], "and none\n", 2))
    repo.submit("fine", {"fine.txt": "fine\n"})
    repo.drain()
    assert (repo.stage("way"), repo.stage("fine")) == ("rejected", "landed")
    repo.proven()


def test_a_timeout_is_a_failure_that_says_so(make_repo):
    repo = make_repo(timeout="1s")
    repo.submit("slow", {"slow.txt": "SLOW\n"})
    repo.drain()
    assert "timed out after 1 s" in repo.record("slow").why
    assert repo.verdict("slow")["exit"] == 124
    repo.proven()


# what nobody is blamed for


def test_a_gate_that_cannot_be_run_blames_nobody(make_repo):
    repo = make_repo(gate="no-such-program --here")
    repo.submit("fine", {"fine.txt": "fine\n"})
    said = repo.cli("bot", "run", "--once", ok=125).stderr
    assert "cannot be run" in said and "nobody is blamed" in said and "no-such-program" in said
    assert repo.stage("fine") in ("waiting", "queued")


def test_a_red_trunk_blames_nobody(make_repo):
    repo = make_repo(files={"trunk.txt": "BUG\n"})
    repo.submit("fine", {"fine.txt": "fine\n"})
    said = repo.cli("bot", "run", "--once", ok=125).stderr
    assert "trunk itself is red" in said and "found a bug" in said
    assert repo.stage("fine") in ("waiting", "queued")

    # Once somebody mended it by hand, the change lands.
    repo.push({"trunk.txt": "mended\n"})
    repo.drain()
    assert repo.stage("fine") == "landed"
    repo.proven()


def test_no_verdict_again_and_again_blames_nobody(make_repo, tmp_path):
    """As where a daemon that the gate needs has gone."""
    gone = tmp_path / "gone"
    repo = make_repo(gate=f"if [ -e {gone} ]; then exit 125; fi")
    repo.drain()
    gone.touch()
    for name in ("one", "two", "three"):
        repo.submit(name, {f"{name}.txt": f"{name}\n"})
    with pytest.raises(Infrastructure, match="no verdict [34] times in a row"):
        repo.drain()
    assert set(repo.stages().values()) == {"queued"}
    gone.unlink()
    repo.drain()
    assert set(repo.stages().values()) == {"landed"}
    repo.proven()


def test_a_change_with_which_the_gate_gives_no_verdict_stops_nobody_else(repo):
    """As where it names an image that there is not: `docker run` says 125 to that."""
    repo.submit("foggy", {"foggy.txt": "UNCLEAR\n"})
    for name in ("one", "two", "three"):
        repo.submit(name, {f"{name}.txt": f"{name}\n"}, agent=name)
    repo.drain()
    assert repo.stages() == {"foggy/1": "rejected", "one/1": "landed", "two/1": "landed", "three/1": "landed"}
    record = repo.record("foggy")
    assert reason_kind(record) == "gate"
    assert "check: exit status 125, and it passes without the changes" in " ".join(repo.cli("why", "foggy").stdout.split())
    repo.proven()


def with_setup(command):
    return {".agentctl/policy.yaml": policy(timeout="1s") + f"slot:\n  setup_on: [needs]\n  setup: {command}\n"}


@pytest.mark.parametrize(("setup", "why"), [("false", "exit status 1"), ("sleep 1000", "timed out after 1 s")])
def test_a_setup_that_fails_with_a_change_and_not_without_it_is_the_fault_of_the_change(make_repo, setup, why):
    repo = make_repo(timeout="1s")
    repo.push(with_setup(f"if [ -e needs ]; then {setup}; fi"))
    repo.submit("needy", {"needs": "a lot\n"})
    repo.submit("fine", {"fine.txt": "fine\n"})
    repo.drain()
    assert repo.stage("fine") == "landed"
    record = repo.record("needy")
    assert reason_kind(record) == "gate" and "rejected" in str(record.stage)
    told = repo.cli("why", "needy").stdout
    assert f"slot setup: {why}, and it passes without the changes" in " ".join(told.split())
    repo.proven()


def test_a_setup_that_fails_without_the_change_too_blames_nobody(make_repo, tmp_path):
    # The machine has lost what setup needs after trunk itself was found to pass.
    needed = tmp_path / "needed"
    needed.touch()
    repo = make_repo(timeout="1s")
    repo.push(with_setup(f"test -e {needed}"))
    repo.drain()
    needed.unlink()
    repo.submit("needy", {"needs": "a lot\n"})
    with pytest.raises(Infrastructure, match="no verdict 3 times in a row: slot setup: exit status 1"):
        repo.drain()
    assert repo.stage("needy") == "queued"
    needed.touch()
    repo.drain()
    assert repo.stage("needy") == "landed"
    repo.proven()


def test_a_gate_may_be_called_setup(make_repo):
    repo = make_repo(files={".agentctl/policy.yaml": policy().replace("name: check", "name: setup")})
    repo.submit("bad", {"bad.txt": "BUG\n"})
    repo.drain()
    assert repo.kind("bad") == "gate"
    repo.proven()


def test_a_missing_verdict_is_asked_for_again(make_repo, tmp_path):
    # The gate cannot tell at its first run of the change, and can at its second.
    seen = tmp_path / "seen"
    repo = make_repo(gate=f"if grep -qs new new.txt && mkdir {seen}; then exit 125; fi; sh check.sh")
    repo.submit("new", {"new.txt": "new\n"})
    bot = repo.drain()
    assert [str(j.verdict) for probe, j in bot.judged if probe.chain] == ["indeterminate", "passed"]
    assert repo.stage("new") == "landed"
    repo.proven()


def test_an_invalid_policy_is_told_with_its_place(repo):
    text = policy().replace("slots: 2", "slots: many")
    repo.push({".agentctl/policy.yaml": text})
    repo.submit("fine", {"fine.txt": "fine\n"})
    line, before = text.splitlines().index("  slots: many") + 1, repo.refs("refs")
    said = repo.cli("bot", "run", "--once", ok=3).stderr
    assert f".agentctl/policy.yaml:{line}:10: " in said
    with pytest.raises(PolicyError):
        repo.drain()
    assert repo.refs("refs") == before
    assert not os.path.exists(repo.hub.worktrees)


def test_a_policy_that_becomes_invalid_ends_the_bot_and_loses_nothing(repo):
    repo.submit("fine", {"fine.txt": "fine\n"})
    with repo.bot() as bot:
        until(bot, lambda: any(staged.probe.chain for staged in bot.state.probes))
        repo.push({".agentctl/policy.yaml": "version: 2\n"})
        with pytest.raises(PolicyError, match=r"policy\.yaml:1:10: "):
            finish(bot)
    assert repo.stage("fine") == "queued" and repo.show("fine.txt") is None
    repo.push({".agentctl/policy.yaml": policy()})
    repo.drain()
    assert repo.stage("fine") == "landed"
    repo.proven()


# repositories that are not supported


def test_outside_a_repository(tmp_path):
    said = cli("queue", cwd=tmp_path, ok=4).stderr
    assert said.startswith("agentctl: not inside a Git repository") and "hint: git init" in said


def test_sha256_is_refused(tmp_path):
    git(tmp_path, "init", "-q", "--object-format=sha256", "repo")
    assert "SHA-256" in cli("queue", cwd=tmp_path / "repo", ok=5).stderr


def test_reftable_is_refused(repo):
    repo.git("config", "core.repositoryformatversion", "1")
    repo.git("config", "extensions.refstorage", "reftable")
    assert "reftable" in repo.cli("queue", ok=5).stderr


def test_a_shallow_clone_is_refused(repo, tmp_path):
    repo.push({"more.txt": "more\n"})
    git(tmp_path, "clone", "-q", "--depth=1", f"file://{repo.path}", "shallow")
    said = cli("queue", cwd=tmp_path / "shallow", ok=5).stderr
    assert "shallow" in said and "git fetch --unshallow" in said


# the command line


def test_of_two_bots_the_second_is_told_who_the_first_is(repo):
    first = subprocess.Popen(command("bot", "run"), cwd=repo.path, env=environment(), stdout=subprocess.DEVNULL)
    try:
        eventually((repo.path / ".git/agentctl/locks/bot.lock.json").exists)
        said = repo.cli("bot", "run", "--once", ok=8).stderr
        assert f"process {first.pid}" in said and "agentctl bot run" in said
    finally:
        first.terminate()
    assert first.wait(60) == 143


def test_a_ci_job_gets_a_report(repo, tmp_path):
    repo.submit("good", {"good.txt": "good\n"})
    repo.submit("bad", {"bad.txt": "a BUG \x1b[31m\x00\n"})
    done = repo.cli("bot", "run", "--once", "--junit", tmp_path / "report.xml", ok=7)
    assert "landed 1, rejected 1" in done.stdout
    suites = {suite.get("name"): suite for suite in ElementTree.parse(tmp_path / "report.xml").getroot()}
    assert int(suites["probes"].get("tests")) == len(suites["probes"]) >= 3
    changes = {case.get("name"): case for case in suites["changes"]}
    assert suites["changes"].get("failures") == "1" and changes.keys() == {"good/1", "bad/1"}
    assert changes["good/1"].find("failure") is None
    assert "found a bug" in changes["bad/1"].find("failure").text

    # With nothing to do the job succeeds.
    assert "landed 0, rejected 0" in repo.cli("bot", "run", "--once").stdout


def test_init_twice_changes_nothing(tmp_path):
    git(tmp_path, "init", "-q", "repo")
    folder = tmp_path / "repo"
    write(folder, {"check.sh": "exit 0\n"})
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "-m", "begin")
    cli("init", "--gate", "sh check.sh", cwd=folder)
    first = (folder / ".agentctl/policy.yaml").read_text()
    assert "sh check.sh" in first
    assert "there already" in cli("init", "--gate", "other", cwd=folder).stdout
    assert (folder / ".agentctl/policy.yaml").read_text() == first
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "-m", "policy")
    assert "there already" in cli("init", cwd=folder).stdout


def test_what_was_tested_by_hand_is_tested_again_by_the_bot(repo, tmp_path):
    # Ann tests in a worktree of her own, commits, submits; trunk has not moved. Asked again, her
    # own test is known; to the bot it is no proof.
    work = tmp_path / "work"
    repo.git("worktree", "add", "-q", "-b", "topic", str(work))
    write(work, {"topic.txt": "topic\n"})
    assert "passed" in repo.cli("test", cwd=work).stdout
    git(work, "add", "-A")
    git(work, "commit", "-q", "-m", "topic")
    again = repo.cli("-v", "test", cwd=work)
    assert "passed" in again.stdout and "testing" not in again.stderr
    repo.cli("submit", cwd=work)
    bot = repo.drain()
    assert repo.landings() == ["topic/1"]
    assert [len(probe.chain) for probe, _ in bot.judged] == [0, 1]
    repo.proven()


def test_test_tells_of_failures_and_conflicts(repo, tmp_path):
    work = tmp_path / "work"
    repo.git("worktree", "add", "-q", "-b", "topic", str(work))
    write(work, {"README": "BUG\n"})
    assert "found a bug" in repo.cli("test", cwd=work, ok=7).stdout
    repo.push({"README": "other\n"})
    assert "README" in repo.cli("test", cwd=work, ok=6).stderr


def test_wait_says_by_its_status_how_a_change_ended(make_repo):
    repo = make_repo(files={"word": "zero\n"})
    repo.submit("a-good", {"word": "one\n"})
    repo.drain()
    base = repo.git("rev-parse", "main^").strip()
    repo.submit("clash", {"word": "two\n"}, base=base)
    repo.submit("bad", {"bad.txt": "BUG\n"})
    repo.drain()
    repo.submit("late", {"late.txt": "late\n"})
    assert "landed as" in repo.cli("wait", "a-good").stdout
    assert "clash/1 was rejected" in repo.cli("wait", "clash", ok=6).stderr
    assert "bad/1 was rejected" in repo.cli("wait", "bad", ok=7).stderr
    assert "late/1 is waiting still" in repo.cli("wait", "late", "--timeout", "0.1s", ok=124).stderr
    assert "no change called" in repo.cli("wait", "nothing", ok=4).stderr
    repo.submit("late", {"late.txt": "later\n"})
    repo.drain()
    assert "superseded" in repo.cli("wait", "late/1", ok=5).stderr


def test_a_gate_that_prints_braces_is_quoted_as_it_is(make_repo):
    repo = make_repo(gate="echo 'got {0} {} {name}, wanted {'; exit 1")
    assert "got {0} {} {name}, wanted {" in repo.cli("bot", "run", "--once", ok=125).stderr


def test_directories_nested_too_deep_are_refused_in_words(make_repo):
    text = policy() + "limits:\n  depth: 1000\n  path: 4096\n"
    repo = make_repo(files={".agentctl/policy.yaml": text})
    repo.submit("fits", {"d/" * 150 + "x": "x\n"})
    repo.submit("deep", {"d/" * 250 + "x": "x\n"}, base=repo.tip)
    repo.drain()
    assert repo.stage("fits") == "landed" and repo.stage("deep") == "rejected"
    assert "directories are nested more than 200 deep" in repo.record("deep").why


def test_waiting_for_what_did_not_land_needs_no_policy(repo):
    repo.submit("bad", {"bad.txt": "BUG\n"})
    repo.drain()
    repo.push({".agentctl/policy.yaml": "version: 1\ngates: nonsense\n"})
    assert "bad/1 was rejected" in repo.cli("wait", "bad", ok=7).stderr


def test_what_to_do_follows_from_what_was_broken_and_not_from_its_words(repo):
    """A file may be called after the words of a rule."""
    repo.submit("one", {".agentctl/policy.yaml": "version: 1\n"})
    repo.submit("two", {"a: protected by b/.GIT/c": "x\n"})
    repo.drain()
    assert "no change may touch what is protected" in repo.cli("why", "one").stdout
    assert "mend it (git switch" in repo.cli("why", "two").stdout
