"""Whether the machine has room for another session."""

import pytest

from agentctl.core.notices import Braked, Released
from agentctl.core.policy.policy import Headroom
from agentctl.core.tasks.ending import End
from agentctl.core.tasks.failure import Failure, Kind
from agentctl.core.tasks.headroom import Machine, lacking
from agentctl.core.tasks.task import Session, Task
from agentctl.fleet.paces import LOOK, Paces

GIB = 1 << 30


@pytest.mark.parametrize(
    ("least", "machine", "words"),
    [
        (Headroom(), Machine(0, 0, 99.0), ""),
        (Headroom(disk=GIB), Machine(GIB, None, 0.0), ""),
        (Headroom(disk=GIB), Machine(GIB - 1, GIB, 0.0), "only 1023 MiB of disk are free"),
        (Headroom(memory=GIB), Machine(GIB, GIB // 2, 0.0), "only 512 MiB of memory are left"),
        (Headroom(memory=GIB), Machine(GIB, None, 0.0), ""),
        (Headroom(load=2.0), Machine(0, 0, 2.0), ""),
        (Headroom(load=2.0), Machine(0, 0, 2.5), "2.5 processes want each processor"),
    ],
)
def test_what_is_lacking(least, machine, words):
    assert lacking(least, machine).startswith(words) and bool(lacking(least, machine)) == bool(words)


def test_nothing_starts_without_room_and_it_is_told_once():
    told, short = [], ["no disk"]
    paces = Paces(4, 30.0, (), 1000.0, told.append, lambda: short[0], {"": "claude"})
    assert [paces.room((), {""}, 1000.0 + n) for n in range(5)] == [[(frozenset({""}), 0)]] * 5
    assert [type(event) for event in told] == [Braked] and "no disk" in told[0].how and "no disk" in paces.held(1004.0)
    short[0] = ""
    assert paces.room((), {""}, 1004.0 + LOOK) == [(frozenset({""}), 4)]
    assert [type(event) for event in told] == [Braked, Released] and paces.held(1006.0) == ""


def test_a_program_that_is_refused_holds_up_no_other():
    told = []
    paces = Paces(4, 30.0, (), 1000.0, told.append, lambda: "", {"": "claude", "reviewer": "codex"})
    refused = Session(1, "ann", End.CRASHED, 1010.0, 5.0, "t", failure=Failure(Kind.KEY, "401"))
    paces.ended(Task("one", "", ""), 1005.0, refused, 1010.0, ())
    assert "claude pauses: the key is refused" in told[0].how
    roles = {"", "reviewer"}
    assert dict(paces.room((), roles, 1011.0)) == {frozenset({""}): 0, frozenset({"reviewer"}): 4}
    assert paces.trying([""]) and "the key is refused" in paces.held(1011.0)
    # Then one is tried, and the other goes on.
    assert dict(paces.room((), roles, 1100.0)) == {frozenset({""}): 1, frozenset({"reviewer"}): 4}
    assert paces.paused(1100.0).why == "the key is refused: 401"
