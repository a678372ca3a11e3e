"""What others chose or wrote never reaches the terminal as more than text: no command lets it.

Into all that agentctl prints is planted what clears a screen, writes to the clipboard, turns
the direction of a text and returns to the line's beginning; then every command is called.
"""

import contextlib
import io
import json
import os
import pty
import subprocess
import time

import pytest

from agentctl import cli as main
from agentctl.core.text import printable
from tests.support import agents
from tests.support.hub import PATIENCE, cli, command, environment, eventually, git, write
from tests.support.tree import every_command

EVIL = "\x1b[2J\x1b]52;c;aGk=\x07\u202eevil\rx\x9b1A\x7f"
SHOWN = r"\x1b[2J\x1b]52;c;aGk=\x07\u202eevil"
NAME = "\u202e\x9bname"
"""A name of a branch can hold no more: Git refuses what is below a space."""
SHELL = r"printf '\033[2J\033]52;c;aGk=\007\342\200\256evil\rx\302\233\0331A\177\233\n\033[31mred\033[0m\n'"
"""Prints it, in colours besides."""


def harmless(data):
    """Assert that a terminal would show these bytes as they are."""
    text = data.decode("utf-8", "surrogateescape")
    found = [hex(ord(c)) for c in text if printable._OBEYED.match(c)]
    assert found == [], text
    return text


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A hub in which everything that can be named or said is evil, made by one run of the fleet."""
    from tests.conftest import GITCONFIG
    from tests.support.hub import Repo

    with pytest.MonkeyPatch.context() as patch:
        home = tmp_path_factory.mktemp("home")
        (home / "gitconfig").write_text(GITCONFIG.replace("Tess Tester", 'Tess\u202e \\"\x1b[2J\\"'))
        for name, value in {
            "HOME": str(home),
            "GIT_CONFIG_GLOBAL": str(home / "gitconfig"),
            "GIT_CONFIG_NOSYSTEM": "1",
            "NO_COLOR": "1",
            "TERM": "dumb",
        }.items():
            patch.setenv(name, value)
        repo = Repo.create(tmp_path_factory.mktemp("evil") / "repo", gate=json.dumps(f"{SHELL}; sh check.sh"))
        fill(repo)
        yield repo


def fill(repo):
    prompt = f"Title {EVIL}\nbody {EVIL}"
    repo.cli("task", "add", "--id", "job", "--acceptance", EVIL, "-", stdin=prompt)
    script = f'{SHELL}; echo BUG >bug; git add -A; git commit -qm "$({SHELL})"'
    agents.run(repo, script, "--attempts", "1", "--keep", ok=7)
    repo.cli("task", "add", "--id", "done", "other")
    repo.cli("task", "done", "done", "--reason", EVIL)
    ours = repo.change({"both": f"ours {EVIL}\n"}, f"subject {EVIL}")
    repo.submit("before", {"both": f"theirs {EVIL}\n"}, f"landed {EVIL}")
    repo.drain()
    repo.hand_in("conflict", ours)
    repo.hand_in("refused", repo.change({f"a{EVIL}": "1\n"}, f"refused {EVIL}"))
    repo.drain()
    repo.submit("queued", {"q": "1\n"}, f"queued {EVIL}")
    assert {repo.stage(name) for name in ("conflict", "refused", "job")} == {"rejected"}
    repo.cli("queue", "pause", "--reason", EVIL)
    repo.cli("spawn", "ann", "--", "sh", "-c", f"{SHELL}; exit 1", ok=1)


CALLS = [
    (0, "task", "list"),
    (0, "task", "show", "job"),
    (0, "task", "show", "done"),
    (0, "prime", "job"),
    (0, "note", "plain"),
    (0, "note"),
    (0, "approve"),
    (0, "queue"),
    (0, "queue", "--all"),
    (0, "why", "job"),
    (0, "why", "job", "--log"),
    (0, "why", "conflict", "--log"),
    (0, "why", "refused"),
    (0, "why", "before"),
    (0, "why", "queued"),
    (0, "logs", "agent-1"),
    (0, "logs", "ann"),
    (0, "salvage", "list"),
    (4, "salvage", "show", EVIL),
    (4, "salvage", "apply", EVIL),
    (4, "salvage", "drop", EVIL),
    (0, "ps"),
    (0, "radar"),
    (7, "wait", "job"),
    (5, "wait", "refused"),
    (6, "wait", "conflict"),
    (0, "verify"),
    (9, "doctor"),
    (0, "hook", "status"),
    (0, "policy", "explain"),
    (0, "policy", "check"),
    (5, "queue", "pause", "--reason", EVIL, "--below", "7"),
    (0, "queue", "resume"),
    (0, "bot", "run", "--once"),
    (0, "bot", "restore"),
    (0, "bot", "adopt"),
    (4, "why", EVIL),
    (4, "task", "show", EVIL),
    (4, "logs", EVIL),
    (4, "wait", EVIL),
    (4, "withdraw", EVIL),
    (4, "revert", EVIL),
    (4, "queue", "bump", EVIL),
    (4, "queue", "retry", EVIL),
    (4, "policy", "explain", EVIL),
    (4, "help", EVIL),
    (2, "run", "--adapter", EVIL),
    (2, "spawn", EVIL, "--", "true"),
    (4, "spawn", "x", "--", EVIL),
    (4, "stop", EVIL),
    (2, "scale", EVIL),
    (2, "task", "add", "--id", EVIL, "x"),
    (2, "task", "add", "--after", EVIL, "x"),
    (4, "task", "done", EVIL),
    (4, "task", "open", EVIL),
    (4, "task", "park", EVIL, "other"),
    (2, "task", "block", EVIL),
    (4, "task", "bump", EVIL, "other"),
    (2, "completion", EVIL),
    (2, EVIL),
    (2, "queue", EVIL),
    (4, "-C", EVIL, "queue"),
    (4, "test", EVIL),
    (4, "policy", "check", EVIL),
    (2, "--color", EVIL, "queue"),
    (4, "policy", "tune", "--trace", EVIL),
    (2, "policy", "tune", "--slots", EVIL),
    (4, "rm", EVIL),
    (2, "submit", "--change", EVIL),
    (2, "replay", EVIL),
    (2, "run", EVIL + ".yaml"),
    (7, "test", "refs/agentctl/outbox/agent-1/job/1^"),
    (2, "init", "--preset", EVIL),
    (2, "hook", "run", EVIL),
    (0, "init"),
    (5, "submit", "--change", "again"),
    (5, "withdraw", "queued"),
    (1, "spawn", "bob", "--", "sh", "-c", SHELL),
]
STATIC = {
    "demo": "prints what it made itself",
    "worker": "prints what Dask and a hub say: test_cluster",
    "policy schema": "is the same for everybody",
    "hook install": "prints names of its own",
    "hook uninstall": "prints names of its own",
}


def test_every_command_is_called():
    called = {" ".join(words[:n]) for _, *words in CALLS for n in (1, 2)}
    groups = {"task", "bot", "hook", "policy", "salvage"}
    assert {path for path, _ in every_command()} - called - groups - STATIC.keys() == set()


def call(repo, *words):
    """(exit status, what it wrote to standard output, and to standard error), in this process."""
    out, err = (io.TextIOWrapper(io.BytesIO(), "utf-8") for _ in range(2))
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), contextlib.chdir(repo.path):
        status = main.run(list(map(str, words)))
    for stream in (out, err):
        stream.flush()
    return status, out.buffer.getvalue(), err.buffer.getvalue()


def test_no_command_lets_it_through(world):
    shown = ""
    for status, *words in CALLS:
        ended, out, err = call(world, *words)
        said = harmless(out) + harmless(err)
        assert ended == status, (words, said)
        shown += said
        if words[:2] not in (["hook", "run"], ["init", "--preset"]) and words[0][0].isalpha():
            _, out, err = call(world, *words[:1], "--json", *words[1:])
            harmless(out + err)
            for line in (out or err).decode().splitlines():
                json.loads(line)
    # It was there to be shown.
    assert shown.count(SHOWN) > 20


def test_json_holds_the_very_text(world):
    pieces = [json.loads(line) for line in call(world, "logs", "ann", "--json")[1].splitlines()]
    assert "\x1b[2J\x1b]52;c;aGk=\x07\u202eevil\rx\x9b" in "".join(piece["text"] for piece in pieces)
    assert EVIL in json.loads(call(world, "task", "show", "job", "--json")[1])["prompt"]


def test_names_of_branches_and_what_git_says(world):
    git(world.path, "switch", "-q", "-c", "b" + NAME)
    try:
        assert r"no\u202e\x9bname" in harmless(call(world, "init", "--trunk", "no" + NAME)[2])
        hooked = subprocess.run(
            command("hook", "run", "pre-commit"),
            cwd=world.path,
            capture_output=True,
            env=environment() | {"AGENTCTL_AGENT": "ann"},
        )
        assert r"b\u202e\x9bname" in harmless(hooked.stderr)
    finally:
        git(world.path, "switch", "-q", "main")


def test_a_policy_that_is_wrong(world, tmp_path):
    write(tmp_path, {"p.yaml": 'version: 1\ngates: [{name: "a\\e[2J\\u202E", run: x}]\n"k\\e]52\\u202E": 1\n'})
    status, out, _ = call(world, "policy", "check", tmp_path / "p.yaml")
    assert status == 3 and "unknown key" in harmless(out)


def screen(repo, *words):
    """All that a command writes to a terminal."""
    main, end = pty.openpty()
    with subprocess.Popen(
        command(*words),
        cwd=repo.path,
        stdin=end,
        stdout=end,
        stderr=end,
        env=environment() | {"TERM": "xterm", "COLUMNS": "100", "LINES": "30", "PYTHONUTF8": "1"},
    ) as process:
        os.close(end)
        seen, deadline = b"", time.monotonic() + PATIENCE
        with contextlib.suppress(OSError):
            while (data := os.read(main, 65536)) and time.monotonic() < deadline:
                seen += data
        process.wait(PATIENCE)
    os.close(main)
    return seen.decode("utf-8", "surrogateescape")


def test_on_a_terminal_too_where_colours_are_ours(make_repo, monkeypatch):
    repo = make_repo(gate=json.dumps(f"{SHELL}; sh check.sh"))
    monkeypatch.delenv("NO_COLOR")
    agents.add(repo, {"id": "job", "prompt": f"x {EVIL}"})
    seen = screen(
        repo,
        "run",
        "--attempts",
        "1",
        "--keep",
        "--",
        "sh",
        "-c",
        f'{SHELL}; echo BUG >bug; git add -A; git commit -qm "$({SHELL})"',
    )
    assert "rejected" in seen
    seen += screen(repo, "logs", "agent-1") + screen(repo, "why", "job", "--log") + screen(repo, "task", "show", "job")
    assert seen.count("evil") >= 3
    for planted in ("\x1b[2J", "\x1b]52", "\u202e", "evil\rx", "\x9b", "\x7f", "\udc9b", "\x1b[31mred"):
        assert planted not in seen


def test_a_log_that_is_followed_is_shown_as_it_comes(repo):
    running = subprocess.Popen(
        command(
            "spawn",
            "ann",
            "--",
            "sh",
            "-c",
            r"printf 'one\033[31'; sleep 0.5; printf 'mtwo\303'; sleep 0.5; printf '\274\n'; exit 1",
        ),
        cwd=repo.path,
        env=environment(),
        stdout=subprocess.DEVNULL,
    )
    log = os.path.join(repo.hub.own, "logs/agents/ann.log")
    eventually(lambda: os.path.exists(log))
    following = subprocess.Popen(
        command("logs", "ann", "-f"), cwd=repo.path, env=environment() | {"PYTHONUTF8": "1"}, stdout=subprocess.PIPE
    )
    os.set_blocking(following.stdout.fileno(), False)
    seen = b""

    def complete():
        nonlocal seen
        seen += following.stdout.read() or b""
        return seen.endswith("ü\n".encode())

    eventually(complete)
    harmless(seen)
    following.kill()
    following.communicate()
    running.wait(PATIENCE)


def test_what_is_asked_outside_a_repository(tmp_path):
    (tmp_path / ("d" + NAME)).mkdir()
    said = cli("-C", str(tmp_path / ("d" + NAME)), "queue", cwd=tmp_path, ok=4).stderr
    assert r"d\u202e\x9bname" in said and NAME not in said
