"""With --json every command prints JSON and nothing else, its errors included.

Commands run in this process: they share what a subprocess would import anew each time.
"""

import json
import subprocess

import click
import pytest

from agentctl import cli
from tests.support.agents import nothing_runs
from tests.support.hub import command, environment, eventually, git, write
from tests.support.tree import every_command

ELSEWHERE = {
    "demo": "test_demo",
    "replay": "its own tests",
    "worker": "test_cluster",
    "hook run": "called by Git, which reads no output",
}
"""Commands that are not run here, and why."""
NEEDS_NO_HUB = {"completion", "help", "policy schema"}

WORK = "echo one >one.txt; git add -A; git commit -qm one; echo did it"

STORY = (
    ("init", "init", 0),
    ("doctor", "doctor", 0),
    ("policy check", "policy check", 0),
    ("policy explain", "policy explain", 0),
    ("policy explain", "policy explain queue.slots", 0),
    ("policy schema", "policy schema", 0),
    ("hook install", "hook install", 0),
    ("hook status", "hook status", 0),
    ("hook uninstall", "hook uninstall", 0),
    ("task add", "task add --id one Do one thing", 0),
    ("task add", "task add --id two Do another thing", 0),
    ("task done", "task done two --reason unwanted", 0),
    ("task open", "task open two", 0),
    ("task bump", "task bump one two", 0),
    ("task park", "task park two --reason later", 0),
    ("task done", "task done two", 0),
    ("run", ["run", "--agents", "1", "--keep", "--", "sh", "-c", WORK], 0),
    ("scale", "scale 3", 0),
    ("scale", "scale --policy", 0),
    ("scale", "scale", 0),
    ("task list", "task list", 0),
    ("task show", "task show one", 0),
    ("ps", "ps", 0),
    ("note", "note use make", 0),
    ("prime", "prime one", 0),
    ("radar", "radar", 0),
    ("logs", "logs agent-1", 0),
    ("rm", "rm agent-1", 0),
    ("spawn", ["spawn", "ann", "--", "sh", "-c", "echo more >more.txt"], 0),
    ("queue", "queue", 0),
    ("queue bump", "queue bump ann", 0),
    ("queue pause", "queue pause --reason release", 0),
    ("queue", "queue", 0),
    ("queue resume", "queue resume", 0),
    ("withdraw", "withdraw ann", 0),
    ("submit", "submit topic --change good", 0),
    ("submit", "submit topic --change good", 0),
    ("approve", "approve", 0),
    ("test", "test topic", 0),
    ("bot run", "bot run --once", 0),
    ("bot restore", "bot restore", 0),
    ("bot adopt", "bot adopt", 0),
    ("wait", "wait good", 0),
    ("why", "why good", 0),
    ("why", "why ann", 0),
    ("queue retry", "queue retry ann", 0),
    ("withdraw", "withdraw ann", 0),
    ("queue", "queue --all", 0),
    ("policy tune", "policy tune --slots 1,2 --batch 8", 0),
    ("revert", "revert good", 0),
    ("verify", "verify", 0),
    ("spawn", ["spawn", "bea", "--", "sh", "-c", "echo a >a.txt; git add -A; git commit -qm a; echo half >half.txt"], 0),
    ("rm", "rm bea --force", 0),
    ("salvage list", "salvage list", 0),
    ("salvage show", "salvage show bea/1", 0),
    ("salvage apply", "salvage apply bea/1", 0),
    ("salvage drop", "salvage drop bea/1", 0),
    ("salvage list", "salvage list", 0),
    ("completion", "completion bash", 0),
    ("help", "help", 0),
    ("help", "help refs", 0),
)
"""(command, words, exit status), in an order in which each has something to show."""

