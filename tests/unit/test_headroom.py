"""Whether the machine has room for another session."""

import pytest

from agentctl.core.notices import Braked, Released
from agentctl.core.policy.policy import Headroom
from agentctl.core.tasks.headroom import Machine, lacking
from agentctl.fleet.pace import LOOK, Pace

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
    pace = Pace(4, 30.0, (), 1000.0, told.append, lambda: short[0])
    assert [pace.room((), 1000.0 + n) for n in range(5)] == [0] * 5
    assert [type(event) for event in told] == [Braked] and "no disk" in told[0].how and "no disk" in pace.held
    short[0] = ""
    assert pace.room((), 1004.0 + LOOK) == 4
    assert [type(event) for event in told] == [Braked, Released] and pace.held == ""
