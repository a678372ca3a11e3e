"""A small history replayed by the real command: what builds on what, a red commit, a merge, a rename."""

import contextlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from agentctl.core.policy.policy import fingerprint
from agentctl.hub.policy_file import in_force
from agentctl.replay.prepare import GateTrials
from tests.support.hub import PATIENCE, cli, command, environment, eventually, git, write

CHECK = """\
import importlib.util, pathlib, sys
sys.path.insert(0, '.')
for path in sorted(pathlib.Path('lib').glob('*.py')):
    spec = importlib.util.spec_from_file_location('lib.' + path.stem, path)
    spec.loader.exec_module(importlib.util.module_from_spec(spec))
if pathlib.Path('notes').exists():
    assert pathlib.Path('notes').read_text().endswith('end\\n'), 'the notes have no end'
"""
GATE = f"{sys.executable} -I -S -B check.py"


def module(name, *needs):
    lines = [f"from lib.{other} import value as {other}" for other in needs]
    return {f"lib/{name}.py": "\n".join([*lines, f"value = {' + '.join(['1', *needs])}"]) + "\n"}


def log(*lines):
    return {"lib/log.py": "".join(f"{line} = True\n" for line in lines)}


def notes(*lines):
    return {"notes": "".join(f"{line}\n" for line in (*lines, "end"))}


class History:
    """A repository under construction, with its commits' subjects in order."""

    def __init__(self, path):
        self.path = path
        path.mkdir()
        git(path, "init", "-q")

    def commit(self, subject, files=(), gone=()):
        write(self.path, dict(files))
        for name in gone:
            (self.path / name).unlink()
        git(self.path, "add", "-A")
        git(self.path, "commit", "-q", "--allow-empty", "-m", subject)

    def state(self):
        """All that a reader could have changed."""
        listed = git(self.path, "for-each-ref"), git(self.path, "count-objects", "-v"), git(self.path, "status", "-s")
        return *listed, sorted(os.listdir(self.path / ".git"))


@pytest.fixture
def history(tmp_path):
    """Twenty-one first-parent commits on top of one that has the gate."""
    made = History(tmp_path / "source")
    made.commit("begin", {"check.py": CHECK, "README": "read me\n"})
    git(made.path, "tag", "start")
    made.commit("a", module("a"))
    made.commit("b on a", module("b", "a"))
    made.commit("log one", log("one"))
    made.commit("c on b", module("c", "b"))
    made.commit("log two", log("one", "two"))
    made.commit("red: e on d that is not there", module("e", "d"))
    made.commit("d", module("d"))
    made.commit("notes", notes("one"))
    made.commit("log three", log("one", "two", "three"))
    git(made.path, "checkout", "-q", "-b", "side")
    made.commit("side one", module("side"))
    made.commit("side two", module("side2", "side", "c"))
    git(made.path, "checkout", "-q", "-")
    made.commit("f on c and d", module("f", "c", "d"))
    git(made.path, "merge", "-q", "--no-ff", "-m", "merge side", "side")
    made.commit("rename a to alpha", module("alpha") | module("b", "alpha"), gone=["lib/a.py"])
    made.commit("nothing at all")
    made.commit("g on alpha", module("g", "alpha", "side2"))
    made.commit("notes two", notes("one", "two"))
    made.commit("log four", log("one", "two", "three", "four"))
    made.commit("log backwards", log("four", "three", "two", "one"))
    made.commit("h on g", module("h", "g"))
    made.commit("notes upside down", notes("two", "one"))
    made.commit("i on h", module("i", "h"))
    made.commit("no e", gone=["lib/e.py"])
    return made


