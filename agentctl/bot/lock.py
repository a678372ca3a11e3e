"""The lock by which a hub has only one bot."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from agentctl.engine import locks
from agentctl.engine.locks import Held
from agentctl.errors import AgentctlError
from agentctl.git.repository import Hub
from agentctl.hub import lease


@contextlib.contextmanager
def lock(hub: Hub) -> Iterator[Held]:
    """Hold, in the context, the lock of the one bot of a hub; if that stands on a remote, its lease too.

    Raises Contended if another bot runs.
    """
    with locks.acquire(hub.own_path("locks", "bot.lock"), "the bot") as held:
        lease.take(hub)
        try:
            yield held
        finally:
            # A lease that cannot be given back ends by itself.
            with contextlib.suppress(AgentctlError):
                lease.release(hub)
