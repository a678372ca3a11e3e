"""A history replayed with gates and sessions on a Dask cluster, undisturbed and with workers and the scheduler lost in mid-gate.

    python -m bench.cluster REPO RANGE --gate CMD [--workers 4] [--limit N] [--idle 400]

The hub is behind `git daemon`; one station runs the bot and the fleet, and sends all gates and sessions to workers. As root each
worker is in a network namespace of its own; else the link is not cut. Baseline: the same with one hub and all on this machine.
In the disturbed run, each time a gate has run for a moment: its worker is killed; is suspended for a minute; is cut off for a
minute; and the scheduler is killed and started again. --idle measures the memory of one worker with so many sessions that sleep.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import psutil

from agentctl import __version__
from agentctl.cluster import mirror
from agentctl.cluster.orders import Address
from agentctl.core.policy.policy import parse
from agentctl.core.queue.records import Rejected
from agentctl.engine import processes
from agentctl.git.repository import Hub, find
from agentctl.hub.ledger import Ledger
from agentctl.replay.prepare import GateTrials, prepare
from agentctl.replay.replay import make_hub
from bench.common import ENV, git, table
from bench.stations import AGENTCTL, Ran, Work, at_one_hub, judged, prepared

NET = "10.77.0"
"""The network of the bridge, on which the hub and the scheduler are at .1."""
AWAY = 60.0
"""Seconds for which a worker is suspended or cut off."""
PATIENCE = 1800.0
GATE = """\
echo "begin $BENCH_WORKER $AGENTCTL_COMMIT $(date +%s.%N)" >>{journal}
{gate}
said=$?
echo "end $BENCH_WORKER $AGENTCTL_COMMIT $(date +%s.%N) $said" >>{journal}
exit $said
"""


@dataclass(frozen=True)
class Gate:
    worker: str
    commit: str
    begun: float
    ended: float | None


@dataclass
class Site:
    """A hub, a scheduler and workers, each worker in a network of its own where that can be."""

    folder: str
    reference: str
    """A repository whose objects all here borrow."""
    gates: int
    agents: int
    apart: bool = field(default_factory=lambda: os.getuid() == 0 and bool(shutil.which("ip")))
    workers: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    scheduler: subprocess.Popen[bytes] | None = None

    @property
    def host(self) -> str:
        return f"{NET}.1" if self.apart else "127.0.0.1"

    @contextlib.contextmanager
    def open(self) -> Iterator[Site]:
        self.ports = [_free(), _free()]
        with contextlib.ExitStack() as stack:
            if self.apart:
                with contextlib.suppress(subprocess.CalledProcessError):
                    _ip("link", "del", "agentctl0")
                stack.callback(_ip, "link", "del", "agentctl0")
                _ip("link", "add", "agentctl0", "type", "bridge")
                _ip("addr", "add", f"{self.host}/24", "dev", "agentctl0")
                _ip("link", "set", "agentctl0", "up")
            stack.callback(self.close)
            argv = ["git", "-c", "safe.directory=*", "daemon", f"--base-path={self.folder}", "--export-all", "--reuseaddr"]
            listen = [f"--listen={self.host}", f"--port={self.ports[0]}", "--enable=receive-pack", self.folder]
            daemon = subprocess.Popen([*argv, *listen], stderr=subprocess.DEVNULL, start_new_session=True)
            stack.callback(lambda: os.killpg(daemon.pid, signal.SIGKILL))
            self.schedule()
            yield self

    def url(self, name: str) -> str:
        return f"git://{self.host}:{self.ports[0]}/{name}"

    @property
    def engine(self) -> str:
        return f"tcp://{self.host}:{self.ports[1]}"

    def schedule(self) -> None:
        words = [
            "--host",
            f"tcp://{self.host}",
            "--port",
            str(self.ports[1]),
            "--no-dashboard",
            "--dashboard-address",
            "127.0.0.1:0",
        ]
        self.scheduler = _started([sys.executable, "-m", "dask", "scheduler", *words], self._log("scheduler"), {})

    def work(self, number: int) -> None:
        name, argv = f"w{number}", []
        if self.apart and name not in self.workers:
            self._clear(name)
            _ip("netns", "add", f"agentctl-{name}")
            _ip("link", "add", self.link(name), "type", "veth", "peer", "name", "up0", "netns", f"agentctl-{name}")
            _ip("link", "set", self.link(name), "master", "agentctl0", "up")
            inside = ["netns", "exec", f"agentctl-{name}", "ip"]
            _ip(*inside, "addr", "add", f"{NET}.{number + 1}/24", "dev", "up0")
            _ip(*inside, "link", "set", "up0", "up")
            _ip(*inside, "link", "set", "lo", "up")
        if self.apart:
            argv = ["ip", "netns", "exec", f"agentctl-{name}"]
        size = ["--gates", str(self.gates), "--agents", str(self.agents), "--name", name, "--dir", self.mirrors(name)]
        self.workers[name] = _started([*argv, *AGENTCTL, "worker", self.engine, *size], self._log(name), {"BENCH_WORKER": name})

    def _clear(self, name: str) -> None:
        """Remove a worker's network, which a run that was killed may have left too."""
        for words in (("netns", "del", f"agentctl-{name}"), ("link", "del", self.link(name))):
            with contextlib.suppress(subprocess.CalledProcessError):
                _ip(*words)

    def link(self, name: str) -> str:
        return f"actl-{name}"

    def mirrors(self, name: str) -> str:
        return os.path.join(self.folder, "mirrors", name)

    def seed(self, name: str, url: str) -> None:
        """Make a worker's mirror beforehand, since its agents need objects that are not at the hub."""
        address = Address(url, "main", __version__)
        path = os.path.join(mirror.Mirrors(self.mirrors(name)).place(address), "1.git")
        os.makedirs(os.path.dirname(path), exist_ok=True)
        mirror.make(path, address)
        with open(os.path.join(path, "objects/info/alternates"), "w") as file:
            file.write(os.path.join(self.reference, "objects") + "\n")

    def pid(self, name: str) -> int:
        return self.workers[name].pid

    def _log(self, name: str) -> str:
        return os.path.join(self.folder, f"{name}.log")

    def close(self) -> None:
        for name, one in self.workers.items():
            with contextlib.suppress(ProcessLookupError):
                one.send_signal(signal.SIGCONT)
                one.send_signal(signal.SIGTERM)
        for name, one in self.workers.items():
            try:
                one.wait(90)
            except subprocess.TimeoutExpired:
                one.kill()
            if self.apart:
                self._clear(name)
        if self.scheduler:
            self.scheduler.kill()
            self.scheduler.wait()


