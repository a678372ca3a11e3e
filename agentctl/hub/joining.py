"""How a repository becomes a station: its hub stands on one of its remotes from then on.

What a hub of its own has in refs, such as tasks and a ledger, goes to the remote, if that is no hub yet. `git config
agentctl.remote` is written after that: a command that is killed before is run again, and what it pushed is there already.
The first look as a station takes away here what the remote has not, so it comes only when all is known to be there.
"""

from __future__ import annotations

import os

from agentctl.core import refnames
from agentctl.engine import locks
from agentctl.errors import Contended, NotFound, Refused
from agentctl.git import stale_locks
from agentctl.git.repository import Hub
from agentctl.git.station import HERE, Station
from agentctl.git.transactions import Move
from agentctl.messages import quoted, some

AT_ONCE = 1000
"""The most refs of one push: each is named twice on a command line."""


def stand_on(hub: Hub, remote: str) -> None:
    """Let the hub stand on a remote.

    Raises NotFound if there is no such remote, Refused if both are hubs already, Contended if a bot or an agent works here,
    and Away or Declined. What is here stays as it is unless all of it is known to be there.
    """
    if hub.config("agentctl.remote") == remote:
        return
    if remote not in hub.git("remote").split("\n"):
        raise NotFound(f"there is no remote {remote!r} here", hint=f"git remote add {remote} URL")
    station = Station(hub.remote(remote), lambda: None)
    with locks.acquire(hub.own_path("locks", "bot.lock"), "the bot"):
        if working := [name for name, path in _agents(hub) if locks.holder(path)]:
            raise Contended(
                f"{some(working)} at work here", hint="end that run first (Ctrl-C, or agentctl stop AGENT), then again"
            )
        there = station.remote.refs([refnames.ROOT + "*"])
        own = _own(hub)
        here_alone, there_alone = own.items() - there.items(), there.items() - own.items()
        if here_alone and there_alone:
            raise Refused(
                f"this repository and {remote} are two hubs: {min(here_alone)[0]} differs, for one",
                hint=f"use a fresh clone: git clone {quoted(station.remote.url)} ../other",
            )
        _send(hub, station, there)
        stale_locks.retrying(hub.git_dir, lambda: hub.configure("agentctl.remote", remote))
        # A command that began before that may have written here.
        _send(hub, station, own | there)
        hub.forget()
        hub.refs.refresh()


def _own(hub: Hub) -> dict[str, str]:
    return {name: oid for name, oid in hub.here.names([refnames.ROOT]).oids.items() if not name.startswith(HERE)}


def _send(hub: Hub, station: Station, there: dict[str, str]) -> None:
    """Have the remote, which has these refs, take all others that are here."""
    while left := [Move(name, there.get(name), oid) for name, oid in sorted(_own(hub).items()) if there.get(name) != oid]:
        # The ledger goes last: without it nobody takes what is there for a whole hub.
        left.sort(key=lambda move: move.ref == refnames.STATE)
        for first in range(0, len(left), AT_ONCE):
            station.send(left[first : first + AT_ONCE])
        there = there | {move.ref: move.new for move in left if move.new}


def _agents(hub: Hub) -> list[tuple[str, str]]:
    """Return the agents that ever worked here, each with the path of its lock."""
    folder = hub.own_path("locks", "agents")
    names = sorted(os.listdir(folder)) if os.path.isdir(folder) else []
    return [(name.removesuffix(".lock"), os.path.join(folder, name)) for name in names if name.endswith(".lock")]
