"""The command line as a whole: what it answers before a command runs, and how it fails."""

import json
import subprocess
import sys

import pytest

from agentctl import __version__
from agentctl.cli import SECTIONS
from tests.support.hub import cli, environment

HEAVY = ("click", "dulwich", "yaml", "jsonschema", "psutil", "rich", "filelock")

PROBE = """
import sys
from agentctl.cli import main
try:
    main({args!r})
finally:
    print(*sorted(set(sys.modules) & {heavy!r}), file=sys.stderr)
"""


def loaded(*args, cwd):
    """(exit status, output, heavy libraries imported) of a command line."""
    code = PROBE.format(args=list(args), heavy=set(HEAVY))
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=cwd, env=environment(), stdin=subprocess.DEVNULL, capture_output=True, text=True
    )
    return done.returncode, done.stdout, done.stderr.splitlines()[-1].split()


def test_the_version_needs_no_library(tmp_path):
    assert loaded("--version", cwd=tmp_path) == (0, f"agentctl {__version__}\n", [])


def test_a_hook_needs_no_library(repo):
    assert loaded("hook", "run", "pre-push", cwd=repo.path) == (5, "", [])


def test_the_probe_sees_libraries(tmp_path):
    assert "click" in loaded("--help", cwd=tmp_path)[2]


@pytest.mark.parametrize("args, hint", [(["qeue"], "'queue'"), (["stat"], ""), (["bot", "rnu"], ""), (["queue", "--al"], "")])
def test_what_is_not_there_is_a_wrong_usage(tmp_path, args, hint):
    done = cli(*args, cwd=tmp_path, ok=2)
    assert done.stdout == "" and done.stderr.startswith("agentctl: ") and "\nhint: agentctl" in done.stderr
    assert hint in done.stderr


@pytest.mark.parametrize("args", [[], ["policy"]])
def test_without_a_command_the_help_is_all_that_is_said(tmp_path, args):
    done = cli(*args, cwd=tmp_path, ok=2)
    assert done.stdout.startswith("Usage: agentctl") and done.stderr == ""


@pytest.mark.parametrize(
    "args, hint",
    [
        (["status"], "agentctl queue, or"),
        (["queue", "show"], "agentctl queue"),
        (["log"], "agentctl --help"),
        (["queue", "paus"], "agentctl queue --help"),
    ],
)
def test_a_command_looked_for_under_another_name(tmp_path, args, hint):
    said = cli(*args, cwd=tmp_path, ok=2).stderr.splitlines()
    assert said[0].startswith(f"agentctl: there is no command '{' '.join(args)}'")
    assert said[1].startswith("hint: " + hint)


def test_outside_a_repository(tmp_path):
    done = cli("queue", cwd=tmp_path, ok=4)
    assert done.stderr.splitlines() == [
        f"agentctl: not inside a Git repository: {tmp_path}",
        "hint: git init, or agentctl -C REPO ...",
    ]


@pytest.mark.parametrize(
    "args, status, code",
    [
        (["why", "nothing", "--json"], 4, "not-found"),
        (["--json", "why", "nothing"], 4, "not-found"),
        (["submit", "--change", "..", "HEAD", "--json"], 2, "usage"),
        (["nonsense", "--json"], 2, "usage"),
        (["submit", "--json", "--change", "empty"], 5, "refused"),
    ],
)
def test_an_error_as_json(repo, args, status, code):
    done = cli(*args, cwd=repo.path, ok=status)
    said = json.loads(done.stderr)
    assert set(said) == {"code", "message", "hint", "exit"} and done.stdout == ""
    assert (said["exit"], said["code"]) == (status, code) and said["message"]


def test_json_of_the_agents_command_is_the_agents(repo):
    done = cli("spawn", "ann", "--task", "none", "--", "agent", "--json", cwd=repo.path, ok=4)
    assert done.stderr.startswith("agentctl: ")


def test_global_options_stand_before_and_behind_the_command(repo):
    before, behind = (cli(*args, cwd=repo.path).stdout for args in (["--json", "queue"], ["queue", "--json"]))
    assert json.loads(before) == json.loads(behind)
    assert cli("queue", "-q", cwd=repo.path).stdout == ""
    assert cli("-C", repo.path, "queue", cwd="/").stdout == cli("queue", cwd=repo.path).stdout


def test_an_invalid_policy_on_trunk(make_repo):
    repo = make_repo(files={".agentctl/policy.yaml": "version: 1\ngates: 7\n"})
    done = cli("bot", "run", "--once", "--json", cwd=repo.path, ok=3)
    assert json.loads(done.stderr)["message"].startswith(".agentctl/policy.yaml:2:")


@pytest.mark.parametrize(
    "topic, words", [("policy", "POLICY"), ("tasks", "acceptance"), ("refs", "refs/agentctl/inbox/"), ("run", "--agents")]
)
def test_help_prints_a_page_as_plain_text(tmp_path, topic, words):
    text = cli("help", topic, cwd=tmp_path).stdout
    assert words in text and "\\" not in text.replace("\\n", "") and "\n.SH" not in text


def test_there_is_a_page_for_every_command():
    from agentctl.commands.help_ import _page

    for names in SECTIONS.values():
        for name in names:
            assert _page(name).endswith(("agentctl-" + name + ".1", "agentctl-policy.5"))


def test_help_on_nothing_known(tmp_path):
    assert "agentctl help" in cli("help", "nonsense", cwd=tmp_path, ok=4).stderr


def test_a_closed_pipe_ends_quietly(tmp_path):
    line = f"{sys.executable} -m agentctl help policy | head -n 1"
    done = subprocess.run(["sh", "-c", line], cwd=tmp_path, env=environment(), capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
