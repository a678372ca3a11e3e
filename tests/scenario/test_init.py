"""`init`: the policy is written whole, protects what the gate calls, and tells what trunk is called."""

import json
import os
from pathlib import Path

import pytest

from tests.support.hub import cli, git, write


@pytest.fixture
def plain(tmp_path):
    """A repository with a Makefile that calls a script, and no policy yet."""
    git(tmp_path, "init", "-q", "-b", "main", "plain")
    write(tmp_path / "plain", {"Makefile": "test:\n\tsh ci/run.sh\n", "ci/run.sh": "true\n", "package.json": "{}\n"})
    git(tmp_path / "plain", "add", "-A")
    git(tmp_path / "plain", "commit", "-qm", "begin")
    return tmp_path / "plain"


def protected(folder):
    explained = json.loads(cli("--json", "policy", "explain", "protect", cwd=folder).stdout)
    return explained[0]["value"]


def test_what_the_gate_calls_is_protected_and_said(plain):
    said = cli("init", "--no-try", "--gate", "make test && npm test", cwd=plain).stdout
    assert "no change may touch: .agentctl/**, GNUmakefile, Makefile, ci/run.sh, makefile" in said
    assert "changes may touch, though the gate reads it: package.json" in said
    assert protected(plain) == [".agentctl/**", "GNUmakefile", "Makefile", "ci/run.sh", "makefile"]
    text = (plain / ".agentctl/policy.yaml").read_text()
    assert "Take out what ordinary work has to change" in text
    # It is a choice: taken out, it is no longer protected.
    write(plain, {".agentctl/policy.yaml": text.replace('  - "Makefile"\n', "")})
    assert protected(plain) == [".agentctl/**", "GNUmakefile", "ci/run.sh", "makefile"]


@pytest.mark.parametrize("preset", ["default", "solo", "strict"])
def test_every_preset_protects_it(plain, preset):
    told = json.loads(cli("--json", "init", "--preset", preset, "--gate", "make test", cwd=plain).stdout)
    assert {".agentctl/**", "Makefile", "ci/run.sh"} <= set(told["protect"]) and told["open"] == []
    assert protected(plain) == told["protect"]


def test_a_change_that_touches_it_is_turned_away(plain):
    cli("init", "--gate", "sh ci/run.sh", cwd=plain)
    git(plain, "add", "-A")
    git(plain, "commit", "-qm", "policy")
    git(plain, "switch", "-qc", "weaker")
    write(plain, {"ci/run.sh": "exit 0\n"})
    git(plain, "commit", "-qam", "weaker")
    cli("submit", cwd=plain)
    git(plain, "switch", "-q", "main")
    cli("bot", "run", "--once", cwd=plain, ok=7)
    assert "ci/run.sh" in cli("why", "weaker", cwd=plain).stdout


def test_a_bare_repository(plain):
    git(plain.parent, "clone", "-q", "--bare", str(plain), "bare.git")
    told = json.loads(cli("--json", "init", cwd=plain.parent / "bare.git").stdout)
    assert told["committed"] and {".agentctl/**", "Makefile"} <= set(told["protect"])


def test_an_empty_policy_is_no_missing_one(plain):
    write(plain, {".agentctl/policy.yaml": ""})
    git(plain, "add", "-A")
    git(plain, "commit", "-qm", "empty")
    git(plain.parent, "clone", "-q", "--bare", str(plain), "bare.git")
    for where in (plain, plain.parent / "bare.git"):
        assert ".agentctl/policy.yaml:1:1" in cli("init", cwd=where, ok=3).stderr
        assert git(where, "show", "main:.agentctl/policy.yaml") == ""


def test_trunk_is_always_written_down(plain):
    cli("init", cwd=plain)
    assert git(plain, "config", "agentctl.trunk") == "main\n"
    git(plain, "config", "--unset", "agentctl.trunk")
    # Also by one that finds its work done: it may have been cut off before that.
    assert "there already" in cli("init", cwd=plain).stdout
    assert git(plain, "config", "agentctl.trunk") == "main\n"


def test_another_trunk_than_that_of_the_policy_is_refused(plain):
    cli("init", cwd=plain)
    git(plain, "branch", "develop")
    said = cli("init", "--trunk", "develop", cwd=plain, ok=5).stderr
    assert "names main as trunk" in said and "set `trunk: develop`" in said
    assert git(plain, "config", "agentctl.trunk") == "main\n"


