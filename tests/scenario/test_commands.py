"""The smaller commands, by the real command line."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys

import pytest

from tests.support.agents import add, run
from tests.support.hub import ROOT, git, policy, write

WORK = "echo done > $AGENTCTL_AGENT.txt; echo said by $AGENTCTL_AGENT"


def test_spawn_ps_logs_rm(repo):
    # One session: what it leaves uncommitted is committed and submitted; the worktree stays.
    said = repo.cli("spawn", "ann", "--prompt", "Write ann.txt.", "--", "sh", "-c", WORK).stdout
    assert "ann: submitted as ann/1" in said
    assert repo.stage("ann") == "waiting"
    assert repo.cli("logs", "ann").stdout == "said by ann\n"
    (row,) = json.loads(repo.cli("ps", "--json").stdout)
    assert row["agent"] == "ann" and row["since"] is None and os.path.isfile(row["worktree"] + "/ann.txt")

    # Its work is safe in the inbox, so rm takes the worktree away without a word.
    repo.cli("rm", "ann")
    assert not os.path.exists(row["worktree"])
    repo.drain()
    assert repo.show("ann.txt") == "done\n"


def test_a_name_is_not_used_again_while_what_it_handed_in_is_queued(repo):
    repo.cli("spawn", "ann", "--", "sh", "-c", WORK)
    said = repo.cli("spawn", "ann", "--", "sh", "-c", "echo other >other", ok=5).stderr
    assert "what ann handed in is still in the queue" in said and "agentctl wait ann" in said
    repo.drain()
    repo.cli("spawn", "ann", "--", "sh", "-c", "echo other >other")
    repo.drain()
    assert repo.landings() == ["ann/1", "ann/2"]


def test_the_log_of_a_task_is_that_of_its_newest_session(repo):
    add(repo, "first")
    run(repo, "echo session $AGENTCTL_GENERATION; [ $AGENTCTL_GENERATION = 1 ] || echo 1 > new")
    assert repo.cli("logs", "first").stdout == "session 2\n"
    assert "no session of an agent or a task 'second'" in repo.cli("logs", "second", ok=4).stderr


def test_rm_refuses_what_would_be_lost_and_salvages_when_forced(repo):
    repo.cli("spawn", "ann", "--", "sh", "-c", "exit 0", ok=1)
    (row,) = json.loads(repo.cli("ps", "--json").stdout)
    write(repo.path.parent / row["worktree"], {"precious.txt": "work of hours\n"})
    refused = json.loads(repo.cli("--json", "rm", "ann", ok=5).stderr)
    assert "not submitted" in refused["message"] and refused["exit"] == 5
    repo.cli("rm", "ann", "--force")
    assert git(repo.path, "show", "refs/agentctl/salvage/ann/1:precious.txt") == "work of hours\n"


def test_many_at_once(repo):
    repo.cli("spawn", "w", "--count", "6", "--", "sh", "-c", WORK)
    assert len([r for r in repo.refs() if "/inbox/" in r]) == 6
    repo.drain()
    assert sorted(repo.landings()) == [f"w-{n}/1" for n in range(1, 7)]


def test_an_agent_program_that_is_not_there(repo):
    failed = json.loads(repo.cli("--json", "spawn", "ann", "--", "no-such-agent", ok=4).stderr)
    assert "no-such-agent" in failed["message"] and failed["hint"]
    assert repo.refs() == []


def test_tasks_from_a_file_and_by_hand(repo, tmp_path):
    (tmp_path / "tasks.yaml").write_text("- {id: one, prompt: Do one.}\n- {id: two, prompt: Do two., after: [one]}\n")
    assert repo.cli("task", "add", "--file", tmp_path / "tasks.yaml").stdout.split() == ["one", "two"]
    repo.cli("task", "add", "Do a third thing", "--priority", "3")
    listed = {t["id"]: t for t in json.loads(repo.cli("task", "list", "--json").stdout)}
    assert {name: t["status"] for name, t in listed.items()} == {"one": "ready", "two": "blocked", "do-a-third-thing": "ready"}
    repo.cli("task", "done", "one", "--reason", "by hand")
    assert json.loads(repo.cli("task", "show", "two", "--json").stdout)["status"] == "ready"
    assert "Do two." in repo.cli("task", "show", "two").stdout

    # A bad list changes nothing and names each line.
    (tmp_path / "bad.yaml").write_text("- {id: three, prompt: x, after: [nobody]}\n- {id: three, prompt: y, pirority: 1}\n")
    said = repo.cli("task", "add", "--file", tmp_path / "bad.yaml", ok=3).stderr
    assert "bad.yaml:2:" in said and "priority" in said
    repo.cli("task", "show", "three", ok=4)


def test_hooks_keep_commits_and_pushes_from_going_around(repo, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    repo.cli("hook", "install", "--guard-trunk")
    known = json.loads(repo.cli("hook", "status", "--json").stdout)
    assert known.pop("pre-receive") == "absent", "that is for a hub that others push to"
    assert set(known.values()) == {"installed"}

    def commit(*extra, **env):
        return subprocess.run(
            ["git", "commit", "--allow-empty", "-m", "x", *extra],
            cwd=repo.path,
            text=True,
            capture_output=True,
            env=os.environ | env,
        )

    tip = repo.tip
    assert "goes around the merge queue" in commit().stderr
    assert "only the merge queue moves" in commit("--no-verify").stderr
    assert repo.tip == tip
    git(repo.path, "switch", "-q", "-c", "mine")
    assert commit().returncode == 0
    assert "not on its own branch" in commit(AGENTCTL_AGENT="ann").stderr
    git(repo.path, "switch", "-q", "main")

    # The bot is not held up by them.
    repo.submit("fine", {"fine.txt": "fine\n"})
    repo.drain()
    assert repo.stage("fine") == "landed"
    repo.cli("hook", "uninstall")
    assert commit().returncode == 0


def test_hooks_of_others_are_left_alone(repo):
    theirs = repo.path / ".git/hooks/pre-commit"
    write(repo.path, {".git/hooks/pre-commit": "#!/bin/sh\n"})
    repo.cli("hook", "install", ok=5)
    assert theirs.read_text() == "#!/bin/sh\n" and not (repo.path / ".git/hooks/pre-push").exists()


def test_doctor_finds_and_tells_how_to_mend(repo):
    assert "all well" in repo.cli("doctor").stdout
    write(repo.path, {"README": "changed\n", ".git/refs/heads/x.lock": ""})
    git(repo.path, "update-ref", "refs/agentctl/inbox/odd", repo.tip)
    found = json.loads(repo.cli("doctor", "--json", ok=9).stdout)
    said = " ".join(f["what"] for f in found)
    assert "uncommitted" in said and "refs/agentctl/inbox/odd" in said and "x.lock" in said
    assert all(f["mend"] for f in found)


@pytest.mark.parametrize("page", ["run", "policy", "refs", None])
def test_help_shows_the_manual(repo, page):
    said = repo.cli("help", *([page] if page else [])).stdout
    assert "NAME" in said and "agentctl" in said and "\\f" not in said


def test_version_answers_before_anything_heavy_is_imported():
    code = (
        "import sys\nfrom agentctl.cli import main\ntry: main(sys.argv[1:])\nexcept SystemExit as e: code = e.code\n"
        "sys.stderr.write(repr([code, sorted({'click', 'dulwich', 'yaml'} & set(sys.modules))]))"
    )
    for args, status in ((["--version"], 0), (["hook", "run", "pre-push"], 5)):
        done = subprocess.run(
            [sys.executable, "-c", code, *args], capture_output=True, text=True, env=os.environ | {"PYTHONPATH": str(ROOT)}
        )
        assert done.stderr.endswith(f"[{status}, []]"), done.stderr


def test_an_unknown_command_suggests_the_nearest(repo):
    said = json.loads(repo.cli("--json", "subimt", ok=2).stderr)
    assert "did you mean 'submit'" in said["message"]


def test_debug_shows_each_git_and_each_transaction(repo):
    repo.git("branch", "topic", repo.change({"topic.txt": "topic\n"}))
    plain = repo.cli("submit", "topic", "--change", "one")
    assert "exit status" not in plain.stderr and "transaction" not in plain.stderr
    shown = repo.cli("--debug", "submit", "topic", "--change", "two").stderr
    assert re.search(r"^\d\d:\d\d:\d\d\.\d{3} git .*update-ref .*: exit status 0 after [\d.]+ ms in ", shown, re.MULTILINE)
    assert re.search(r"transaction submit two/1: create refs/agentctl/inbox/\S+/two/1 [0-9a-f]{40}\n", shown)


def test_what_only_reads_lists_what_is_there_where_the_policy_cannot_be_used(repo):
    for name in ("done", "next"):
        repo.cli("task", "add", "--id", name, f"Do {name}")
    repo.cli("spawn", "ann", "--task", "done", "--", "sh", "-c", "echo 1 > done.txt")
    repo.drain()
    repo.push({".agentctl/policy.yaml": "version: 1\n"})
    repo.submit("late", {"late.txt": "1\n"})
    unusable = "trunk's policy cannot be used: .agentctl/policy.yaml:1:1: missing key 'gates'"
    for command in (["queue"], ["ps"], ["task", "list"], ["task", "show", "next"]):
        assert f"held up: {unusable}" in repo.cli(*command).stdout
    listed = repo.cli("task", "list").stdout.splitlines()
    assert [line.split()[:2] for line in listed[:2]] == [["landed", "done"], ["ready", "next"]]
    assert "held up" not in repo.cli("task", "show", "done").stdout
    waiting = repo.cli("why", "late").stdout
    assert f"nothing lands: {unusable}" in waiting and waiting.endswith(
        "next: mend .agentctl/policy.yaml on main, then: agentctl doctor\n"
    )
    assert repo.cli("why", "done").stdout.startswith("done/1: landed\n")
    assert repo.cli("wait", "done").stdout.startswith("done/1: landed as ")
    assert repo.cli("radar").stdout == "no session runs here\n"
    assert "1 landed in 1 moves of trunk, 0 rejected, 0 queued: all invariants hold" in repo.cli("verify").stdout
    repo.push({".agentctl/policy.yaml": policy()})
    assert "held up" not in repo.cli("task", "list").stdout
