"""One cell of a table: a real agent program, run by the real `agentctl run`, while its provider has a fault or none."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import agentctl
from agentctl.core.tasks.ending import End
from agentctl.core.tasks.task import Session, Task
from agentctl.git.repository import Hub, find
from agentctl.hub import tasks
from tests.support import model_server
from tests.support.agent_programs import Program, seal
from tests.support.model_server import ModelServer, Weather, body

ROOT = Path(agentctl.__file__).parents[1]
NAMES = "abcdefghijklmnopqrstuvwxyz"

CHECK = """\
# The gate: each function multiplies its argument by an integer.
import importlib, pathlib, sys

sys.dont_write_bytecode = True
for path in sorted(pathlib.Path("calc").glob("[a-z].py")):
    function = getattr(importlib.import_module(f"calc.{path.stem}"), path.stem)
    assert function(0) == 0 and function(10) == 10 * function(1), f"{path.stem}() does not multiply"
"""


@dataclass(frozen=True)
class Fault:
    """What is wrong with the provider at first."""

    weather: Weather = model_server.WELL
    dead: bool = False
    """True if nobody listens."""
    lasts: float = 0.0
    """Seconds until the provider is well again; 0 means until the fleet has paused and all its sessions have ended."""
    within: float = 200.0
    """Seconds after which it is well again even if the fleet does not pause."""


FAULTS: dict[str, Fault] = {
    "none": Fault(within=0.0),
    "401": Fault(model_server.REFUSED),
    # A program may wait by itself: then there is nothing to pause for.
    "429, retry after 3 s": Fault(model_server.limited(3), within=8.0),
    "429, retry after 120 s": Fault(model_server.limited(120)),
    "500 without end": Fault(model_server.TROUBLE),
    "nobody listens": Fault(dead=True),
    "stream hangs": Fault(model_server.HANGS),
    "half a file, then 401": Fault(model_server.HALF),
    "half a commit, then 401": Fault(model_server.HALF_COMMITTED),
}


@dataclass(frozen=True)
class Setting:
    """How much work there is, and how patient agentctl is."""

    tasks: int = 3
    agents: int = 2
    wrong: tuple[int, ...] = ()
    """Which tasks are done wrongly first."""
    timeout: int = 60
    silence: int = 20
    backoff: int = 5
    patience: float = 420.0
    """Seconds after which a run that has not ended is stopped."""


@dataclass
class Event:
    after: float
    """Seconds since the start of the run."""
    kind: str
    facts: dict[str, Any]


@dataclass
class Outcome:
    """What was seen."""

    events: list[Event]
    exit: int | None
    """The exit status; None if the run had to be stopped."""
    seconds: float
    sick: float
    """Seconds after which the provider was well again."""
    tasks: dict[str, Task]
    left_in_pause: list[str]
    """Processes of agents that ran although no session did."""
    left: list[str]
    """Processes that were there when agentctl had ended."""
    subjects: list[str]
    """The subjects of the commits of trunk's first-parent history that landed, oldest first."""
    strange: list[str]
    """Files of trunk, in any of its commits, that neither were there in the beginning nor are what was asked for."""
    requests: int
    said: str
    """What agentctl printed on standard error."""
    logs: dict[str, bytes] = field(repr=False, default_factory=dict)
    """The output of each session, by task and generation."""

    def of(self, kind: str) -> list[Event]:
        return [event for event in self.events if event.kind == kind]

    @property
    def sessions(self) -> list[Session]:
        found = [session for task in self.tasks.values() for session in task.sessions]
        return sorted(found, key=lambda session: session.ended)

    @property
    def failed(self) -> list[Session]:
        """The sessions without a result."""
        return [session for session in self.sessions if session.end != End.SUBMITTED]

    @property
    def charged(self) -> int:
        """How many attempts were charged for sessions without a result."""
        return sum(session.charged for session in self.failed)

    @property
    def pauses(self) -> list[Event]:
        return [event for event in self.of("braked") if not event.facts.get("agent")]

    @property
    def landed(self) -> int:
        return len(self.of("landed"))

    @property
    def wrong(self) -> int:
        return len(self.of("rejected"))


