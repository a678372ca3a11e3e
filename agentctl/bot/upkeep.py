"""The upkeep of the object folder: its packs are put together.

Each large turn of the bot leaves a pack, and every Git that looks for an object looks into all packs. `git repack
--geometric` puts small packs together, and loose objects with them, reachable or not: it forgets nothing. It runs
beside the bot's turns, below a guard. Git and `git.store` look again for objects that moved while they read.
"""

from __future__ import annotations

import contextlib
import os
import time

from agentctl import signals
from agentctl.engine.locks import Held
from agentctl.engine.runner import Job, Runner, Running
from agentctl.git import process
from agentctl.git.repository import Hub

IDLE, BUSY = 50, 200
"""Above so many packs they are put together: IDLE if nothing is queued or running, BUSY in any case."""

PAUSE = 600.0
"""Seconds between two tries, since what failed would fail again; also the longest that `close` waits."""

GLANCE = 0.2
"""Seconds between two looks whether agentctl is asked to stop."""

LEFT = 86_400.0
"""Seconds after which a file that a killed Git left half written belongs to nobody."""


class Upkeep:
    """The upkeep of one hub; the constructor takes the proof that the bot's lock is held."""

    def __init__(self, hub: Hub, held: Held, runner: Runner) -> None:
        self._runner, self._hub, self._folder = runner, hub, os.path.join(hub.git_dir, "objects", "pack")
        self._running: Running | None = None
        self._next = 0.0

    def turn(self, idle: bool) -> None:
        """Begin to put packs together if that is due, without waiting for the end."""
        if self._running and self._running.wait(0):
            self._running = None
        if not self._running and time.monotonic() >= self._next and self._packs() > (IDLE if idle else BUSY):
            self._next = time.monotonic() + PAUSE
            self._sweep()
            argv, env = process.command(["repack", "--geometric=2", "-d", "-l", "--quiet"], self._hub.git_dir)
            self._running = self._runner.start(
                Job(
                    tuple(argv), self._hub.git_dir, dict(env), self._hub.own_path("logs", "upkeep.log"), self._hub.mark + "upkeep"
                )
            )

    def close(self) -> None:
        """Put packs together if that is due, and wait for the end, unless agentctl is asked to stop."""
        if not signals.heard():
            self.turn(idle=True)
        until = time.monotonic() + PAUSE
        while self._running and not self._running.wait(GLANCE):
            if signals.heard() or time.monotonic() > until:
                self._running.kill()

    def _packs(self) -> int:
        with contextlib.suppress(FileNotFoundError):
            return sum(name.endswith(".pack") for name in os.listdir(self._folder))
        return 0

    def _sweep(self) -> None:
        for name in os.listdir(self._folder):
            path = os.path.join(self._folder, name)
            with contextlib.suppress(OSError):
                if name.startswith((".tmp-", "tmp_")) and time.time() - os.stat(path).st_mtime > LEFT:
                    os.unlink(path)
