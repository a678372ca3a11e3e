"""What the machine knows of time zones."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo


def offset_of(zone: str) -> float | None:
    """Return the seconds of a zone such as America/New_York from UTC, now, to the east; None if the machine does not know it."""
    try:
        found = datetime.now(ZoneInfo(zone)).utcoffset()
    except (OSError, ValueError, LookupError):
        return None
    return None if found is None else found.total_seconds()
