"""The lock by which a hub has only one bot."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from agentctl.engine import locks
from agentctl.engine.locks import Held
from agentctl.errors import AgentctlError, Contended
from agentctl.git.repository import Hub
from agentctl.hub import lease


@contextlib.contextmanager
def lock(hub: Hub, wait: bool = True) -> Iterator[Held]:
    """Hold, in the context, the lock of the one bot of a hub; if that stands on a remote, its lease too.

    Raises Contended if another bot runs, which is Elsewhere where the hub stands on a remote. See `lease.take` for `wait`.
    """
    with _here(hub) as held:
        held.after_death = lease.take(hub, wait)
        try:
            yield held
        finally:
            # A lease that cannot be given back ends by itself.
            with contextlib.suppress(AgentctlError):
                lease.release(hub)


def _here(hub: Hub) -> Held:
    path = hub.own_path("locks", "bot.lock")
    try:
        return locks.acquire(path, "the bot")
    except Contended:
        if not hub.station:
            raise
        holder = locks.holder(path)
        raise lease.Elsewhere(name=f"process {holder['pid']} on {holder['host']}" if holder else "another process") from None
