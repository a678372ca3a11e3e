"""How many agents work, from who said what, and when."""

import pytest

from agentctl.core.tasks.scale import MOST, Scale, agents, decode, encode


@pytest.mark.parametrize(
    ("said", "asked", "count"),
    [
        (None, None, 4),
        (None, 2, 2),
        (Scale(8, 50.0), None, 8),
        (Scale(8, 50.0), 2, 2),
        (Scale(8, 150.0), 2, 8),
        (Scale(None, 50.0), None, 4),
        (Scale(None, 50.0), 2, 2),
        (Scale(None, 150.0), 2, 4),
    ],
)
def test_who_said_a_number_last_is_heard_and_else_the_policy(said, asked, count):
    assert agents(said, asked, 100.0, 4) == count


def test_what_is_written_is_read_again_and_nothing_else():
    for scale in (Scale(1, 1.5), Scale(MOST, 0.0), Scale(None, 9.0)):
        assert decode(encode(scale)) == scale
    for odd in (b"", b"8", b"[]", b'{"agents": 0, "at": 1.0}', b'{"agents": 10001, "at": 1.0}', b'{"agents": "8", "at": 1.0}'):
        with pytest.raises(ValueError):
            decode(odd)
