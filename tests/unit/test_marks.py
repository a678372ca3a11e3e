"""What the bot wrote last, as values."""

from __future__ import annotations

import pytest

from agentctl.core.queue.marks import Marks, decode, encode

A, B, C = ("a" * 40, "b" * 40, "c" * 40)
STATE = "refs/agentctl/state"


def test_during_a_move_either_end_is_ours_and_after_it_only_the_new_one():
    marks = Marks().moving(STATE, A, B)
    assert [marks.ours(STATE, oid) for oid in (A, B, C, None)] == [True, True, False, False]
    marks = marks.settled(STATE, B)
    assert [marks.ours(STATE, oid) for oid in (A, B, C, None)] == [False, True, False, False]
    assert marks.newest(STATE) == B


def test_no_ref_is_a_value_too():
    marks = Marks().moving(STATE, None, A)
    assert marks.ours(STATE, None) and marks.ours(STATE, A) and not marks.ours(STATE, B)
    assert not marks.settled(STATE, None).ours(STATE, A)


def test_of_what_was_never_written_anything_is_right():
    assert Marks().ours(STATE, A) and Marks({"refs/heads/main": (A,)}).ours(STATE, None)


def test_encoding_keeps_everything():
    marks = Marks(adopt=C).moving(STATE, None, A).settled("refs/heads/main", B)
    assert decode(encode(marks)) == marks


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"{",
        b'{"version": 2, "refs": {}, "adopt": ""}',
        b'{"version": 1, "refs": [], "adopt": ""}',
        b'{"version": 1, "refs": {"r": []}, "adopt": ""}',
        b'{"version": 1, "refs": {"r": "x"}, "adopt": ""}',
        b'{"version": 1, "refs": {"r": ["zz"]}, "adopt": ""}',
        b'{"version": 1, "refs": {}, "adopt": 7}',
        b'{"version": 1, "refs": {"r": [["a"]]}, "adopt": ""}',
        b"\xff" * 9,
    ],
)
def test_what_it_did_not_write_is_refused(data):
    with pytest.raises(ValueError):
        decode(data)


def test_a_ref_that_moves_twice_before_either_move_is_settled():
    """The remote may have it where it was before, or where it is in the end, and a kill may come at any time."""
    marks = Marks().settled(STATE, A).moving(STATE, A, B, again=True).moving(STATE, B, C, again=True)
    assert [marks.ours(STATE, oid) for oid in (A, B, C, None)] == [True, True, True, False]
    assert marks.newest(STATE) == C
    assert marks.moving(STATE, A, B, again=True) == Marks().moving(STATE, A, B)
