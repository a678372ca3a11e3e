"""Which stations are at work at a hub on a remote: refs/agentctl/stations/<station>, which each renews as it works.

A station that has vanished is told by that alone: its ref has not changed for LASTS seconds, by the clock of whoever
watches (`git.watch`). So clocks that differ do no harm, and whoever only takes one look takes no claim away, nor does
whoever was cut off from the hub.
"""

from __future__ import annotations

import time

from agentctl.core import refnames
from agentctl.core.tasks.claim import Claim
from agentctl.engine import owner
from agentctl.errors import Contended
from agentctl.git.objects import EMPTY_TREE
from agentctl.git.repository import Hub

BEAT, LASTS = 20.0, 90.0
"""Seconds between two renewals, and after which a station that renews its ref no more has vanished."""
AGAIN = 5.0
"""Seconds after which a renewal that failed is tried again."""


class Presence:
    """The ref of this station, for as long as a fleet works here."""

    def __init__(self, hub: Hub) -> None:
        self.hub, self._ref = hub, refnames.STATIONS + hub.place
        self._next = 0.0

    @property
    def due(self) -> bool:
        """True if the ref is to be renewed, and the hub could be reached."""
        return bool(self.hub.station and self.hub.station.reached) and time.monotonic() >= self._next

    def beat(self) -> None:
        """Renew the ref; raise Away or Declined."""
        self._next, now = time.monotonic() + AGAIN, time.time()
        with self.hub.objects.store.together():
            self.hub.objects.write_tree({})
            made = self.hub.objects.write_commit(EMPTY_TREE, [], f"{self.hub.place} at {now:.3f}\n", now)
            move = self.hub.refs.transaction("here")
            move.update(self._ref, made, self.hub.refs.get(self._ref))
            self.hub.objects.store.flush()
            try:
                move.commit()
            except Contended:
                return
        self._next = time.monotonic() + BEAT

    def leave(self) -> None:
        """Delete the ref; raise Away or Declined."""
        if self.hub.station and (found := self.hub.refs.get(self._ref)):
            move = self.hub.refs.transaction("gone")
            move.delete(self._ref, found)
            move.commit()


def at_work(hub: Hub) -> bool:
    """Tell whether a fleet works at this very station; it wrote the ref by the same clock."""
    found = hub.refs.get(refnames.STATIONS + hub.place) if hub.station else None
    return bool(found) and time.time() - hub.objects.commit(found or "").time < LASTS


def others(hub: Hub) -> list[str]:
    """Return the other stations at which a fleet may be at work, as far as this process has watched them."""
    if not hub.station:
        return []
    refs = [ref for ref in hub.refs.names([refnames.STATIONS]).oids if ref != refnames.STATIONS + hub.place]
    return [ref.removeprefix(refnames.STATIONS) for ref in refs if hub.station.watch(ref).still <= LASTS]


def vanished(hub: Hub, claim: Claim) -> bool:
    """Tell whether the station whose supervisor made a claim has vanished, as far as this process has watched it."""
    if not hub.station or not claim.station or claim.station == hub.place or not owner.elsewhere(claim.owner, hub.home):
        return False
    return hub.station.watch(refnames.STATIONS + claim.station).still > LASTS
