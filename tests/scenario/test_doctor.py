"""The doctor: what is broken is found, and the command it names mends it."""

import json
import os
import subprocess
import sys

import pytest

from agentctl.core.task import Claim
from agentctl.engine import processes
from agentctl.engine.processes import MARK
from agentctl.fleet import tasks
from tests.support.agents import kill
from tests.support.hub import command, environment, eventually, policy


def doctor(repo, ok):
    return json.loads(repo.cli("doctor", "--json", ok=ok).stdout)


def mend(repo, line, tmp_path):
    """Type a command, with an agentctl on the PATH."""
    shim = tmp_path / "bin" / "agentctl"
    shim.parent.mkdir(exist_ok=True)
    shim.write_text(f'#!/bin/sh\nexec {sys.executable} -m agentctl "$@"\n')
    shim.chmod(0o755)
    env = environment() | {"PATH": f"{shim.parent}:{os.environ['PATH']}"}
    subprocess.run(["sh", "-c", line], cwd=repo.path, env=env, check=True, capture_output=True)


def dead():
    """The identity of a process that has ended."""
    child = subprocess.Popen(["sleep", "1000"])
    who = processes.identity(child.pid)
    child.kill()
    child.wait()
    return who


def a_broken_ref(repo):
    path = repo.path / ".git/refs/agentctl/tasks/half"
    path.parent.mkdir(parents=True)
    path.write_text("")
    return "broken ref refs/agentctl/tasks/half"


def a_submission_of_another_form(repo):
    repo.git("update-ref", "refs/agentctl/inbox/ann/fix", repo.change({"fix": "fixed\n"}))
    return "refs/agentctl/inbox/ann/fix is not a submission"


def a_claim_that_is_none(repo):
    repo.git("update-ref", "refs/agentctl/claims/fix", repo.tip)
    return "refs/agentctl/claims/fix is not a claim"


def a_lock_that_git_left(repo):
    path = repo.path / ".git/packed-refs.lock"
    path.write_text("")
    return "packed-refs.lock"


def a_checkout_left_behind(repo):
    repo.git("update-ref", "refs/heads/main", repo.change({"new": "new\n"}))
    return "the files of an older commit"


def uncommitted_changes_on_trunk(repo):
    (repo.path / "README").write_text("edited\n")
    return "uncommitted changes"


def an_agent_without_a_session(repo):
    repo.cli("spawn", "bob", "--", "true", ok=1)
    return "bob has a worktree but runs no session"


def a_bot_that_was_killed(repo):
    repo.submit("slow", {"slow.txt": "SLOW\n"})
    bot = subprocess.Popen(command("bot", "run"), cwd=repo.path, env=environment(), stdout=subprocess.DEVNULL)
    eventually(lambda: repo.refs("refs/agentctl/stage"))
    kill(bot, True, repo.hub.mark)
    repo.cli("withdraw", "slow")
    return "have no bot"


BREAKS = (a_bot_that_was_killed, a_broken_ref, a_submission_of_another_form, a_claim_that_is_none, a_lock_that_git_left,
          a_checkout_left_behind, uncommitted_changes_on_trunk, an_agent_without_a_session)


def test_a_sound_hub_has_no_findings(repo):
    before = repo.git("for-each-ref")
    assert doctor(repo, ok=0) == []
    assert "all well" in repo.cli("doctor").stdout
    assert repo.git("for-each-ref") == before


@pytest.mark.parametrize("damage", BREAKS, ids=lambda damage: damage.__name__)
def test_what_the_doctor_names_mends_what_it_found(repo, tmp_path, damage):
    words = damage(repo)
    [finding] = doctor(repo, ok=9)
    assert words in finding["what"]
    mend(repo, finding["mend"], tmp_path)
    assert doctor(repo, ok=0) == []


def test_work_in_a_ref_of_another_form_is_kept(repo, tmp_path):
    head = repo.change({"fix": "fixed\n"})
    repo.git("update-ref", "refs/agentctl/inbox/ann/fix", head)
    [finding] = doctor(repo, ok=9)
    mend(repo, finding["mend"], tmp_path)
    assert repo.git("for-each-ref", "--format=%(refname)", "--contains", head).startswith("refs/heads/found-")


@pytest.mark.parametrize("line, missing", [
    ("no-such-tool --fast", "no-such-tool"), ("A=1 no-such-tool", "no-such-tool"), ("./absent.sh", "./absent.sh"),
    ("sh check.sh", ""), ("./check.sh", ""), ("if true; then sh check.sh; fi", ""), ("(cd . && sh check.sh)", ""),
    ("'no-such-tool'", "")])
def test_the_programs_of_gates(make_repo, line, missing):
    found = doctor(make_repo(gate=json.dumps(line)), ok=9 if missing else 0)
    assert [f["what"].split()[2] for f in found] == ([f"{missing},"] if missing else [])


def test_globs_that_match_nothing(make_repo):
    # Such a gate would pass once and never be run again.
    text = policy().replace("name: check", "name: check\n    paths: [src]").replace(".agentctl/**", ".agentctl")
    repo = make_repo(files={".agentctl/policy.yaml": text, "src/a": "a\n"})
    found = {f["what"]: f["mend"] for f in doctor(repo, 9)}
    assert [*found] == ["gates.check.paths names the directory src, and so nothing in it",
                        "protect names the directory .agentctl, and so nothing in it",
                        "gates.check.paths matches no file of trunk: the gate does not run"]
    assert "src/**" in [*found.values()][0]


def test_an_agent_program_that_is_not_there(make_repo):
    text = policy() + "  # last\n"
    text = text.replace("agents:\n", "agents:\n  command: [no-such-agent]\n")
    [finding] = doctor(make_repo(files={".agentctl/policy.yaml": text}), ok=9)
    assert "no-such-agent" in finding["what"]


def test_an_invalid_policy_on_trunk(make_repo):
    found = doctor(make_repo(files={".agentctl/policy.yaml": "version: 1\n"}), ok=9)
    assert len(found) == 1 and "gates" in found[0]["what"] and found[0]["mend"] == "agentctl policy check"


def test_a_claim_that_outlived_its_supervisor(repo):
    repo.cli("task", "add", "Fix it")
    tasks.claim(repo.hub, "fix-it", Claim("bob", 1, 4e9, dead()))
    [finding] = doctor(repo, ok=9)
    assert finding["what"] == "the claim of bob on fix-it outlived its supervisor"
    tasks.claim(repo.hub, "other", Claim("eve", 1, 4e9, processes.identity()))
    assert doctor(repo, ok=9) == [finding]


def test_processes_that_nobody_watches(repo, tmp_path):
    left = subprocess.Popen(["sleep", "1000"], env=os.environ | {MARK: repo.hub.mark + "gate"})
    [finding] = doctor(repo, ok=9)
    mend(repo, finding["mend"], tmp_path)
    assert left.wait() == -9
    assert doctor(repo, ok=0) == []
