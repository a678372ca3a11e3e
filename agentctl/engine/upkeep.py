"""The upkeep of the object folder: its packs are put together, and loose objects with them.

Each session and each large turn of the bot leave a pack. Every Git that looks for an object looks into all packs, and
each one is a few open files of agentctl. Each gate on a worker leaves loose objects, each of them a file. `git repack --geometric` puts
small packs together, and loose objects with them, reachable or not: it forgets nothing. It runs beside all other work, below a guard. Git and `git.store` look
again for objects that moved while they read.
"""

from __future__ import annotations

import contextlib
import os
import time

from agentctl import signals
from agentctl.engine import locks
from agentctl.engine.locks import Held
from agentctl.engine.runner import Job, Runner, Running
from agentctl.errors import Contended
from agentctl.git import process
from agentctl.git.repository import Hub

MANY = 50
"""Above so many packs they are put together."""
SAMPLE, LOOSE = "17", 27
"""The folder in which loose objects are counted, a 256th of all, and above how many of them all are packed: as `git gc --auto` does it."""

REST, PAUSE = 5.0, 600.0
"""Seconds until the next try after one that helped, and after one that did not, since that would fail again.

`close` waits at most for a PAUSE.
"""

GLANCE = 0.2
"""Seconds between two looks whether agentctl is asked to stop."""

LEFT = 86_400.0
"""Seconds after which a file that a killed Git left half written belongs to nobody."""


class Upkeep:
    """The upkeep of one repository: its bot's or, where the bot works at another station, its fleet's; of a mirror, its worker's.

    A lock keeps two of them from it at a time.
    """

    def __init__(self, hub: Hub, runner: Runner) -> None:
        self._runner, self._hub, self._objects = runner, hub, os.path.join(hub.git_dir, "objects")
        self._running: Running | None = None
        self._held: Held | None = None
        self._next = 0.0
        self._tried: set[str] = set()
        """The packs and the counted loose objects that the last try was to put together."""

    def turn(self) -> None:
        """Begin to put packs together if that is due, without waiting for the end."""
        if self._running and self._running.wait(0):
            self._over()
            helped = len(self._tried & (self._packs() | self._loose())) <= len(self._tried) / 2
            self._next = time.monotonic() + (REST if helped else PAUSE)
        if self._running or time.monotonic() < self._next:
            return
        packs, loose = self._packs(), self._loose()
        if len(packs) > MANY or len(loose) > LOOSE:
            try:
                self._held = locks.acquire(self._hub.own_path("locks", "upkeep.lock"), "the upkeep")
            except Contended:
                self._next = time.monotonic() + PAUSE
                return
            self._tried = packs | loose
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
            self.turn()
        until = time.monotonic() + PAUSE
        while self._running and not self._running.wait(GLANCE):
            if signals.heard() or time.monotonic() > until:
                self._running.kill()
        self._over()

    def _over(self) -> None:
        self._running = None
        if self._held:
            self._held.release()

    def _packs(self) -> set[str]:
        return {name for name in self._listed("pack") if name.endswith(".pack")}

    def _loose(self) -> set[str]:
        return set(self._listed(SAMPLE))

    def _listed(self, folder: str) -> list[str]:
        with contextlib.suppress(FileNotFoundError):
            return os.listdir(os.path.join(self._objects, folder))
        return []

    def _sweep(self) -> None:
        for name in self._listed("pack"):
            path = os.path.join(self._objects, "pack", name)
            with contextlib.suppress(OSError):
                if name.startswith((".tmp-", "tmp_")) and time.time() - os.stat(path).st_mtime > LEFT:
                    os.unlink(path)