def _free() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)


def _started(argv: list[str], log: str, env: dict[str, str]) -> subprocess.Popen[bytes]:
    with open(log, "ab") as out:
        return subprocess.Popen(argv, env=ENV | env, stdout=out, stderr=out, stdin=subprocess.DEVNULL, start_new_session=True)


def gates(journal: str) -> list[Gate]:
    """Return the gate runs that the gates themselves have noted, in the order of their beginning."""
    found: dict[tuple[str, str], list[Gate]] = {}
    for line in open(journal).read().splitlines() if os.path.exists(journal) else ():
        what, worker, commit, at, *_ = line.split()
        known = found.setdefault((worker, commit), [])
        if what == "begin":
            known.append(Gate(worker, commit, float(at), None))
        elif known:
            known[-1] = Gate(worker, commit, known[-1].begun, float(at))
    return sorted((gate for known in found.values() for gate in known), key=lambda gate: gate.begun)


@dataclass
class Fault:
    """Something that happens to a worker, or to the scheduler, in the middle of a gate."""

    name: str
    at: float = 0.0
    worker: str = ""
    commits: tuple[str, ...] = ()
    """The commits whose gates ran there then."""
    quiet: float | None = None
    """Seconds until nothing ran any more that the worker had started; None if that was not to be."""

    def rerun(self, noted: list[Gate]) -> str:
        """Return after how many seconds the gates that it met began again; or that they were not needed any more."""
        again = [
            gate.begun - self.at for commit in self.commits for gate in noted if gate.commit == commit and gate.begun > self.at
        ]
        return f"{max(again):.1f}" if again else "not needed again"


