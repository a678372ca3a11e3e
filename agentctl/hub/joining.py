"""How a repository becomes a station: its hub stands on one of its remotes from then on.

What a hub of its own has in refs, such as tasks and a ledger, goes to the remote, if that is no hub yet. `git config
agentctl.remote` is written last: a command that is killed before is run again, and what it pushed is there already.
"""

from __future__ import annotations

from agentctl.core import refnames
from agentctl.errors import NotFound, Refused
from agentctl.git import stale_locks
from agentctl.git.repository import Hub
from agentctl.git.station import HERE, Station
from agentctl.git.transactions import Move
from agentctl.messages import quoted


def stand_on(hub: Hub, remote: str) -> None:
    """Let the hub stand on a remote.

    Raises NotFound if there is no such remote, Refused if both are hubs already, and Away or Declined.
    """
    if hub.config("agentctl.remote") == remote:
        return
    if remote not in hub.git("remote").split("\n"):
        raise NotFound(f"there is no remote {remote!r} here", hint=f"git remote add {remote} URL")
    own = {name: oid for name, oid in hub.here.names([refnames.ROOT]).oids.items() if not name.startswith(HERE)}
    station = Station(hub.remote(remote), lambda: None)
    there = station.remote.refs([refnames.ROOT + "*"])
    if there and (odd := sorted(name for name, oid in own.items() if there.get(name) != oid)):
        raise Refused(
            f"this repository and {remote} are two hubs: {odd[0]} differs, for one",
            hint=f"use a fresh clone: git clone {quoted(station.remote.url)} ../other",
        )
    if own and not there:
        station.send([Move(name, None, oid) for name, oid in own.items()])
    stale_locks.retrying(hub.git_dir, lambda: hub.configure("agentctl.remote", remote))
    hub.forget()
    hub.refs.refresh()
