"""Where gates and sessions run: by an option, else by the configuration of this repository, else here."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from agentctl.cluster.engine import Engine, checked
from agentctl.cluster.remote_gates import RemoteGates
from agentctl.cluster.remote_sessions import RemoteSessions
from agentctl.fleet import session
from agentctl.fleet.session import Sessions
from agentctl.gate import pool
from agentctl.gate.pool import Gates
from agentctl.git.repository import Hub

KEY, LOCAL = "agentctl.engine", "local"
"""The key in the configuration of a repository, and the value for this machine."""


@contextlib.contextmanager
def engine(hub: Hub, asked: str | None) -> Iterator[tuple[Gates, Sessions]]:
    """Yield where gates and sessions run; raise UsageError for an address of another kind, and what `Engine` raises."""
    address = asked or hub.config(KEY) or LOCAL
    if address == LOCAL:
        yield pool.HERE, session.HERE
        return
    cluster = Engine(checked(address))
    try:
        yield RemoteGates(cluster), RemoteSessions(cluster)
    finally:
        cluster.close()
