"""A worker's mirror of a hub: a bare station of its own, in which gates and sessions run as they would at any station.

Each worker has its mirrors for itself: of several on one machine, the second takes the second folder. What a worker that was
killed left there is made safe by the next one that takes the folder.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from agentctl.cluster.orders import Address, Unable
from agentctl.engine import locks
from agentctl.engine.local import LOCAL
from agentctl.engine.locks import Held
from agentctl.engine.upkeep import Upkeep
from agentctl.errors import AgentctlError, Contended, NotFound
from agentctl.fleet import agents
from agentctl.fleet.old_sessions import OldSessions
from agentctl.gate import slots
from agentctl.git import modes, process, repository
from agentctl.git.repository import Hub

REMOTE = "hub"
"""The name of the remote of a mirror."""
PATIENCE = 600.0
"""Seconds for which a session that has ended waits for a hub that is away; then its work stays in its worktree."""


def cache() -> str:
    """Return the folder of mirrors, unless a worker is told another one."""
    return os.path.join(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "agentctl", "mirrors")


@dataclass
class _Mirror:
    lock: threading.Lock = field(default_factory=threading.Lock)
    """Held while the hub is looked at: whoever comes meanwhile waits for what that look finds."""
    hub: Hub | None = None
    held: Held | None = None
    upkeep: Upkeep | None = None
    old: OldSessions | None = None
    looked: float = float("-inf")
    """When the last look began that reached the hub, by the monotonic clock."""
    failed: float = float("-inf")
    """When the last one ended that did not."""
    why: str = ""


@dataclass
class Mirrors:
    """The mirrors of this worker, by the address of their hub."""

    top: str
    tell: Callable[[str], None] = lambda text: None
    """Tells whoever watches this worker what became of work that was found here, and what went wrong."""
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _known: dict[str, _Mirror] = field(default_factory=dict)

    def of(self, address: Address, fresh: bool = False) -> Hub:
        """Return the mirror of a hub, and make it if need be; with `fresh`, as the hub is now.

        Raises Unable if the hub cannot be reached. All that wait for one look share what comes of it: hundreds of sessions
        would otherwise wait one after the other for a hub that does not answer.
        """
        asked = time.monotonic()
        with self._lock:
            one = self._known.setdefault(address.url, _Mirror())
        if one.hub and not fresh:
            return one.hub
        with one.lock:
            if one.hub and (not fresh or one.looked >= asked):
                return one.hub
            if one.failed >= asked:
                raise Unable(one.why)
            begun = time.monotonic()
            try:
                if not one.hub:
                    one.hub, one.held = self._taken(address)
                    one.upkeep, one.old = Upkeep(one.hub, LOCAL), OldSessions(one.hub)
                else:
                    one.hub.refs.refresh()
                if one.old:
                    one.old.turn()
            except (AgentctlError, OSError) as error:
                one.failed, one.why = time.monotonic(), str(error)
                self.tell(one.why)
                raise Unable(one.why) from None
            one.looked = begun
            return one.hub

    def place(self, address: Address) -> str:
        """Return the folder of the mirrors of a hub, of which each worker takes one."""
        return os.path.join(self.top, hashlib.sha256(address.url.encode()).hexdigest()[:16])

    def _taken(self, address: Address) -> tuple[Hub, Held]:
        """Take the first folder that no other worker has."""
        folder = self.place(address)
        modes.folder(folder)
        number = 1
        while True:
            try:
                held = locks.acquire(os.path.join(folder, f"{number}.lock"), f"mirror {number}")
                break
            except Contended:
                number += 1
        try:
            path = os.path.join(folder, f"{number}.git")
            if not os.path.exists(path):
                make(path, address)
            hub = repository.find(path)
            assert hub.station
            hub.station.patience = lambda: PATIENCE
            hub.station.refresh()
            _clear(hub, address.trunk, self.tell)
            return hub, held
        except BaseException:
            held.release()
            raise

    def turn(self) -> None:
        """Look after the objects of the mirrors, without waiting: each gate leaves some here, and no Git's own gc runs."""
        for one in [*self._known.values()]:
            if one.upkeep:
                with contextlib.suppress(AgentctlError, OSError):
                    one.upkeep.turn()

    def close(self) -> None:
        """Make safe and remove the worktrees of agents and the slots, as far as the hub can be reached."""
        with self._lock:
            for one in self._known.values():
                with one.lock:
                    if one.upkeep:
                        one.upkeep.close()
                    if one.hub and one.held:
                        with contextlib.suppress(AgentctlError, OSError):
                            _clear(one.hub, one.hub.config("agentctl.trunk") or "", self.tell)
                        one.held.release()
            self._known.clear()


def make(path: str, address: Address) -> None:
    """Make a bare repository with the hub as its remote; one that a kill left half made has another name."""
    half = path + ".half"
    shutil.rmtree(half, ignore_errors=True)
    process.run(["init", "--bare", "--quiet", "--initial-branch=none", half])
    for key, value in (
        (f"remote.{REMOTE}.url", address.url),
        (f"remote.{REMOTE}.fetch", f"+refs/heads/*:refs/remotes/{REMOTE}/*"),
        ("agentctl.remote", REMOTE),
        ("agentctl.trunk", address.trunk),
    ):
        process.run(["config", key, value], git_dir=half)
    os.rename(half, path)


def _clear(hub: Hub, trunk: str, tell: Callable[[str], None]) -> None:
    """End what still runs in a mirror, and remove its worktrees after their work is safe at the hub."""
    LOCAL.sweep(hub.mark)
    with contextlib.suppress(NotFound):
        tip = hub.trunk_tip(trunk)
        for agent in agents.names(hub):
            with contextlib.suppress(Contended):
                if kept := agents.remove(hub, agent, tip):
                    tell(f"what {agent} had left here is kept in {kept}")
    slots.remove_slots(hub)
