"""Whether another bot's lease holds, by the clock here and by what was seen of it."""

import pytest

from agentctl.git.watch import Watch
from agentctl.hub.lease import LASTS, holds


def seen(still, moved=False):
    return Watch("a", 0.0, still, moved)


@pytest.mark.parametrize(
    ("left", "watch", "answer"),
    [
        (LASTS / 2, seen(0), True),
        (LASTS / 2, seen(LASTS + 1), True),
        # It is over, and one does not know by whose clock.
        (-100, seen(0), None),
        (-100, seen(LASTS), None),
        (-100, seen(LASTS + 1), False),
        # A clock that is behind, or ahead: the lease is renewed all the same.
        (-100, seen(0, moved=True), True),
        (-100, seen(LASTS, moved=True), True),
        (9e9, seen(0, moved=True), True),
        # It was renewed, and is no more.
        (-100, seen(LASTS + 1, moved=True), False),
        (9e9, seen(0), None),
        (9e9, seen(LASTS + 1), False),
    ],
)
def test_a_lease_holds(left, watch, answer):
    assert holds(left, watch) is answer