def strike(site: Site, fault: Fault, journal: str) -> bool:
    """Let a fault happen if a gate has just begun somewhere; tell whether it did."""
    now = time.time()
    running = [gate for gate in gates(journal) if gate.ended is None and 0.3 < now - gate.begun < 30]
    if not running:
        return False
    fault.worker = running[0].worker if fault.name != "scheduler killed" else "scheduler"
    met = [gate for gate in running if fault.worker in (gate.worker, "scheduler")]
    fault.at, fault.commits = time.time(), tuple(gate.commit for gate in met)
    if fault.name == "worker killed":
        left = {pid for pid, _ in processes.marked(_mark(site, fault.worker))}
        site.workers[fault.worker].kill()
        site.workers[fault.worker].wait()
        while any(psutil.pid_exists(pid) and _is_running(pid) for pid in left):
            time.sleep(0.01)
        fault.quiet = time.time() - fault.at
        site.work(int(fault.worker[1:]))
    elif fault.name == "worker suspended":
        os.kill(site.pid(fault.worker), signal.SIGSTOP)
    elif fault.name == "worker cut off":
        _ip("link", "set", site.link(fault.worker), "down")
    elif fault.name == "scheduler killed":
        assert site.scheduler
        site.scheduler.kill()
        site.scheduler.wait()
        marks = [_mark(site, name) for name in site.workers]
        while any(True for mark in marks for _ in processes.marked(mark + "gate")):
            time.sleep(0.02)
        fault.quiet = time.time() - fault.at
        site.schedule()
    return True


def mend(site: Site, fault: Fault) -> None:
    if fault.name == "worker suspended":
        os.kill(site.pid(fault.worker), signal.SIGCONT)
    elif fault.name == "worker cut off":
        _ip("link", "set", site.link(fault.worker), "up")


def _is_running(pid: int) -> bool:
    with contextlib.suppress(psutil.NoSuchProcess):
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    return False


def _mark(site: Site, name: str) -> str:
    (path,) = [
        os.path.join(top, one) for top, folders, _ in os.walk(site.mirrors(name)) for one in folders if one.endswith(".git")
    ][:1]
    return find(path).mark


