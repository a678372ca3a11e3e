"""The times at which a program's provider says it can go on, against the calendar."""

import calendar
import time

from hypothesis import given
from hypothesis import strategies as st

from agentctl.core.tasks.retry_time import resumes


@given(st.integers(86400 * 365, 4_000_000_000))
def test_every_date_is_read_as_the_calendar_does(when):
    text = time.strftime("resets at %Y-%m-%dT%H:%M:%SZ", time.gmtime(when))
    assert resumes(text, when - 60.0, 0.0) == calendar.timegm(time.gmtime(when))
