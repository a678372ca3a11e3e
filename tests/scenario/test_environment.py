"""What gates and agents see of the environment of whoever started agentctl."""

import os
import subprocess

import pytest

from agentctl.engine import environ
from tests.support import agents
from tests.support.hub import command, environment

HERE = os.getpid()
"""The same test may run elsewhere on this machine."""
KEYS = {
    "AWS_SECRET_ACCESS_KEY": f"planted-aws-{HERE}",
    "GITHUB_TOKEN": f"planted-github-token-{HERE}",
    "OPENAI_API_KEY": "planted-openai-key",
    "DATABASE_URL": "postgres://app:planted-pw@db/app",
    "SSH_AUTH_SOCK": "/tmp/planted-sock",
    "PROJECT_SETTING": "planted-setting",
    "LC_PAPER": "de_DE",
}
EVERYBODY = "for p in /proc/[0-9]*; do tr '\\0' '\\n' <$p/environ; done 2>/dev/null; true"
"""Prints what every process was started with that the one that asks may look into."""


@pytest.fixture(autouse=True)
def planted(monkeypatch):
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def seen(tmp_path):
    """A function: which of the planted variables a step wrote to a file, by the file's name."""
    return lambda name: {line.partition("=")[0] for line in (tmp_path / name).read_text().splitlines()} & KEYS.keys()


def policy(repo, text):
    """A new policy on trunk."""
    repo.push({".agentctl/policy.yaml": "version: 1\ntrunk: main\n" + text})


def test_gates_and_their_setup_see_no_key(repo, tmp_path, seen):
    policy(
        repo,
        f"""
gates: [{{name: check, run: 'env >{tmp_path}/gate'}}]
slot: {{setup: 'env >{tmp_path}/setup', pass_env: [PROJECT_*]}}
""",
    )
    repo.submit("fix", {"a": "1\n"})
    repo.drain()
    assert repo.stage("fix") == "landed"
    assert seen("gate") == {"LC_PAPER"}
    assert seen("setup") == {"LC_PAPER", "PROJECT_SETTING"}


def test_a_gate_gets_what_the_policy_names(repo, tmp_path, seen):
    policy(repo, f"gates: [{{name: check, run: 'env >{tmp_path}/gate', pass_env: [DATABASE_URL, 'AWS_*']}}]\n")
    repo.cli("test")
    assert seen("gate") == {"LC_PAPER", "DATABASE_URL", "AWS_SECRET_ACCESS_KEY"}


def test_no_key_is_seen_in_a_process_above_the_gate(repo, tmp_path):
    """In the guard, and in agentctl itself, which was started with all of them."""
    (tmp_path / "scan").write_text(EVERYBODY)
    alone = subprocess.run(["sh", tmp_path / "scan"], env=environment(), capture_output=True, text=True)
    assert KEYS["GITHUB_TOKEN"] in alone.stdout, "the scan finds what there is"
    policy(repo, f"gates: [{{name: check, run: 'sh {tmp_path}/scan >{tmp_path}/gate'}}]\n")
    # Not forked from a process of the tests: what is above the gate is to be as it is started by a person.
    subprocess.run(command("test"), cwd=repo.path, env=environment(), check=True, capture_output=True)
    found = (tmp_path / "gate").read_text()
    assert f"AGENTCTL_RUN={repo.hub.mark}gate" in found
    assert [value for value in KEYS.values() if str(HERE) in value and value in found] == []


def test_what_is_hidden_is_still_there_for_us():
    code = (
        "import os; from agentctl.engine import environ; environ.hide();"
        "print(os.environ['GITHUB_TOKEN'], open('/proc/self/environ').read().count('planted'));"
        "os.system('echo $GITHUB_TOKEN $HOME')"
    )
    done = subprocess.run([command()[0], "-c", code], env=environment() | {"HOME": "/home/ann"}, capture_output=True, text=True)
    key = KEYS["GITHUB_TOKEN"]
    assert sorted(done.stdout.splitlines()) == sorted([f"{key} /home/ann", f"{key} 0"])


def test_an_agent_sees_its_providers_key_and_its_setup_none(repo, tmp_path, seen):
    policy(
        repo,
        f"""
gates: [{{name: check, run: 'true'}}]
agents: {{setup: 'env >{tmp_path}/setup', pass_env: [PROJECT_SETTING]}}
""",
    )
    agents.add(repo, "job")
    agents.run(repo, f"env >{tmp_path}/agent; {agents.WORK}", "--agents", "1")
    assert seen("setup") == {"LC_PAPER", "PROJECT_SETTING"}
    assert seen("agent") == {"LC_PAPER", "PROJECT_SETTING", "OPENAI_API_KEY"}


