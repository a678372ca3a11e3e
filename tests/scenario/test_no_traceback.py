"""Whatever is typed, whatever becomes of the streams: one sentence, and never a traceback."""

import json
import os
import signal
import subprocess
import sys

import click
import pytest

from agentctl import cli
from agentctl.hub import status
from tests.support.hub import command, environment
from tests.support.tree import every_command

BASE = {
    "run": ["-n", "1", "--", "true"],
    "spawn": ["ann", "--", "no-such-program"],
    "bot run": ["--once"],
    "replay": [".", "A..B", "--gate", "true"],
    "wait": ["nothing"],
    "init": ["--gate", "true"],
    "task add": ["--id", "x", "text"],
    "submit": ["topic", "--change", "x"],
    "policy tune": [],
    "completion": ["bash"],
    "policy explain": ["gates"],
}
"""What a command is given besides a hostile value, so that it ends at once; by default `x` for each argument."""

NOT_HERE = {"demo": "takes no word", "hook run": "the hooks' own tests", "test": "runs a gate", "run": "too slow: some below"}

HOSTILE = (
    "",
    "-",
    "..",
    "/nonexist/x",
    ".",
    "\udcff",
    "a" * 5000,
    "größe\u202e",
    "-1",
    "9" * 40,
    "{0}%s",
    "a\nb",
    "refs/heads/main",
    "x.lock",
    "$(id)",
    "1e999",
    "nan",
)

SENTENCES = (
    ("wait f --timeout 5", 2),
    ("wait f --timeout abc", 2),
    ("wait f --timeout 0", 2),
    ("policy check /nonexist", 4),
    ("policy check .", 4),
    ("bot run --once --junit /nonexist/x.xml", 2),
    ("logs nobody", 4),
    ("replay /nonexist A..B --gate true", 4),
    ("task add --file /nonexist", 2),
    ("task add --file .", 2),
    ("revert nothing", 4),
    ("completion tcsh", 2),
    ("queue bump f --priority x", 2),
    ("test nowhere", 4),
    ("run /nonexist.yaml", 2),
    ("run . -- true", 4),
    ("replay . A..B --gate true --bad x", 2),
    ("replay . A..B --gate true --timeout x", 2),
    ("policy tune --trace .", 4),
    ("policy tune --trace /nonexist", 4),
    ("policy tune --slots x", 2),
    ("spawn a/b -- true", 2),
    ("init --trunk ..", 4),
    ("-C /nonexist queue", 4),
    ("-C /dev/null queue", 4),
)


def hostile_lines():
    for path, found in every_command():
        if path in NOT_HERE or isinstance(found, click.Group):
            continue
        arguments = [p for p in found.params if isinstance(p, click.Argument) and p.required]
        base = BASE.get(path, ["x"] * len(arguments))
        for param in found.params:
            takes = isinstance(param, click.Option) and not param.is_flag and not param.count
            for value in HOSTILE if takes or isinstance(param, click.Argument) else ():
                if takes:
                    yield path, [*path.split(), param.opts[0], value, *base]
                else:
                    at = [p for p in found.params if isinstance(p, click.Argument)].index(param)
                    yield path, [*path.split(), *base[:at], value, *base[at + 1 :]]


@pytest.fixture
def say(repo, capfd, monkeypatch):
    """Run a command line in this process; the error as it is told, or None."""
    monkeypatch.chdir(repo.path)
    repo.git("branch", "topic", repo.change({"topic.txt": "topic\n"}))
    monkeypatch.setattr("sys.stdin", open(os.devnull))

    def run(words):
        capfd.readouterr()
        status = cli.run(["--json", *words])
        said = capfd.readouterr().err
        assert "Traceback" not in said, (words, said)
        error = json.loads(said.splitlines()[-1]) if status and said else None
        assert not error or error["code"] != "defect", (words, error)
        return status, error

    return run


@pytest.mark.parametrize("path", sorted({path for path, _ in every_command()} - NOT_HERE.keys()))
def test_hostile_words_are_told_in_a_sentence(say, path):
    for _, words in [line for line in hostile_lines() if line[0] == path]:
        status, error = say(words)
        assert status in (0, 2, 3, 4, 5, 6, 7, 8, 9, 124, 125), words
        assert error is None or error["message"] and ("\n" not in error["message"].strip() or "a\nb" in words), (words, error)


@pytest.mark.parametrize("line, status", SENTENCES)
def test_what_cannot_be_is_told_in_a_sentence(say, line, status):
    got, error = say(line.split())
    assert got == status and error["message"], (line, got, error)


@pytest.mark.parametrize("data", [b"\xff\xfe", b"a\0b", b""])
@pytest.mark.parametrize("line", ["task add -", "task add --file -", "spawn ann --prompt - -- true"])
def test_input_that_is_no_text(repo, line, data):
    done = subprocess.run(command(*line.split()), cwd=repo.path, env=environment(), input=data, capture_output=True)
    assert done.returncode in (0, 1, 2, 3) and b"Traceback" not in done.stderr and b"itself failed" not in done.stderr, done
    assert done.returncode == 2 or not data or "--file" in line, done


