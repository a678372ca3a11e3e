"""`init`: the policy is written whole, protects what the gate calls, and tells what trunk is called."""

import json
import os

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
    said = cli("init", "--gate", "make test && npm test", cwd=plain).stdout
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
    assert told["committed"] and told["protect"] == [".agentctl/**"]


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
