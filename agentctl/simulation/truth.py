"""What is true of the changes, and which textual conflicts chains have met so far."""

from __future__ import annotations

from collections.abc import Sequence

from agentctl.core.queue.model import Change
from agentctl.simulation.traffic import Arrival


class Truth:
    """What is true of the changes, which are named c0/1, c1/1 and so on in the order of arrival."""

    def __init__(self) -> None:
        self.count = 0
        self.met: frozenset[tuple[str, str]] = frozenset()
        """The textual conflicts that a chain has run into: all that a strategy is told of them."""
        self.fallen: list[str] = []
        """Changes that conflict with what landed last."""
        self.bad: set[str] = set()
        self._breaks: dict[str, set[str]] = {}
        self._clashes: dict[str, set[str]] = {}
        self._place: dict[str, int] = {}
        """The position on trunk of each landed change."""
        self._seconds: dict[str, float] = {}
        """How long the gate takes on a change, where that is not one second."""

    def learn(self, arrival: Arrival, at: float) -> Change:
        key = f"c{self.count}/1"
        if arrival.bad:
            self.bad.add(key)
        if arrival.seconds != 1.0:
            self._seconds[key] = arrival.seconds
        for number, pairs in ((arrival.breaks_with, self._breaks), (arrival.clashes_with, self._clashes)):
            if number is not None:
                pairs.setdefault(key, set()).add(f"c{number}/1")
                pairs.setdefault(f"c{number}/1", set()).add(key)
        change = Change(f"c{self.count}", 1, f"h{self.count}", arrival.agent, self.count, at, priority=arrival.priority)
        self.count += 1
        return change

    def green(self, chain: Sequence[str], below: int) -> bool:
        """Tell whether `chain` is good on top of the first `below` changes of trunk."""
        if not self.bad.isdisjoint(chain):
            return False
        if not self._breaks:
            return True
        members, nowhere = set(chain), float("inf")
        return not any(
            other in members or self._place.get(other, nowhere) < below for key in chain for other in self._breaks.get(key, ())
        )

    def clash(self, chain: Sequence[str]) -> bool:
        """Tell whether two changes of the chain conflict textually; such conflicts are then in `met`."""
        if not self._clashes:
            return False
        members = set(chain)
        found = {(min(key, other), max(key, other)) for key in chain for other in self._clashes.get(key, ()) if other in members}
        self.met |= found
        return bool(found)

    def land(self, keys: Sequence[str], below: int) -> None:
        """Put the changes on trunk from position `below` on, and note what conflicts with them."""
        self._place.update(zip(keys, range(below, below + len(keys))))
        if not self._clashes:
            return
        self.fallen += [other for key in keys for other in self._clashes.get(key, ())]
        gone = set(keys).union(self.fallen)
        self.met = frozenset(pair for pair in self.met if gone.isdisjoint(pair))

    def seconds(self, chain: Sequence[str]) -> float:
        """Return how long the gate takes on a chain: as long as on its last change."""
        return self._seconds.get(chain[-1], 1.0) if chain and self._seconds else 1.0
