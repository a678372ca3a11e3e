"""One worker, for as long as it is wanted: it joins the cluster, and joins it again when the scheduler comes back."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import Callable
from dataclasses import dataclass

from agentctl import signals
from agentctl.cluster import at_worker
from agentctl.cluster.engine import checked, quiet
from agentctl.cluster.mirror import Mirrors, cache
from agentctl.cluster.orders import AGENTS, GATES
from agentctl.engine import memory
from agentctl.engine.memory import GivingBack
from agentctl.errors import Infrastructure
from agentctl.git import modes

GLANCE, AGAIN = 0.2, 2.0
"""Seconds between two looks whether it is to stop, and between two tries to reach the scheduler."""
STOPPING = 60.0
"""Seconds that sessions have to end and to make their work safe when the worker is asked to stop."""


@dataclass(frozen=True, slots=True)
class Offer:
    """What a worker offers."""

    address: str
    """That of the scheduler."""
    gates: int
    agents: int
    name: str
    folder: str | None
    """Where its mirrors are; None for the usual place."""


def serve(offer: Offer, tell: Callable[[str], None]) -> None:
    """Carry out what the cluster sends until asked to stop.

    Raises UsageError for what is no address, and Infrastructure if Dask is not installed.
    """
    checked(offer.address)
    try:
        import distributed  # noqa: F401
    except ImportError as error:
        raise Infrastructure(f"a worker needs Dask: {error}", hint="pip install 'agentctl[dask]'") from None
    quiet()
    giving_back = memory.GivingBack()
    at_worker.mirrors = Mirrors(os.path.abspath(offer.folder) if offer.folder else cache(), tell)
    modes.folder(at_worker.mirrors.top)
    with signals.held():
        try:
            asyncio.run(_serve(offer, tell, giving_back))
        finally:
            until = time.monotonic() + STOPPING
            while at_worker.under_way and time.monotonic() < until:
                time.sleep(GLANCE)
            at_worker.mirrors.close()


async def _serve(offer: Offer, tell: Callable[[str], None], giving_back: GivingBack) -> None:
    gone = False
    while not signals.heard():
        try:
            await _join(offer, tell, giving_back)
            if not signals.heard():
                tell(f"the scheduler at {offer.address} is gone; what ran here is stopped and made safe")
        except (OSError, TimeoutError, RuntimeError):
            if not gone:
                tell(f"no scheduler answers at {offer.address}; it is tried again until one does")
            gone = True
            await asyncio.sleep(AGAIN)
        else:
            gone = False


async def _join(offer: Offer, tell: Callable[[str], None], giving_back: GivingBack) -> None:
    """Be a worker of the cluster until the scheduler is gone or this process is asked to stop."""
    from distributed import Worker

    worker = Worker(
        offer.address,
        name=offer.name,
        nthreads=offer.gates + offer.agents,
        resources={GATES: offer.gates, AGENTS: offer.agents},
        memory_limit=0,
        dashboard=False,
        dashboard_address="127.0.0.1:0",
        death_timeout=AGAIN * 5,
        local_directory=os.path.join(at_worker.mirrors.top, "dask"),
    )
    async with worker:
        tell(f"{offer.name} works for {offer.address}: gates {offer.gates}, agents {offer.agents}")
        while worker.status.name in ("running", "paused") and not signals.heard():
            giving_back.turn()
            await asyncio.sleep(GLANCE)
        with contextlib.suppress(Exception):
            await worker.close(timeout=AGAIN, executor_wait=False)
