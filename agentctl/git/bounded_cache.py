"""A cache of what came last, bounded by the weight of all that it holds."""

from __future__ import annotations

import threading
from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")


class BoundedCache(Generic[K, V]):
    """Values by key, for use from several threads; when they weigh more than `most` together, the oldest go, but not the newest."""

    def __init__(self, most: int) -> None:
        self._most, self._weight = most, 0
        self._held: dict[K, tuple[V, int]] = {}
        self._lock = threading.Lock()

    def __contains__(self, key: K) -> bool:
        return key in self._held

    def get(self, key: K) -> V | None:
        found = self._held.get(key)
        return found[0] if found else None

    def put(self, key: K, value: V, weight: int = 1) -> V:
        """Keep the value and return it."""
        with self._lock:
            _, before = self._held.pop(key, (None, 0))
            self._held[key] = value, weight
            self._weight += weight - before
            while self._weight > self._most and len(self._held) > 1:
                oldest = next(iter(self._held))
                self._weight -= self._held.pop(oldest)[1]
        return value