ERRORS = (
    ("", 2),
    ("no-such-command", 2),
    ("why", 2),
    ("why nothing", 4),
    ("wait nothing", 4),
    ("stop nobody", 4),
    ("logs nobody", 4),
    ("rm nobody", 4),
    ("withdraw nothing", 4),
    ("task show nothing", 4),
    ("task add", 2),
    ("task block no key", 2),
    ("scale 0", 2),
    ("scale 3 --policy", 2),
    ("submit no-such-commit", 2),
    ("submit main --change x", 5),
    ("run -- no-such-program", 4),
    ("run", 2),
    ("spawn ann -- no-such-program", 4),
    ("policy explain no.such.key", 4),
    ("policy tune", 4),
    ("policy tune --slots 0", 2),
    ("test red", 7),
)


def words_of(line):
    return line.split() if isinstance(line, str) else line


@pytest.fixture
def say(repo, capfd):
    """Run a command line with --json; (what it printed, a value a line; its error or None)."""

    def run(line, status, where=None):
        capfd.readouterr()
        assert cli.run(["-C", str(where or repo.path), "--json", *words_of(line)]) == status, line
        shown = capfd.readouterr()
        error = json.loads(shown.err) if status else None
        assert status or shown.err == "", line
        return [json.loads(row) for row in ([shown.out] if "schema" in line else shown.out.splitlines())], error

    return run


@pytest.fixture
def topic(repo):
    """Branches with a good and a bad commit, for those who submit."""
    repo.git("branch", "topic", repo.change({"topic.txt": "topic\n"}, "topic"))
    repo.git("branch", "red", repo.change({"red.txt": "BUG\n"}, "red"))


def test_the_story_has_every_command():
    there = {path for path, found in every_command() if not isinstance(found, click.Group) or found.invoke_without_command}
    assert {name for name, *_ in STORY} | {"stop", "task block"} | ELSEWHERE.keys() == there


def test_every_command_prints_json(repo, topic, say):
    for name, line, status in STORY:
        shown, _ = say(line, status)
        assert shown, name
    assert repo.stages()["good/1"] == "landed" and repo.stage("revert-good") == "waiting"


def test_every_error_is_one_object(repo, topic, say):
    for line, status in ERRORS:
        shown, error = say(line, status)
        assert error.keys() == {"code", "message", "hint", "exit"}, line
        assert error["exit"] == status and error["message"], line


def test_outside_a_repository_every_command_says_so(say, tmp_path):
    for name, line, _ in STORY:
        if name not in NEEDS_NO_HUB:
            assert say(line, 4, tmp_path)[1]["code"] == "not-found"


def test_findings_are_told_as_json(repo, say):
    repo.git("update-ref", "refs/agentctl/inbox/ann/no-revision", "main")
    (found,), error = say("doctor", 9)
    assert "no-revision" in found[0]["what"] and error["code"] == "findings"


def test_an_invalid_policy_is_told_as_json(repo, say):
    write(repo.path, {".agentctl/policy.yaml": "version: 2\n"})
    shown, error = say("policy check", 3)
    assert shown == [] and ".agentctl/policy.yaml:1:10: " in error["message"]


def test_stop_prints_json(repo, say):
    session = subprocess.Popen(
        command("spawn", "ann", "--", "sh", "-c", "touch begun; exec sleep 1000"),
        cwd=repo.path,
        env=environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    begun = repo.hub.worktrees + "/agents/ann/begun"
    eventually(lambda: subprocess.run(["test", "-e", begun]).returncode == 0)
    assert say("stop ann", 0)[0] == [{"agent": "ann", "stopped": True, "task": None}]
    assert session.wait(60) == 1
    nothing_runs(repo)
    assert git(repo.path, "for-each-ref", "refs/agentctl/salvage")


def test_block_prints_json(repo, say, monkeypatch):
    say("task add --id one Do one thing", 0)
    monkeypatch.setenv("AGENTCTL_AGENT", "ann")
    monkeypatch.setenv("AGENTCTL_TASK", "one")
    assert say("task block no key", 0)[0] == [{"agent": "ann", "task": "one", "reason": "no key"}]
    assert say("task list", 0)[0][0][0]["reason"] == "ann cannot go on without a person: no key"
