"""For how long something at a remote has been as it is: what one look after the other can tell of it."""

from __future__ import annotations

from dataclasses import dataclass, replace

GAP = 30.0
"""The most seconds between two looks of one watch: what happened in a longer gap, nobody here knows."""


@dataclass(frozen=True, slots=True)
class Watch:
    found: str | None
    since: float
    """The time of the first look that found it so."""
    until: float
    """The time of the last look."""
    moved: bool = False
    """True if it became what it is while it was watched."""

    @property
    def still(self) -> float:
        """For how many seconds it has been as it is."""
        return self.until - self.since


def after(before: Watch | None, found: str | None, looked: float, now: float) -> Watch:
    """Return what is known now, when the last look was at the time `looked` and found what it is.

    Only time counts that looks cover. If nobody could look for a while, or the clock was set, the watch begins anew: whoever
    is watched could not be heard of either.
    """
    if not before or not 0 <= looked - before.until <= GAP or now - looked > GAP:
        return Watch(found, looked, looked)
    if found != before.found:
        return Watch(found, looked, looked, moved=True)
    return replace(before, until=looked)