def test_what_a_kill_left_half_done_is_finished(plain):
    write(plain, {".agentctl/policy.yaml.agentctl-new": "version: 1\ngat"})
    (plain / ".git/config.lock").touch()
    os.utime(plain / ".git/config.lock", (1, 1))
    cli("init", cwd=plain)
    assert os.listdir(plain / ".agentctl") == ["policy.yaml"] and not (plain / ".git/config.lock").exists()
    cli("policy", "check", cwd=plain)


def test_how_the_repository_is_tested_is_told_and_tried(plain):
    done = cli("init", cwd=plain)
    assert "found: Makefile has a target `test`" in done.stdout and "passed in" in done.stdout
    assert "trying on main, in a worktree of its own: make test" in done.stderr
    assert git(plain, "status", "--porcelain") == "?? .agentctl/\n"
    assert json.loads(cli("--json", "policy", "explain", "gates", cwd=plain).stdout)


def test_a_gate_that_does_not_pass_is_told_with_its_last_lines_and_tried_again_once_it_is_edited(plain):
    failed = cli("init", "--gate", "echo it says why; false", cwd=plain, ok=7)
    assert "  it says why" in failed.stdout and "next:" not in failed.stdout
    assert "main does not pass: test: exit status 1" in failed.stderr
    assert "edit gates.test.run in .agentctl/policy.yaml, then again: agentctl init" in failed.stderr
    policy = plain / ".agentctl/policy.yaml"
    policy.write_text(policy.read_text().replace("echo it says why; false", "true"))
    again = cli("init", cwd=plain).stdout
    assert "there already" in again and "passed in" in again and "next:" in again


def test_a_gate_that_lacks_what_a_setup_would_install_is_told_so(plain):
    write(plain, {"package.json": '{"scripts": {"test": "jest"}, "devDependencies": {"jest": "29"}}\n'})
    git(plain, "commit", "-qam", "needs jest")
    said = cli("init", "--gate", "no-such-program", cwd=plain, ok=7).stderr
    assert "write slot.setup in .agentctl/policy.yaml, such as npm install" in said


def test_a_setup_that_fails_is_told_apart_from_the_gate(plain):
    cli("init", "--no-try", cwd=plain)
    policy = plain / ".agentctl/policy.yaml"
    policy.write_text(policy.read_text().replace('  setup: ""', "  setup: no-such-program"))
    said = cli("init", cwd=plain, ok=125).stderr
    assert "slot setup: exit status 127" in said and "edit slot.setup in .agentctl/policy.yaml, then again: agentctl init" in said


def test_no_try_runs_nothing(plain):
    told = json.loads(cli("--json", "init", "--no-try", "--gate", "touch /nonexistent/x", cwd=plain).stdout)
    assert told["tried"] is None and told["state"] == "written"


def test_what_is_tried_is_in_the_json(plain):
    told = json.loads(cli("--json", "init", cwd=plain).stdout)
    assert told["tried"]["verdict"] == "passed" and told["found"][0]["gate"] == "make test"


def test_many_projects_need_a_gate_that_tests_all(tmp_path):
    git(tmp_path, "init", "-q", "-b", "main", "many")
    write(tmp_path / "many", {f"part{n}/go.mod": "" for n in range(9)})
    git(tmp_path / "many", "add", "-A")
    git(tmp_path / "many", "commit", "-qm", "begin")
    said = cli("init", cwd=tmp_path / "many", ok=2).stderr
    assert "there are 9 projects here, such as part0 and part1" in said and "agentctl init --gate 'COMMAND'" in said


def test_what_a_setup_made_is_kept_for_the_next_run(plain):
    """Each run of `test`, and each bot that ends, would make it anew otherwise."""
    cli("init", "--no-try", cwd=plain)
    policy = plain / ".agentctl/policy.yaml"
    text = policy.read_text().replace('  setup: ""', "  setup: mkdir made && echo >>$HOME/setups\n  keep: [made]")
    policy.write_text(text.replace('run: "make test"', "run: test -d made"))
    git(plain, "add", "-A")
    git(plain, "commit", "-qm", "policy")
    cli("test", cwd=plain)
    cli("test", "--again", cwd=plain)
    git(plain, "switch", "-qc", "topic")
    write(plain, {"new": "1\n"})
    git(plain, "add", "-A")
    git(plain, "commit", "-qm", "new")
    cli("submit", cwd=plain)
    cli("bot", "run", "--once", cwd=plain)
    assert (Path(os.environ["HOME"]) / "setups").read_text().count("\n") == 1
    assert "all well" in cli("doctor", cwd=plain).stdout