def replay(history, *options):
    """The last object that the command prints: what came of it. It may take its time."""
    done = subprocess.run(
        command("replay", history.path, *options, "--gate", GATE, "--json"),
        env=environment(),
        cwd=history.path.parent,
        capture_output=True,
        text=True,
        timeout=5 * PATIENCE,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_a_history_lands_whole_whatever_is_wrong_with_its_changes(history):
    before = history.state()
    found = replay(history, "start..HEAD", "--agents", 4, "--bad", "0.2")
    column = found["as_given"]
    assert (found["commits"], found["tasks"]) == (21, 19), "the red commit joined the next, the empty one is no task"
    assert column["good"] and column["summary"]["landed"] == 19
    assert (column["differences"], column["broken"], column["unseen"]) == ([], [], [])
    assert column["injected"] >= 4
    assert history.state() == before, "the source was only read"


def test_a_range_that_is_none(history):
    for words, status in (("HEAD", 2), ("HEAD..HEAD", 2), ("nothing..HEAD", 4), ("HEAD~3..start", 2)):
        replay_fails(history, words, status)


def test_a_repository_that_is_none(history, tmp_path):
    for place, status in ((tmp_path / "missing", 4), (tmp_path, 4)):
        cli("replay", place, "start..HEAD", "--gate", GATE, cwd=tmp_path, ok=status)


def replay_fails(history, words, status, *options):
    """What it prints to standard error."""
    return cli("replay", history.path, words, "--gate", GATE, *options, cwd=history.path.parent, ok=status).stderr


def test_a_repository_without_a_branch_main(history):
    git(history.path, "branch", "-m", "master")
    cli("replay", history.path, "start..HEAD", "--gate", "true", "--limit", 3, cwd=history.path.parent)


def test_one_by_one_beside_it(history):
    done = cli(
        "replay", history.path, "start..HEAD", "--limit", 4, "--gate", GATE, "--compare", "--quiet", cwd=history.path.parent
    )
    told, heads, tasks, landed, *_ = done.stdout.splitlines()
    assert "4 tasks" in told and heads.split() == ["as", "given", "one", "by", "one", "ratio"]
    assert tasks.split() == ["tasks", "4", "4"] and landed.split() == ["landed", "4", "4"]
    assert done.stdout.splitlines()[-1].split() == ["verify", "clean", "clean"]


def test_simulated_it_runs_one_gate_and_says_what_more_slots_would_do(history, tmp_path):
    runs, before = tmp_path / "runs", history.state()
    found = replay(history, "start..HEAD", "--simulate", "--agents", 4, "--bad", "20%", "--setup", f"echo one >>{runs}")
    assert runs.read_text() == "one\n", "a single run of the gate"
    assert (found["traffic"]["changes"], found["traffic"]["queued"]) == (21, 4)
    assert found["now"] == {"slots": 2, "batch": 64}
    assert {(s["landed"], s["rejected"]) for s in found["settings"]} == {(17, 4)}
    hours = [s["landed_an_hour"] for s in found["settings"] if s["batch"] == 64]
    assert len(hours) == 5 and hours[0] < hours[-1]
    assert history.state() == before


def test_with_the_gates_time_given_none_is_run(history, tmp_path):
    picture = tmp_path / "turnaround.svg"
    done = cli(
        "replay", history.path, "start..HEAD", "--simulate", "--gate-seconds", 90, "--plot", picture, cwd=history.path.parent
    )
    assert picture.read_text().startswith("<svg")
    told, heads, *rows = done.stdout.splitlines()
    assert told.startswith("21 changes of 8 agents, 0.0% bad, 8 always queued; the gate takes 90.0s")
    assert heads.split()[:2] == ["slots", "batch"] and len(rows) == 15
    cli("replay", history.path, "start..HEAD", "--gate-seconds", 90, "--gate", GATE, cwd=history.path.parent, ok=2)
    cli("replay", history.path, "start..HEAD", "--simulate", cwd=history.path.parent, ok=2)
    cli("replay", history.path, "start..HEAD", "--gate", "true", "--plot", picture, cwd=history.path.parent, ok=2)


def test_a_gate_that_finds_all_red_is_shown(history):
    said = cli("replay", history.path, "start..HEAD", "--gate", "echo no such; exit 3", cwd=history.path.parent, ok=125)
    assert "finds every commit of this range red" in said.stderr and "no such" in said.stderr


def test_a_setup_that_fails_blames_nobody(history):
    said = replay_fails(history, "start..HEAD", 125, "--setup", "echo no disk; false")
    assert "gives no verdict" in said and "no disk" in said


@pytest.mark.parametrize("reached", ["trial.agentctl/slots/1", "as-given.agentctl/agents/agent-1"])
def test_nothing_is_left_when_it_is_stopped(history, tmp_path, reached):
    place = tmp_path / "temporary"
    place.mkdir()
    where = reached.split(".")[0]
    gate = f"{GATE} && case $PWD in *{where}*) sleep 1000;; esac"
    run = subprocess.Popen(
        command("replay", history.path, "start..HEAD", "--gate", gate),
        cwd=tmp_path,
        env=environment() | {"TMPDIR": str(place)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    eventually(lambda: list(place.glob(f"agentctl-replay-*/{reached}")))
    run.send_signal(signal.SIGINT)
    assert run.wait(timeout=PATIENCE) == 130
    assert os.listdir(place) == []
    eventually(lambda: not using(place))


def using(place):
    """Processes with the temporary folder in their environment."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            if f"TMPDIR={place}".encode() in Path(f"/proc/{pid}/environ").read_bytes():
                found.append(pid)
    return found


@pytest.mark.parametrize("text", ["", "[]", "1", '{"tree": "yes"}', "\x00", '{"tree": true'])
def test_trials_that_cannot_be_read_are_made_anew(make_repo, monkeypatch, tmp_path, text):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    repo = make_repo()
    policy = in_force(repo.hub)[1]
    kept = tmp_path / "agentctl" / "replay" / f"{fingerprint(policy)}.json"
    kept.parent.mkdir(parents=True)
    kept.write_text(text)
    tree = repo.hub.objects.commit(repo.tip).tree
    assert GateTrials(repo.hub, policy).green([tree], lambda *_: None) == {tree: True}
    assert json.loads(kept.read_text()) == {tree: True}
