"""The ground of the benchmark: a hub, the program that stands in for an agent's, tasks, and one `agentctl run` after another."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

from agentctl.engine.processes import TICK, stat
from bench.common import ENV
from bench.fleet.faults import SHARES

CHANGE_BYTES = 1 << 20
RETRY_AFTER = 3


@dataclass(frozen=True, slots=True)
class Tempo:
    """How long things take, so that two cores can carry the agents; in seconds."""

    agents: int

    @property
    def session(self) -> float:
        return max(3.0, 0.4 * self.agents)

    @property
    def silence(self) -> float:
        return self.session

    @property
    def policy(self) -> dict[str, str]:
        session = self.session
        return {
            "agents": f"{{adapter: claude, attempts: 6, timeout: {5 * session:g}s, silence: {self.silence:g}s, "
            f"backoff: {max(1.0, session / 8):g}s, pass_env: [BENCH_PLACE]}}",
            "limits": f"{{output: 2MiB, change_bytes: {CHANGE_BYTES}}}",
        }


@dataclass(slots=True)
class Sampled:
    """What a supervisor used, seen from outside."""

    memory: list[tuple[float, int]] = field(default_factory=list)
    """(seconds since its start, bytes resident)."""
    own: list[tuple[float, int]] = field(default_factory=list)
    """The same without pages of files, such as packs that are mapped, which the kernel takes back when it needs them."""
    cpu: float = 0.0
    """Seconds of processor time of its own, without its Gits, guards and sessions."""
    helpers: float = 0.0
    """Seconds of processor time of its Gits, and of the sessions and gates that have ended."""
    seconds: float = 0.0


class Ground:
    @staticmethod
    def policy(agents: int) -> dict[str, str]:
        """Return the keys of a policy whose limits are so small that faults show in time."""
        return Tempo(agents).policy

    def __init__(self, top: str, agents: int, seed: int) -> None:
        self.top, self.agents, self.tempo = top, agents, Tempo(agents)
        self.place = Path(top).parent / "place"
        self.added = 0
        self.supervisors: list[Sampled] = []
        self.run: subprocess.Popen[bytes] | None = None
        self._begun = 0.0
        for folder in ("journal", "bin", "output"):
            (self.place / folder).mkdir(parents=True)
        world = {
            "seed": seed,
            "tempo": self.tempo.session,
            "silence": self.tempo.silence,
            "change_bytes": CHANGE_BYTES,
            "retry_after": RETRY_AFTER,
            "shares": SHARES,
        }
        (self.place / "world.json").write_text(json.dumps(world))
        program = self.place / "bin/claude"
        program.write_text(f"#!{sys.executable} -IS\n" + Path(__file__).with_name("agent.py").read_text())
        program.chmod(0o755)
        self.env = ENV | {"PATH": f"{program.parent}:{ENV['PATH']}", "BENCH_PLACE": str(self.place)}

    def agentctl(self, *words: str) -> subprocess.CompletedProcess[str]:
        argv = [sys.executable, "-m", "agentctl", "-C", self.top, *words]
        return subprocess.run(argv, env=self.env, capture_output=True, text=True)

    def feed(self) -> None:
        """Add tasks, so that twice as many as there are agents have not been begun."""
        begun = len({name.rsplit("-", 2)[0] for name in os.listdir(self.place / "journal")})
        missing = 2 * self.agents - (self.added - begun)
        if missing <= self.agents / 2:
            return
        listed = [{"id": f"t-{self.added + n}", "prompt": "Do your piece of the work."} for n in range(missing)]
        file = self.place / "tasks.yaml"
        file.write_text(json.dumps(listed))
        done = self.agentctl("task", "add", "--file", str(file))
        if done.returncode:
            raise SystemExit(f"no tasks can be added: {done.stderr}")
        self.added += missing

    def start(self) -> None:
        with open(self.place / "output" / f"{len(self.supervisors)}.json", "wb") as out:
            argv = [sys.executable, "-m", "agentctl", "-C", self.top, "run", "--json", "-n", str(self.agents)]
            self.run = subprocess.Popen(argv, env=self.env, stdout=out, stderr=subprocess.STDOUT, start_new_session=True)
        self._begun = time.time()
        self.supervisors.append(Sampled())

    def sample(self) -> None:
        """Look at the supervisor; raise SystemExit if it has ended by itself."""
        assert self.run
        if self.run.poll() is not None:
            tail = (self.place / "output" / f"{len(self.supervisors) - 1}.json").read_text()[-3000:]
            raise SystemExit(f"agentctl run ended by itself with status {self.run.returncode}:\n{tail}")
        seen, fields = self.supervisors[-1], stat(self.run.pid)
        if fields is None or fields[0] == "Z":
            return
        seen.seconds = time.time() - self._begun
        seen.memory.append((seen.seconds, int(fields[21]) * os.sysconf("SC_PAGE_SIZE")))
        seen.own.append((seen.seconds, _anonymous(self.run.pid)))
        seen.cpu, seen.helpers = ((int(fields[n]) + int(fields[n + 1])) / TICK for n in (11, 13))

    def kill(self) -> None:
        assert self.run
        self.run.kill()
        self.run.wait()

    def stop(self, patience: float) -> int:
        """Ask the supervisor to end by Ctrl-C, and return its exit status."""
        assert self.run
        self.run.send_signal(signal.SIGINT)
        try:
            return self.run.wait(patience)
        except subprocess.TimeoutExpired:
            self.kill()
            return -signal.SIGKILL

    def storm(self, seconds: float) -> None:
        """Let the provider refuse everybody from now on."""
        (self.place / "storm~").write_text(str(time.time() + seconds))
        os.rename(self.place / "storm~", self.place / "storm")


def _anonymous(pid: int) -> int:
    with open(f"/proc/{pid}/status") as file:
        return next((1024 * int(line.split()[1]) for line in file if line.startswith("RssAnon:")), 0)
