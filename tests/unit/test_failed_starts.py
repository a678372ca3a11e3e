"""What follows when agentctl itself cannot run sessions."""

import pytest

from agentctl.core.tasks.failed_starts import FailedStarts, Step


@pytest.mark.parametrize(
    "before, failed, others, last",
    [
        ("", "aa", False, Step.GO_ON),
        # One task that fails by itself is given up, and others are not.
        ("", "aaa", False, Step.PARK),
        ("", "aba", False, Step.GO_ON),
        ("", "abab", True, Step.GO_ON),
        # What the machine may have caused ends the fleet, unless something runs there.
        ("", "ABC", False, Step.END),
        ("", "AAA", False, Step.END),
        ("", "ABC", True, Step.GO_ON),
        ("r", "ABC", False, Step.END),
        # If others ran before, it is the task.
        ("r", "AAA", False, Step.PARK),
        ("r", "ABAA", False, Step.END),
    ],
)
def test_what_follows(before, failed, others, last):
    """Of `failed` each letter is the task of a session that failed, a capital if the machine may be the cause."""
    found, step = FailedStarts(), Step.GO_ON
    for _ in before:
        found = found.one_ran()
    for task in failed:
        found, step = found.one_failed(task, task.isupper(), others)
    assert step is last


def test_nothing_more_starts_until_the_end_of_one_that_runs_tells_more():
    found = FailedStarts()
    for task in "ABC":
        assert not found.too_many
        found, _ = found.one_failed(task, True, True)
    assert found.too_many and not found.one_ran().too_many