def test_the_program_of_an_adapter_gets_no_other_providers_key(repo, tmp_path, seen, monkeypatch):
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "claude").write_text(f"#!/bin/sh\nenv >{tmp_path}/agent\n")
    (tmp_path / "bin" / "claude").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:{os.environ['PATH']}")
    monkeypatch.setenv("ANTHROPIC_API_KEY", "planted-anthropic")
    repo.cli("spawn", "ann", "--adapter", "claude", "--prompt", "x", ok=1)
    assert seen("agent") == {"LC_PAPER"}
    assert "ANTHROPIC_API_KEY=planted-anthropic\n" in (tmp_path / "agent").read_text()


def test_who_lacks_a_variable_is_told_its_name(repo):
    policy(
        repo,
        """
gates: [{name: check, run: 'echo "no DATABASE_URL"; test ! -e bad'}]
agents: {dirty: salvage}
""",
    )
    repo.submit("bad", {"bad": "1\n"})
    repo.drain()
    assert (
        "; its output speaks of DATABASE_URL, kept out of its environment unless gates.pass_env names it"
        in repo.record("bad").why
    )
    done = repo.cli("spawn", "ann", "--", "sh", "-c", "echo AWS_SECRET_ACCESS_KEY: unset; exit 1", ok=1)
    assert "speaks of AWS_SECRET_ACCESS_KEY, kept out of its environment unless agents.pass_env names it" in done.stdout


def test_a_variable_that_was_passed_on_is_not_blamed(repo):
    policy(repo, """gates: [{name: check, run: 'echo "no DATABASE_URL"; test ! -e bad', pass_env: [DATABASE_URL]}]\n""")
    repo.submit("bad", {"bad": "1\n"})
    repo.drain()
    assert "DATABASE_URL" not in repo.record("bad").why


def test_what_a_gate_prints_of_our_keys_is_in_no_ref(repo, tmp_path):
    """Neither in the answer, nor in a verdict, nor in what a command says; the log of this machine keeps it."""
    line = "MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQC7VJTUt9Us8cKj"
    token = "glpat-" + "x1y2z3a4" * 3
    (tmp_path / "secret").write_text(f"{token}\n-----BEGIN PRIVATE KEY-----\n{(line + chr(10)) * 12}-----END PRIVATE KEY-----\n")
    policy(
        repo,
        f"""
gates: [{{name: check, run: 'env; cat {tmp_path}/secret; test ! -e bad', pass_env: [AWS_SECRET_ACCESS_KEY, GITHUB_TOKEN, DATABASE_URL]}}]
""",
    )
    repo.submit("bad", {"bad": "1\n"})
    repo.drain()
    log = repo.answer("bad")["gate.log"]
    for name in ("AWS_SECRET_ACCESS_KEY", "GITHUB_TOKEN", "DATABASE_URL", "private-key", "gitlab-pat"):
        assert f"***REDACTED {name}***" in log
    folder = repo.path / ".git/agentctl/logs/gate"
    own = "".join(path.read_text() for path in folder.iterdir())
    shown = repo.cli("why", "bad", "--log").stdout + repo.cli("why", "bad", "--json").stdout
    everything = shown + repo.git("log", "--all", "--full-history", "-m", "-p")
    for value in (KEYS["AWS_SECRET_ACCESS_KEY"], KEYS["GITHUB_TOKEN"], KEYS["DATABASE_URL"], line, token):
        assert value in own and value not in everything


def test_a_key_that_the_tail_cuts_is_redacted_whole(tmp_path):
    key = "glpat-" + "x1y2z3a4" * 3
    for cut in range(1, len(key)):
        (tmp_path / "log").write_text("some words\n" * 3000 + key + "." * (1000 - cut))
        assert "x1y2" not in environ.tail(str(tmp_path / "log"), 1000)
    assert len(environ.tail(str(tmp_path / "log"), 1000)) == 1000


def test_the_note_of_a_session_holds_no_key(repo):
    key = "glpat-" + "x1y2z3a4" * 3
    says = f"echo 'I cannot use {key}'"
    agents.add(repo, "job")
    shown = [
        agents.run(repo, says, "--attempts", "1", ok=7).stdout,
        repo.cli("task", "show", "job").stdout,
        repo.cli("spawn", "ann", "--", "sh", "-c", says, ok=1).stdout,
        repo.cli("--json", "spawn", "ann", "--", "sh", "-c", says, ok=1).stdout,
    ]
    for text in shown:
        assert "I cannot use ***REDACTED" in text and key not in text
