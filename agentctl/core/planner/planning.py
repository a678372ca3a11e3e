"""One turn of the planner: the view, the memory and what was decided so far."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Set
from itertools import chain, islice

from agentctl.core.planner.beliefs import Beliefs, Settings
from agentctl.core.planner.memory import FailedProbe, Landable, Memory, lane
from agentctl.core.queue.model import Action, Change, Probe, View
from agentctl.core.queue.priority_lending import lent
from agentctl.core.text.json_form import replace

LONG_WAIT = 16.0
"""Gate times since its admission after which a change is old.

While an old change is not green, and no running probe asks about it, no bets are placed and probes go in order.

It also bounds the weight of waiting (`bets.weight`). Higher: bets go on longer beside a change that they pass over.
Lower: bets end although waiting costs little."""


GATE_SECONDS = 60.0
"""Seconds that a gate is taken to need while no probe has passed. It decides only how fast changes age until then."""


def change_id(key: str) -> str:
    """Return the id in "ID/REVISION"."""
    return key.rpartition("/")[0]


def landed_on(mem: Memory, base: str) -> tuple[str, ...] | None:
    """Return what landed literally on `base`, in order; None if somebody else moved trunk since, or `base` is forgotten."""
    landed: list[tuple[str, ...]] = []
    for tip in reversed(mem.tips):
        if tip.commit == base:
            return tuple(chain.from_iterable(reversed(landed)))
        if tip.chain is None:
            return None
        landed.append(tip.chain)
    return None


def rank(change: Change, limits: Settings) -> tuple[float, int]:
    """Return the sort key of a change: a level of priority counts as `aging` seconds of waiting."""
    return change.admitted - change.priority * limits.aging, change.seq


def lifted(queued: tuple[Change, ...]) -> tuple[Change, ...]:
    """Return the changes, each with the highest priority of itself and those that come after it."""
    after = {c.id: c.after for c in queued if c.after}
    raised = lent({c.id: c.priority for c in queued}, after) if after else {}
    return tuple(replace(c, priority=raised[c.id]) if c.id in raised else c for c in queued) if raised else queued


class Planning:
    """One turn: view, memory, beliefs and the actions so far."""

    def __init__(self, view: View, limits: Settings, mem: Memory, now: float) -> None:
        self.view = view
        self.now = now
        self.limits = limits
        self.mem = mem
        self.queue: dict[str, Change] = {c.key: c for c in lifted(view.queued)}
        follow = {p.number: p for p in view.follow}
        self.running = tuple(follow.get(p.number, p) for p in view.running)
        """The running probes: those that follow trunk as if they had begun there, the others as they began."""
        self.lanes = tuple(dict.fromkeys(c.gates for c in view.queued))
        """The gates of each lane, each once; a single lane, None, if no gate names paths."""
        self._seconds: dict[tuple[str, ...] | None, float] = {}
        self.actions: list[Action] = []
        self.beliefs = Beliefs(mem, limits)
        self._ahead: dict[str, tuple[str, ...] | None] = {}
        self._clashes: dict[str, set[str]] = {}
        self._ride: tuple[tuple[str, ...], frozenset[str]] = (), frozenset()
        for a, b in view.clashes:
            self._clashes.setdefault(a, set()).add(b)
            self._clashes.setdefault(b, set()).add(a)

    def gate_seconds(self, gates: tuple[str, ...] | None) -> float:
        """Return about how many seconds a probe of changes that `gates` judge takes.

        If none has passed yet: the mean of the other lanes, or GATE_SECONDS if there is none.
        """
        if gates not in self._seconds:
            known = self.mem.seconds
            self._seconds[gates] = known.get(lane(gates)) or (sum(known.values()) / len(known) if known else GATE_SECONDS)
        return self._seconds[gates]

    def ranked(self, aside: Set[str] = frozenset()) -> list[str]:
        """Return the keys of the queue without `aside`, in the order of `rank`."""
        return [
            c.key for c in sorted((c for key, c in self.queue.items() if key not in aside), key=lambda c: rank(c, self.limits))
        ]

    def risk(self, key: str) -> float:
        """Return the probability that the change is bad."""
        return self.beliefs.risk(self.queue.get(key))

    def together(self, keys: Iterable[str]) -> float:
        """Return the probability that at least one of `keys` is bad."""
        good = 1.0
        for key in keys:
            good *= 1 - self.risk(key)
        return 1 - good

    def compose(
        self, ride: tuple[str, ...], items: Iterable[str], clashing: bool = False, most: int | None = None
    ) -> tuple[str, ...]:
        """Return those of `items`, at most `most`, that can follow `ride` in one chain.

        They are queued, their dependencies are on trunk or earlier in the chain, and, unless `clashing` is allowed, none
        clashes with an earlier one.
        """
        return tuple(islice(self.following(ride, items, clashing), most))

    def following(self, ride: tuple[str, ...], items: Iterable[str], clashing: bool = False) -> Iterator[str]:
        """Yield what `compose` returns, one by one: a caller that needs only the first ones pays for these alone."""
        riding = self._members(ride)
        ids: set[str] | None = None
        inside: set[str] = set()
        for key in items:
            change = self.queue.get(key)
            if change is None or key in inside or key in riding:
                continue
            if change.after:
                ids = ids or self.settled.union(change_id(k) for k in (*ride, *inside))
                if not ids.issuperset(change.after):
                    continue
            if not clashing and (clashes := self._clashes.get(key)):
                if not (inside.isdisjoint(clashes) and riding.isdisjoint(clashes)):
                    continue
            inside.add(key)
            if ids is not None:
                ids.add(change.id)
            yield key

    def green_of(self, gates: tuple[str, ...] | None) -> tuple[str, ...]:
        """Return the green changes of a lane, in the order in which they can stand in a chain."""
        return self.compose((), [k for k in self.mem.green if k in self.queue and self.queue[k].gates == gates])

    def settle_green(self) -> None:
        """Keep only the green changes that are queued still and whose dependencies are on trunk or green."""
        self.mem.green = list(self.compose((), self.mem.green, clashing=True))

    def _members(self, ride: tuple[str, ...]) -> frozenset[str]:
        """Return `ride` as a set; the last one is kept, since most chains of a turn have the same ride."""
        if ride != self._ride[0]:
            self._ride = ride, frozenset(ride)
        return self._ride[1]

    def rest(self, probe: Probe | Landable | FailedProbe) -> tuple[str, ...] | None:
        """Return the part of the chain that is not on trunk yet.

        None if trunk is not literally on its way from the probe's base to the end of its chain. For example, a probe of a,
        b, c on t0: while trunk is t0 the rest is a, b, c; when a has landed on t0 it is b, c; when d has, it is None.
        """
        base = probe.base
        if base not in self._ahead:
            self._ahead[base] = landed_on(self.mem, base)
        landed = self._ahead[base]
        if landed is None or probe.chain[: len(landed)] != landed:
            return None
        return probe.chain[len(landed) :]

    @property
    def settled(self) -> set[str]:
        """The ids of changes on trunk that queued changes depend on."""
        return set(self.mem.landed_ids)

    def alone(self, key: str) -> bool:
        """Tell whether all that `key` depends on is on trunk."""
        return self.settled.issuperset(self.queue[key].after)

    def remove(self, key: str) -> None:
        """Treat a change as gone from the queue for the rest of this turn."""
        self.queue.pop(key, None)
