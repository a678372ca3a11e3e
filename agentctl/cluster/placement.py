"""Which worker an order goes to. Pure functions."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

LOST_AFTER = 60.0
"""Seconds without a sign of life after which a worker counts as lost.

Workers give one every second or so, but one that begins hundreds of sessions has been silent for half a minute."""


@dataclass(frozen=True, slots=True)
class WorkerSeen:
    """A worker as the scheduler knows it."""

    name: str
    silent: float
    """Seconds since it gave a sign of life."""
    resources: Mapping[str, float]


REST, LONGEST_REST = 30.0, 600.0
"""Seconds for which a worker gets nothing that could not do what it got, doubled each time until it can."""


@dataclass(frozen=True, slots=True)
class Trouble:
    """What a worker could not do, as long as it has done nothing since. After its rest it gets one order at a time."""

    why: str
    until: float
    """When its rest ends."""
    row: int = 1
    """How often in a row it rests."""


def failed(before: Trouble | None, why: str, now: float) -> Trouble:
    """Return the trouble of a worker that could not do an order; `before` is what was known of it.

    One that fails while it rests has been sent before, and tells nothing new.
    """
    if before and now < before.until:
        return before
    row = before.row + 1 if before else 1
    return Trouble(why, now + min(LONGEST_REST, REST * float(2 ** min(row - 1, 30))), row)


def alive(workers: Mapping[str, WorkerSeen]) -> dict[str, WorkerSeen]:
    """Return the workers that are not lost, by address."""
    return {address: worker for address, worker in workers.items() if worker.silent < LOST_AFTER}


def _offered(workers: Mapping[str, WorkerSeen], resource: str, tried: Collection[str]) -> dict[str, int]:
    """Return how many orders that need one of a resource each worker gets at a time; of those that are `tried`, one."""
    offered = {address: int(worker.resources.get(resource, 0)) for address, worker in workers.items()}
    return {address: min(count, 1) if address in tried else count for address, count in offered.items()}


def room(workers: Mapping[str, WorkerSeen], resource: str, tried: Collection[str] = ()) -> int:
    """Return how many orders that need one of a resource the workers run at a time; `tried` are those with a Trouble."""
    return sum(_offered(workers, resource, tried).values())


def choose(workers: Mapping[str, WorkerSeen], resource: str, used: Mapping[str, int], tried: Collection[str] = ()) -> str | None:
    """Return the address of the worker with the most of a resource free, or None if none is; `used` is by address."""
    free = {address: count - used.get(address, 0) for address, count in _offered(workers, resource, tried).items()}
    best = max(sorted(free), key=lambda address: free[address], default=None)
    return best if best is not None and free[best] > 0 else None