def on_cluster(work: Work, site: Site, name: str, faults: list[Fault], journal: str) -> Ran:
    hub, argv = prepared(work, name)
    for number in range(1, len(site.workers) + 1 or 2):
        site.seed(f"w{number}", site.url(name + ".git"))
    path = os.path.join(work.folder, f"{name}-station")
    git(work.folder, "clone", "-q", "--reference", site.reference, site.url(name + ".git"), path)
    git(path, "config", "agentctl.remote", "origin")
    begun, todo = time.monotonic(), list(faults)
    mending: list[tuple[float, Fault]] = []
    run = subprocess.Popen(
        [*AGENTCTL, "run", "--agents", str(2 * work.agents), "--engine", site.engine, "--", *argv],
        cwd=path,
        env=ENV,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    next_one = time.monotonic() + 10
    said: list[str] = []
    reader = threading.Thread(target=lambda: said.extend(run.stdout or ()), daemon=True)
    reader.start()
    while run.poll() is None and time.monotonic() - begun < PATIENCE:
        for due, fault in [one for one in mending if one[0] < time.monotonic()]:
            mend(site, fault)
            mending.remove((due, fault))
        if todo and not mending and time.monotonic() > next_one and strike(site, todo[0], journal):
            mending.append((time.monotonic() + AWAY, todo.pop(0)))
            next_one = time.monotonic() + AWAY + 10
        time.sleep(0.1)
    for _, fault in mending:
        mend(site, fault)
    seconds = time.monotonic() - begun
    run.kill()
    reader.join()
    wrong = [f"the run ended with {run.returncode}: {''.join(said)[-800:]}"] if run.returncode else []
    wrong += [f"{fault.name}: it never happened, since the run was over before" for fault in todo]
    fresh = os.path.join(work.folder, f"{name}-fresh")
    git(work.folder, "clone", "-q", "--reference", site.reference, site.url(name + ".git"), fresh)
    git(fresh, "config", "agentctl.remote", "origin")
    return judged(work, find(hub.git_dir), seconds, fresh, tuple(wrong))


def rejected(hub: Hub) -> int:
    return sum(isinstance(record, Rejected) for record in Ledger.read(hub).ended())


def idle(site: Site, folder: str, sessions: int) -> list[tuple[object, ...]]:
    """Return figures of one worker that runs so many sessions which sleep."""
    top = os.path.join(folder, "idle")
    git(folder, "init", "-q", "-b", "main", top)
    os.makedirs(os.path.join(top, ".agentctl"))
    with open(os.path.join(top, ".agentctl/policy.yaml"), "w") as file:
        file.write("version: 1\ngates: [{name: gate, run: 'true'}]\n")
    git(top, "add", "-A")
    git(top, "commit", "-q", "-m", "begin")
    with open(os.path.join(folder, "idle.yaml"), "w") as file:
        file.write("".join(f"- {{id: t-{n}, prompt: sleep}}\n" for n in range(sessions)))
    for other in site.workers.values():
        other.terminate()
        other.wait(90)
    site.gates, site.agents = 1, sessions
    site.work(9)
    begun = time.monotonic()
    words = ["run", os.path.join(folder, "idle.yaml"), "-n", str(sessions), "--engine", site.engine, "--", "sleep", "1000"]
    run = subprocess.Popen([*AGENTCTL, *words], cwd=top, env=ENV, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while len(asleep := _asleep(site.pid("w9"))) < sessions and time.monotonic() - begun < 600:
        time.sleep(1)
    took = time.monotonic() - begun
    time.sleep(20)
    worker = psutil.Process(site.pid("w9"))
    guards = [one for one in worker.children() if one.pid not in asleep]
    rows: list[tuple[object, ...]] = [
        ("sessions that sleep on one worker", len(_asleep(worker.pid))),
        ("seconds until all slept", took),
        ("memory of the worker, MiB", worker.memory_info().rss / 2**20),
        ("of its guards, all together, MiB (unique to each)", sum(one.memory_full_info().uss for one in guards) / 2**20),
        ("of the station that waits for them, MiB", psutil.Process(run.pid).memory_info().rss / 2**20),
    ]
    run.send_signal(signal.SIGINT)
    run.wait(300)
    left = time.monotonic()
    while _asleep(worker.pid) and time.monotonic() - left < 60:
        time.sleep(0.2)
    rows.append(("sessions left after Ctrl-C of the run", len(_asleep(worker.pid))))
    return rows


def _asleep(pid: int) -> set[int]:
    found = set()
    for one in psutil.Process(pid).children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            if one.name() == "sleep":
                found.add(one.pid)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.cluster", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("repo")
    parser.add_argument("range")
    parser.add_argument("--gate", required=True)
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--limit", type=int)
    parser.add_argument("--idle", type=int, default=400)
    given = parser.parse_args()
    folder = tempfile.mkdtemp(prefix="agentctl-cluster-")
    journal = os.path.join(folder, "journal")
    policy = json.dumps(
        {
            "version": 1,
            "gates": [
                {
                    "name": "gate",
                    "run": GATE.format(gate=given.gate, journal=journal),
                    "timeout": "10m",
                    "pass_env": ["BENCH_WORKER"],
                }
            ],
            "queue": {"slots": 2},
            "agents": {"attempts": 50, "timeout": "10m"},
        }
    )
    try:
        trial = make_hub(find(given.repo).git_dir, os.path.join(folder, "trial.git"))
        os.environ["BENCH_WORKER"] = ENV["BENCH_WORKER"] = "here"
        plan = prepare(GateTrials(trial, parse(policy, "bench")), given.range, 0.0, given.limit, 1, lambda done, of: None)
        print(plan.told)
        os.unlink(journal)
        work = Work(folder, trial, plan, policy, given.workers, False)
        base = at_one_hub(work)
        rows, wrong = [("here", base)], [f"here: {one}" for one in base.wrong]
        faults = [Fault("worker killed"), Fault("worker suspended"), Fault("worker cut off"), Fault("scheduler killed")]
        with Site(folder, trial.git_dir, 1, 2).open() as site:
            if not site.apart:
                faults = [fault for fault in faults if fault.name != "worker cut off"]
            for number in range(1, given.workers + 1):
                site.work(number)
            for name, struck in (("undisturbed", []), ("disturbed", faults)):
                ran = on_cluster(work, site, name, struck, journal)
                rows.append((name, ran))
                wrong += [f"{name}: {one}" for one in ran.wrong]
                no = rejected(find(os.path.join(folder, name + ".git")))
                print(f"{name}: {no} rejected")
            noted = gates(journal)
            figures = idle(site, folder, given.idle) if given.idle else []
            marks = [_mark(site, name) for name in site.workers]
        left = [pid for mark in marks for pid, _ in processes.marked(mark)]
        table(
            [
                (
                    name,
                    ran.landed,
                    ran.seconds,
                    f"{ran.landed / ran.seconds * 3600:,.0f}",
                    ran.landed / ran.seconds / (base.landed / base.seconds),
                )
                for name, ran in rows
            ],
            ("gates and sessions", "landed", "seconds", "landed an hour", "ratio"),
        )
        print()
        table(
            [(f.name, len(f.commits), "-" if f.quiet is None else f"{f.quiet:.2f}", f.rerun(noted)) for f in faults if f.at],
            ("fault", "gates met", "s until its processes were gone", "s until they ran again"),
        )
        print()
        table([*figures, ("processes left when all had ended", len(left))], ("figure", ""))
        print("\n".join(wrong) or "every tree is the history's, and verify is clean from a fresh clone")
        sys.exit(bool(wrong or left))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