@pytest.mark.parametrize("line", ["--version", "--help", "queue", "queue --json", "doctor", "why nothing"])
@pytest.mark.parametrize("streams", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-", "> /dev/full", "2> /dev/full", "| true"])
def test_streams_that_are_closed_or_full(repo, line, streams):
    done = subprocess.run(
        ["sh", "-c", f"exec {sys.executable} -m agentctl {line} {streams}".replace("exec", "" if "|" in streams else "exec")],
        cwd=repo.path,
        env=environment(),
        capture_output=True,
        text=True,
    )
    assert "Traceback" not in done.stderr and "Exception ignored" not in done.stderr
    assert done.returncode == (4 if line == "why nothing" and "|" not in streams else 125 if "> /dev/full" == streams else 0), (
        done
    )


def test_a_file_opened_later_does_not_take_the_place_of_a_closed_stream(repo):
    subprocess.run(
        ["sh", "-c", f"exec {sys.executable} -m agentctl task add --id one text >&- 2>&- <&-"],
        cwd=repo.path,
        env=environment(),
        check=True,
    )
    assert repo.refs("refs/agentctl/tasks") == ["refs/agentctl/tasks/one"]
    assert repo.git("fsck", "--strict") == ""


@pytest.mark.parametrize(
    "env, status",
    [
        ({"HOME": None}, 0),
        ({"HOME": "relative"}, 0),
        ({"HOME": "/nonexist"}, 0),
        ({"PATH": ""}, 125),
        ({"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}, 0),
        ({"TERM": None}, 0),
    ],
)
def test_odd_environments(repo, env, status):
    repo.cli("task", "add", "--id", "one", "größe \u202e")
    left = {k: v for k, v in (environment() | env).items() if v is not None}
    done = subprocess.run(command("task", "list"), cwd=repo.path, env=left, capture_output=True, text=True)
    assert "Traceback" not in done.stderr and done.returncode == status, done


def test_a_folder_that_is_gone(repo, tmp_path):
    gone = tmp_path / "gone"
    gone.mkdir()
    line = f"cd {gone} && rmdir {gone} && exec {sys.executable} -m agentctl queue"
    done = subprocess.run(["sh", "-c", line], env=environment(), capture_output=True, text=True)
    assert done.returncode == 4 and "is gone" in done.stderr and "Traceback" not in done.stderr


INTERRUPTED = """\
import os, signal, sys
class Interrupt:
    def find_spec(self, name, path=None, target=None):
        if name == {name!r}:
            sys.meta_path.remove(self)
            os.kill(os.getpid(), signal.SIGINT)
signal.signal(signal.SIGINT, signal.default_int_handler)
sys.meta_path.insert(0, Interrupt())
from agentctl.cli import main
main(["queue"])
"""


@pytest.mark.parametrize(
    "name",
    [
        "agentctl.signals",
        "click",
        "agentctl.terminal.parser",
        "agentctl.commands.queue",
        "agentctl.git.repository",
        "yaml",
        "dulwich",
        "agentctl.hub.ledger",
    ],
)
def test_an_interrupt_while_modules_are_imported(repo, name):
    done = subprocess.run(
        [sys.executable, "-c", INTERRUPTED.format(name=name)], cwd=repo.path, env=environment(), capture_output=True, text=True
    )
    assert done.returncode in (-signal.SIGINT, 130, 0) and done.stderr in ("", "\n"), done


UNRAISABLE = """\
import os, signal, time
from agentctl import signals
signals.install()
class Last:
    def __del__(self):
        os.kill(os.getpid(), signal.SIGINT)
        for _ in range(1000): pass
try:
    last = Last()
    del last
    time.sleep(20)
    print("went on")
except signals.Stopped:
    print("stopped", signals.status())
"""


def test_an_interrupt_where_python_can_raise_nothing_is_not_lost(tmp_path):
    done = subprocess.run([sys.executable, "-c", UNRAISABLE], env=environment(), capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("stopped 130\n", "")


@pytest.fixture
def defect(monkeypatch):
    """A command with a defect that nobody foresaw."""

    def broken(*_):
        raise KeyError("nobody foresaw this")

    monkeypatch.setattr(status, "find", broken)


def test_a_defect_is_told_in_a_sentence_and_its_traceback_kept(repo, defect, capfd, monkeypatch):
    assert cli.run(["-C", str(repo.path), "why", "x"]) == 1
    said = capfd.readouterr().err.splitlines()
    assert said[0] == "agentctl: agentctl itself failed: KeyError: 'nobody foresaw this'" and len(said) == 2
    path = said[1].removeprefix("hint: report it with ")
    assert path.startswith(repo.hub.own) and "nobody foresaw this" in open(path).read()
    assert os.stat(path).st_mode & 0o77 == 0

    monkeypatch.setenv("AGENTCTL_DEBUG", "1")
    assert cli.run(["-C", str(repo.path), "why", "x", "--json"]) == 1
    *trace, last = capfd.readouterr().err.splitlines()
    assert any(line.startswith("Traceback") for line in trace) and json.loads(last)["code"] == "defect"