def _git(cwd: str | Path, *args: str) -> str:
    return subprocess.run(["git", *args], cwd=cwd, check=True, capture_output=True, text=True).stdout


def _policy(setting: Setting) -> str:
    agents = {name: f"{getattr(setting, name)}s" for name in ("timeout", "silence", "backoff")}
    return json.dumps({"version": 1, "gates": [{"name": "check", "run": "python3 check.py"}], "agents": agents})


def _repository(place: Path, setting: Setting) -> Hub:
    """Make a small Python project, and list its tasks in tasks.yaml beside it."""
    top, names = place / "repo", NAMES[: setting.tasks]
    (top / "calc").mkdir(parents=True)
    (top / ".agentctl").mkdir()
    files = {"check.py": CHECK, "README.md": "# calc\n", "calc/__init__.py": "", ".gitignore": "__pycache__/\n"}
    files |= {f"calc/{name}.py": body(name, "x") for name in names} | {".agentctl/policy.yaml": _policy(setting)}
    for path, text in files.items():
        (top / path).write_text(text)
    _git(top, "init", "-q", "-b", "main")
    _git(top, "add", "-A")
    _git(top, "-c", "user.name=Dev", "-c", "user.email=dev@example.invalid", "commit", "-qm", "begin")
    listed = []
    for n, name in enumerate(names):
        words = f"(model: {name} {n + 2}{', wrong first' if n in setting.wrong else ''})"
        prompt = f"Change calc/{name}.py so that {name}() returns {n + 2} times its argument, and commit. {words}"
        listed.append({"id": f"task-{name}", "title": f"Let {name}() multiply by {n + 2}", "prompt": prompt})
    (place / "tasks.yaml").write_text(json.dumps(listed))
    return find(str(top))


def _strange(hub: Hub, setting: Setting) -> list[str]:
    """Compare every commit of trunk with what may be there."""
    top = hub.top or hub.git_dir
    first = _git(top, "rev-list", "--max-parents=0", "main").split()[0]
    begun = set(_git(top, "ls-tree", "-r", first).splitlines())
    right = {f"calc/{name}.py": body(name, f"x * {n + 2}") for n, name in enumerate(NAMES[: setting.tasks])}
    found = []
    for commit in _git(top, "rev-list", f"{first}..main").split():
        for line in set(_git(top, "ls-tree", "-r", commit).splitlines()) - begun:
            path = line.partition("\t")[2]
            # An editor may leave out the last end of line.
            if path not in right or _git(top, "show", f"{commit}:{path}").rstrip() != right[path].rstrip():
                found.append(f"{commit[:8]} {path}")
    return found


def _processes(test: Callable[[dict[str, str], str], bool]) -> list[str]:
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            block = (folder / "environ").read_bytes().decode(errors="replace")
            env = dict(entry.partition("=")[::2] for entry in block.split("\0"))
            if test(env, os.readlink(folder / "cwd")):
                line = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                found.append(f"{folder.name} {line[:120]}")
    return found


