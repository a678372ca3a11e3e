"""When a provider may be asked again, in the many ways in which they say it."""

import pytest

from agentctl.core.tasks.retry_time import FARTHEST, resumes

NOON = 1_764_331_200.0
HOUR = 3600.0


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("retry-after: 30", 30),
        ("Retry-After: 7", 7),
        ('"retry_after":12.5', 12.5),
        ("retry-after-ms: 1500", 1.5),
        ("Please try again in 20s.", 20),
        ("Please try again in 6m0s.", 360),
        ("try again in 1h2m3s", 3723),
        ("Please retry in 28.201s", 28.201),
        ("try again in 250ms", 0.25),
        ("try again in 2 hours 5 minutes.", 7500),
        ("quota will reset after 3h20m5s", 12005),
        ("try again in 1 minute and 5 seconds", 65),
        (f"usage limit reached|{int(NOON + HOUR)}", HOUR),
        (f'"resets_at":{int(NOON + 60)}', 60),
        ("limit resets at 2025-11-28T13:30:00Z", 1.5 * HOUR),
        ("until 2025-11-28 14:00:00 UTC", 2 * HOUR),
        ("resets at 2025-11-28T15:00:00+02:00", HOUR),
        ("resets 3pm (UTC)", 3 * HOUR + 60),
        ("resets 3pm (utc)", 3 * HOUR + 60),
        ("resets 12:30pm (UTC)", HOUR / 2 + 60),
        ("try again at 1:15 PM UTC", 1.25 * HOUR + 60),
        ("resets 7:47am (America/New_York)", 47 * 60 + 60),
        ("resets 5am PST", HOUR + 60),
        ("resets 2pm (Nowhere/Atall)", 2 * HOUR + 60),
        ("try again at 12:00 PM", 60),
    ],
)
def test_what_is_said(text, seconds):
    zones = {"America/New_York": -5 * HOUR}.get
    assert resumes(text, NOON, 0.0, zones) == pytest.approx(NOON + seconds)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "try again later",
        "Retrying in 32 seconds",
        "resets soon",
        "limit 30000, used 29000",
        "at 5 places",
        f"usage limit reached|{int(NOON - 1)}",
        "resets at 1999-01-01T00:00:00Z",
        "retry-after: 2025-11-28",
        "room 101 until 5",
        "try again at 11:59 AM",
        "resets 11:01am (UTC)",
    ],
)
def test_what_says_nothing_or_lies_behind(text):
    assert resumes(text, NOON, 0.0) == 0.0


def test_a_clock_shows_local_time():
    assert resumes("resets 3pm", NOON, 2 * HOUR) == NOON + HOUR + 60
    assert resumes("try again at 11:00 AM", NOON, -3 * HOUR) == NOON + 2 * HOUR + 60


FRIDAY_NIGHT = NOON + 11.5 * HOUR


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("try again at Nov 29th, 2025 3:07 AM", 3.5 * HOUR + 7 * 60 + 60),
        ("resets Nov 29 at 3am (Europe/Berlin)", 2.5 * HOUR + 60),
        ("resets Saturday 1am", 1.5 * HOUR + 60),
        ("resets Sat, 1:30 AM UTC", 2 * HOUR + 60),
        ("resets Friday 11:45pm", HOUR / 4 + 60),
        ("try again at Dec 2nd, 2026 3:07 PM", FARTHEST),
        ("resets Dec 4 at 3pm (Europe/Berlin)", FARTHEST),
        ("resets Thursday 9am", FARTHEST),
        ("resets Friday 3pm", FARTHEST),
    ],
)
def test_a_day_may_be_said(text, seconds):
    zones = {"Europe/Berlin": HOUR}.get
    assert resumes(text, FRIDAY_NIGHT, 0.0, zones) == FRIDAY_NIGHT + seconds


@pytest.mark.parametrize(
    "text", ["resets Nov 28 at 3pm", "resets Friday 11pm", "again at Nov 29, 2024 3:07 AM", "resets Nov 27, 5pm"]
)
def test_a_day_may_lie_behind(text):
    assert resumes(text, FRIDAY_NIGHT, 0.0) == 0.0


def test_a_day_without_a_year_is_the_nearest_one():
    new_year = NOON + 33.5 * 24 * HOUR
    assert resumes("resets Jan 1 at 1am", new_year - 3 * HOUR, 0.0) == new_year + HOUR + 60
    assert resumes("resets Dec 31 at 11pm", new_year + HOUR, 0.0) == 0.0


def test_nobody_waits_for_days():
    assert resumes("try again in 5 days", NOON, 0.0) == NOON + FARTHEST


def test_a_zone_has_minutes_too():
    assert resumes("resets at 2025-11-28T15:30:00+02:30", NOON, 0.0) == NOON + HOUR
    assert resumes("resets at 2025-11-28T10:15:00-03:45", NOON, 0.0) == NOON + 2 * HOUR
