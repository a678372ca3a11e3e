"""What is wrong with a hub, and that what the doctor says mends it."""

import json
import subprocess

import pytest

from tests.support.agents import WORK, add, kill, run, started
from tests.support.hub import command, environment, eventually, policy


def findings(repo, ok=9):
    return {f["what"]: f["mend"] for f in json.loads(repo.cli("doctor", "--json", ok=ok).stdout)}


def one_finding(repo):
    (what, mend), = findings(repo).items()
    return what, mend


def test_a_sound_hub(repo):
    assert findings(repo, ok=0) == {}
    repo.submit("good", {"good.txt": "good\n"})
    repo.drain()
    assert findings(repo, ok=0) == {}


def test_a_killed_fleet_is_found_and_mended_by_the_next(repo):
    add(repo, "one", "two")
    fleet = started(repo, f"{WORK}; touch \"$AGENTCTL_HUB/begun-$AGENTCTL_TASK\"; exec sleep 1000")
    eventually(lambda: (repo.path / ".git/begun-one").exists() and (repo.path / ".git/begun-two").exists())
    kill(fleet, True, repo.hub.mark)
    found = findings(repo)
    assert len([what for what in found if "outlived its supervisor" in what]) == 2
    assert any("agentctl run" in mend for mend in found.values())
    run(repo, WORK)
    assert findings(repo, ok=0) == {}


def test_a_killed_bot_is_found_and_mended_by_the_next(repo):
    repo.submit("slow", {"slow.txt": "SLOW\n"})
    bot = subprocess.Popen(command("bot", "run"), cwd=repo.path, env=environment(), stdout=subprocess.DEVNULL)
    eventually(lambda: repo.refs("refs/agentctl/stage"))
    kill(bot, True, repo.hub.mark)
    assert any("worktrees were left" in what for what in findings(repo))
    repo.cli("withdraw", "slow")
    repo.cli("bot", "run", "--once")
    assert findings(repo, ok=0) == {}


@pytest.mark.parametrize("gate, missing", [
    ("no-such-program --here", "no-such-program"), ("FAST=1 no-such-program", "no-such-program"), ("./no-such.sh", "./no-such.sh"),
])
def test_a_gate_whose_program_is_not_there(make_repo, gate, missing):
    what, mend = one_finding(make_repo(gate=gate))
    assert repr(missing) in what and "policy.yaml" in mend


@pytest.mark.parametrize("gate", ["sh check.sh", "./check.sh", "cd . && sh check.sh", "FAST=1 sh check.sh", "exit 0"])
def test_a_gate_whose_program_is_there(make_repo, gate):
    assert findings(make_repo(gate=gate), ok=0) == {}


def test_an_agent_program_that_is_not_there(repo):
    repo.push({".agentctl/policy.yaml": policy().replace("agents:\n", "agents:\n  command: [no-such-agent]\n")})
    what, _ = one_finding(repo)
    assert "'no-such-agent'" in what


def test_an_invalid_policy(repo):
    repo.push({".agentctl/policy.yaml": "version: 2\n"})
    found = findings(repo)
    assert any("policy.yaml:1:10: " in what for what in found)


def test_no_branch_for_a_trunk(repo):
    repo.push({".agentctl/policy.yaml": policy(trunk="gone")})
    what, mend = one_finding(repo)
    assert "'gone'" in what and "trunk:" in mend
