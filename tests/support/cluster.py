"""A Dask cluster on this machine: a scheduler, and workers as real processes of agentctl."""

import contextlib
import signal
import socket
import subprocess
import sys

from tests.support.hub import PATIENCE, command, environment, eventually


class Cluster:
    def __init__(self, folder):
        self.folder, self.workers, self._scheduler = folder, {}, None
        with socket.socket() as one:
            one.bind(("127.0.0.1", 0))
            self.address = f"tcp://127.0.0.1:{one.getsockname()[1]}"
        self.schedule()

    def schedule(self):
        host, _, port = self.address.rpartition(":")
        words = ["--host", host, "--port", port, "--no-dashboard", "--dashboard-address", "127.0.0.1:0"]
        self._scheduler = self._start("scheduler", [sys.executable, "-m", "dask", "scheduler", *words])

    def stop_scheduling(self):
        self._scheduler.kill()
        self._scheduler.wait(PATIENCE)

    def work(self, name, gates=1, agents=2, env=None):
        """Start a worker, and wait until it has joined."""
        words = ["--gates", gates, "--agents", agents, "--name", name, "--dir", self.folder / name]
        self.workers[name] = self._start(name, command("worker", self.address, *words), env)
        joined = self.said(name).count(" works for ")
        eventually(lambda: self.said(name).count(" works for ") > joined)

    def said(self, name):
        return (self.folder / f"{name}.log").read_text()

    def kill(self, name):
        self.workers[name].kill()
        self.workers[name].wait(PATIENCE)

    def end(self, name):
        """Stop a worker as Ctrl-C does."""
        self.workers[name].send_signal(signal.SIGINT)
        assert self.workers[name].wait(PATIENCE) == 130

    def worktrees(self, name):
        return [path for kind in ("agents", "slots") for path in self.folder.glob(f"{name}/*/*.agentctl/{kind}/*")]

    def close(self):
        for one in [*self.workers.values(), self._scheduler]:
            with contextlib.suppress(ProcessLookupError):
                one.kill()
            one.wait(PATIENCE)

    def _start(self, name, argv, env=None):
        with open(self.folder / f"{name}.log", "ab") as log:
            return subprocess.Popen(argv, env=environment() | (env or {}), stdout=log, stderr=log, stdin=subprocess.DEVNULL)
