"""Which worker an order goes to. Pure functions."""

from __future__ import annotations

from collections.abc import Mapping
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


def alive(workers: Mapping[str, WorkerSeen]) -> dict[str, WorkerSeen]:
    """Return the workers that are not lost, by address."""
    return {address: worker for address, worker in workers.items() if worker.silent < LOST_AFTER}


def room(workers: Mapping[str, WorkerSeen], resource: str) -> int:
    """Return how many orders that need one of a resource the workers run at a time."""
    return sum(int(worker.resources.get(resource, 0)) for worker in workers.values())


def choose(workers: Mapping[str, WorkerSeen], resource: str, used: Mapping[str, int]) -> str | None:
    """Return the address of the worker with the most of a resource free, or None if none is; `used` is by address."""
    free = {address: int(worker.resources.get(resource, 0)) - used.get(address, 0) for address, worker in workers.items()}
    best = max(sorted(free), key=lambda address: free[address], default=None)
    return best if best is not None and free[best] > 0 else None