class _Run:
    """`agentctl run` as a process, and the events that it tells."""

    def __init__(self, words: Sequence[str], cwd: str, env: dict[str, str]) -> None:
        self.events: list[Event] = []
        self.begun = time.monotonic()
        self._errors = tempfile.TemporaryFile()
        self.process = subprocess.Popen(
            words, cwd=cwd, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=self._errors, text=True
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        for line in self.process.stdout or ():
            facts = json.loads(line)
            self.events.append(Event(self.after, facts["kind"], facts))

    @property
    def after(self) -> float:
        return time.monotonic() - self.begun

    @property
    def said(self) -> str:
        self._errors.seek(0)
        return self._errors.read().decode(errors="replace")

    @property
    def paused(self) -> bool:
        return any(event.kind == "braked" and not event.facts.get("agent") for event in self.events)

    @property
    def idle(self) -> bool:
        """True if no session runs."""
        kinds = [event.kind for event in self.events]
        return kinds.count("session") == kinds.count("ended") + kinds.count("trouble")

    def ended(self, seconds: float) -> bool:
        try:
            self.process.wait(max(0.0, seconds))
        except subprocess.TimeoutExpired:
            return False
        self._reader.join()
        return True

    def stop(self) -> None:
        self.process.terminate()
        if not self.ended(60):
            self.process.kill()
            self.ended(60)


def play(
    program: Program, all_programs: str, fault: Fault, setting: Setting, as_user: Sequence[str] = (), folder: str | None = None
) -> Outcome:
    """Play one cell. `as_user` is a command to which the one of agentctl is appended, such as one of setpriv(1)."""
    with (
        tempfile.TemporaryDirectory(prefix="agentctl-cell-", dir=folder, ignore_cleanup_errors=True) as name,
        ModelServer() as model,
    ):
        place = Path(name)
        home = place / "home"
        home.mkdir()
        hub = _repository(place, setting)
        env = seal(program, all_programs, str(home), model.url)
        model.weather = fault.weather
        if fault.dead:
            model.close()
        words = [*as_user, sys.executable, "-m", "agentctl", "run", str(place / "tasks.yaml"), "--json"]
        words += ["--adapter", program.adapter, "--agents", str(setting.agents)]
        run = _Run(words, hub.top or "", env | {"PYTHONPATH": str(ROOT)})

        def of_agents(env: dict[str, str], cwd: str) -> bool:
            return env.get("HOME") == str(home) and "AGENTCTL_TASK" in env

        try:
            left_in_pause = _until_it_shows(run, fault, lambda: _processes(of_agents))
            sick = run.after
            model.weather = model_server.WELL
            model.open()
            ended = run.ended(setting.patience - run.after)
        finally:
            if run.process.poll() is None:
                run.stop()
        seconds = run.after
        left = _processes(lambda env, cwd: env.get("HOME") == str(home) or Path(cwd).is_relative_to(place))
        return Outcome(
            run.events,
            run.process.returncode if ended else None,
            seconds,
            sick,
            tasks.listed(hub),
            left_in_pause,
            left,
            _git(place / "repo", "log", "--reverse", "--first-parent", "--format=%s", "main").splitlines()[1:],
            _strange(hub, setting),
            model.requests,
            run.said,
            dict(_logs(hub)),
        )


def _until_it_shows(run: _Run, fault: Fault, agents: Callable[[], list[str]]) -> list[str]:
    """Wait until the fault need not last any longer, and return the processes of agents that run without a session."""
    while run.process.poll() is None:
        if fault.lasts and run.after > fault.lasts:
            return []
        if not fault.lasts and run.paused and run.idle:
            # What a session leaves is killed with it.
            return agents() if run.idle else []
        if not fault.lasts and not run.paused and run.after > fault.within:
            return []
        time.sleep(0.05)
    return []


def _logs(hub: Hub) -> Iterator[tuple[str, bytes]]:
    top = Path(hub.own_path("sessions", "task", "1", "output.log")).parents[2]
    for path in sorted(top.glob("*/*/output.log")):
        yield f"{path.parts[-3]}.{path.parts[-2]}", path.read_bytes()


def keep(outcome: Outcome, folder: Path) -> None:
    """Write what was seen to a new folder."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    (folder / "events.jsonl").write_text(
        "".join(json.dumps({"after": round(e.after, 2), **e.facts}) + "\n" for e in outcome.events)
    )
    (folder / "outcome.txt").write_text(f"{replace(outcome, events=[])!r}\n")
    for name, data in outcome.logs.items():
        (folder / f"{name}.log").write_bytes(data)
