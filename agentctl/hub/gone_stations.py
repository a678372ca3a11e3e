"""The refs of stations that are gone: a fleet that was killed leaves its ref, and in a new container the next one has another name."""

from __future__ import annotations

import contextlib
import time

from agentctl.core import refnames
from agentctl.errors import Contended, Malformed
from agentctl.git.refs import decoding
from agentctl.git.remote import Away, Declined
from agentctl.git.repository import Hub
from agentctl.hub.presence import LASTS

GONE = 86_400.0
"""Seconds after its last renewal, by its own clock, after which the ref of a station that has vanished is of no more use."""
EVERY = 10.0
"""Seconds between two looks: a watch counts no longer gap than `watch.GAP`."""
AT_A_TIME = 200
"""The most refs that go at one look."""


class GoneStations:
    def __init__(self, hub: Hub) -> None:
        self._hub, self._next = hub, 0.0

    def turn(self) -> None:
        """Delete the refs of stations that are gone, if it is time to look.

        That takes nothing from one which comes back: it writes its ref anew. Where the remote does not take it, that is left for later.
        """
        if self._hub.station and time.monotonic() >= self._next:
            self._next = time.monotonic() + EVERY
            with contextlib.suppress(Contended, Away, Declined):
                bury(self._hub)


def bury(hub: Hub) -> None:
    """Delete the refs of the stations that vanished, as far as this process has watched them, and were renewed long ago."""
    assert hub.station
    others = {ref: oid for ref, oid in hub.refs.names([refnames.STATIONS]).oids.items() if ref != refnames.STATIONS + hub.place}
    vanished = {ref: oid for ref, oid in others.items() if hub.station.watch(ref).still > LASTS and _old(hub, ref, oid)}
    moves = hub.refs.transaction("stations that are gone")
    for ref in sorted(vanished)[:AT_A_TIME]:
        moves.delete(ref, vanished[ref])
    moves.commit()


def _old(hub: Hub, ref: str, oid: str) -> bool:
    # What somebody else has put there is left to doctor.
    with contextlib.suppress(Malformed), decoding(ref):
        return time.time() - hub.objects.commit(oid).time > GONE
    return False
