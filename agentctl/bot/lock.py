"""The lock by which a hub has only one bot."""

from __future__ import annotations

from agentctl.engine import locks
from agentctl.engine.locks import Held
from agentctl.git.repository import Hub


def lock(hub: Hub) -> Held:
    """Acquire the lock that the one bot of a hub holds, or raise Contended."""
    return locks.acquire(hub.own_path("locks", "bot.lock"), "the bot")
