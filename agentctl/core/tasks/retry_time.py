"""When a provider says that it may be asked again, read from its words.

retry-after: 30                         try again in 20s, in 1h2m3s, in 2 days 3 hours
usage limit reached|1764331200          resets at 2026-01-31T15:00:00Z
resets 3pm, try again at 3:46 PM        (local time, or that of the zone that is said, such as UTC or America/New_York)
resets Thursday 9am, at Dec 2nd, 2026 3:07 PM
"""

from __future__ import annotations

import re
from collections.abc import Callable

Zones = Callable[[str], float | None]
"""Returns the seconds of a zone such as America/New_York from UTC, to the east; None if nobody knows it."""
FARTHEST = 6 * 3600.0
"""The most seconds to wait, whatever the words say and however they were read."""

MINUTE = 60.0
"""A clock that shows no seconds may show a minute that has only begun."""
BEHIND = 3600.0
"""A clock time that lies at most so many seconds behind is that of today, and not that of tomorrow."""

_UNIT = r"(?:days?|hours?|hrs?|minutes?|mins?|seconds?|secs?|ms|d|h|m|s)"
_DURATION = rf"((?:\d+(?:\.\d+)?\s*{_UNIT}(?![a-z])[\s,]*(?:and\s+)?)+)"
_SECONDS = {"d": 86400.0, "h": 3600.0, "ms": 0.001, "m": 60.0, "s": 1.0}

_HEADER = re.compile(r"(?i)retry[-_ ]?after(?:[-_ ]?(ms))?\W{1,5}(\d+(?:\.\d+)?)(?!\s*[-:\d])")
_IN = re.compile(rf"(?i)(?:again|retry|resets?|available)\s+(?:in|after)\s+{_DURATION}")
_EPOCH = re.compile(r"(?i)(?:\||resets?_?(?:at)?\W{1,4})(\d{10})(?!\d)")
_DATE = re.compile(
    r"(?i)(?:resets?|again|until|at|after)\s+(?:at\s+|on\s+)?(\d{4})-(\d\d)-(\d\d)[T ](\d\d):(\d\d)(?::(\d\d))?"
    r"(?:\.\d+)?\s?(Z|UTC|[+-]\d\d:?\d\d)?"
)
_WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DAY = (
    rf"(?P<weekday>{'|'.join(_WEEKDAYS)})(?:day|s|sday|nesday|rs|rsday|urday)?\b|"
    rf"(?P<month>{'|'.join(_MONTHS)})[a-z]*\.?\s+(?P<day>\d{{1,2}})(?:st|nd|rd|th)?\b(?:,?\s+(?P<year>\d{{4}})\b)?"
)
_CLOCK = re.compile(
    rf"(?i)(?:resets?|again|until)\s+(?:(?:at|on)\s+)?(?:(?:{_DAY}),?\s+)?(?:at\s+)?"
    r"(?P<hour>\d{1,2})(?::(?P<minute>\d\d))?\s?(?P<half>am|pm)?\b"
    r"(?:\s?\(?(?P<zone>[A-Z]{3}\b|[A-Z][a-z]{2,20}/[\w/+-]{2,40}))?"
)
_ZONES = {"UTC": 0, "GMT": 0, "EST": -5, "EDT": -4, "CST": -6, "CDT": -5, "MST": -7, "MDT": -6, "PST": -8, "PDT": -7}
"""The hours from UTC, to the east, of the zones that have short names in what providers say."""


def resumes(text: str, now: float, offset: float, zones: Zones = lambda zone: None) -> float:
    """Return the time in seconds since 1970, at most `FARTHEST` from now; 0 if `text` names no time in the future.

    `offset` is that of local time: seconds from UTC, to the east.
    """
    when = _told(text, now, offset, zones)
    return min(when, now + FARTHEST) if when > now else 0.0


def _told(text: str, now: float, offset: float, zones: Zones) -> float:
    if found := _HEADER.search(text):
        return now + float(found[2]) * (0.001 if found[1] else 1.0)
    if found := _IN.search(text):
        return now + _seconds(found[1])
    if found := _EPOCH.search(text):
        return float(found[1])
    if found := _DATE.search(text):
        return _date(found, offset)
    if (found := _CLOCK.search(text)) and (found["minute"] or found["half"]):
        zone = found["zone"] or ""
        there = _ZONES[zone.upper()] * 3600.0 if zone.upper() in _ZONES else zones(zone) if zone else None
        return _clock(found, now, offset if there is None else there)
    return 0.0


def _seconds(text: str) -> float:
    parts = re.findall(rf"(?i)(\d+(?:\.\d+)?)\s*({_UNIT})(?![a-z])", text)
    return sum(float(number) * _SECONDS["ms" if unit.lower() == "ms" else unit[0].lower()] for number, unit in parts)


def _date(found: re.Match[str], offset: float) -> float:
    year, month, day, hour, minute, second = (int(part or 0) for part in found.groups()[:6])
    zone = found[7]
    if zone and zone[0] in "+-":
        offset = (1 if zone[0] == "+" else -1) * (int(zone[1:3]) * 3600 + int(zone[-2:]) * 60)
    elif zone:
        offset = 0.0
    return _days(year, month, day) * 86400.0 + hour * 3600 + minute * 60 + second - offset


def _days(year: int, month: int, day: int) -> int:
    """Return the days since 1970 by the usual rule: years are counted from March, so that leap days come last."""
    year, month = (year, month - 3) if month > 2 else (year - 1, month + 9)
    return 365 * year + year // 4 - year // 100 + year // 400 + (153 * month + 2) // 5 + day - 719469


def _clock(found: re.Match[str], now: float, offset: float) -> float:
    """Return the time at which a clock has shown this for a minute, on the day that is said or else on the next one.

    It is 0 if it did within the last hour.
    """
    hour, minute = int(found["hour"]), int(found["minute"] or 0)
    hour = hour % 12 + 12 * (found["half"].lower() == "pm") if found["half"] else hour % 24
    wanted = hour * 3600 + minute * 60
    if found["month"]:
        return _on_day(found, now + offset) * 86400.0 + wanted + MINUTE - offset
    period, since = 86400.0, now + offset
    if found["weekday"]:
        # The first day of 1970 was a Thursday.
        period, since = 7 * period, since + 3 * period
        wanted += 86400 * _WEEKDAYS.index(found["weekday"].lower())
    ahead = (wanted - since) % period
    return now + ahead + MINUTE if ahead < period - BEHIND else 0.0


def _on_day(found: re.Match[str], there: float) -> int:
    """Return the days since 1970 of the day that is said; without a year it is the one nearest to the time `there`."""
    month, day = 1 + _MONTHS.index(found["month"].lower()), int(found["day"])
    around = 1970 + int(there / (365.2425 * 86400))
    years = [int(found["year"])] if found["year"] else [around - 1, around, around + 1]
    return min((_days(year, month, day) for year in years), key=lambda days: abs(days - there / 86400))
