"""Nine real agent programs, run by their adapters as shipped, while their provider is well and while it is not.

`.ci/agents` installs the programs and runs this; docs/AGENTS.md has what was seen.
"""

import os
import re

import pytest

from agentctl.core.tasks.ending import End
from agentctl.core.tasks.failure import Kind
from tests.support.agent_cells import FAULTS, Setting, play
from tests.support.agent_programs import PROGRAMS, WHERE

pytestmark = pytest.mark.agents

ALL = os.environ.get(WHERE, "")
"""Read before tests are sealed off."""

SAID = {
    "401": (Kind.KEY, "(?i)api.key|authentication"),
    "429, retry after 3 s": (Kind.RATE, "(?i)429|rate.?limit"),
    "429, retry after 120 s": (Kind.RATE, "(?i)429|rate.?limit"),
    "500 without end": (Kind.OVERLOAD, "(?i)server|500|high demand"),
    "nobody listens": (Kind.NETWORK, "(?i)connect|network"),
    "stream hangs": (Kind.LIMIT, ""),
    "half a file, then 401": (Kind.KEY, "(?i)api.key|authentication"),
}
"""What kind of failure each fault is, and what the program says of it."""


@pytest.fixture(params=PROGRAMS)
def program(request):
    found = PROGRAMS[request.param]
    if not ALL:
        pytest.skip(f"{WHERE} names no folder of agent programs; .ci/agents installs them")
    if not found.folder(ALL):
        pytest.skip(f"{request.param} is not below {ALL}")
    return found


def test_three_tasks_land_and_one_of_them_at_the_second_attempt(program):
    seen = play(program, ALL, FAULTS["none"], Setting(wrong=(2,)))
    assert (seen.exit, seen.landed, seen.wrong) == (0, 3, 1)
    assert sorted(seen.subjects) == sorted(
        [f"{name}: multiply by {factor}" for name, factor in (("a", 2), ("b", 3), ("c", 4))]
        if program.tools
        else ["feat: change what it returns"] * 3
    )
    assert seen.charged == 0
    assert (seen.strange, seen.left) == ([], [])


@pytest.mark.parametrize("fault", SAID)
def test_a_fault_of_the_provider_costs_nothing_but_time(program, fault):
    seen = play(program, ALL, FAULTS[fault], Setting())
    kind, words = SAID[fault]
    assert (seen.exit, seen.landed, seen.wrong) == (0, 3, 0)
    assert (seen.charged, seen.of("parked")) == (0, [])
    assert (seen.strange, seen.left_in_pause, seen.left) == ([], [], [])
    assert {session.failure.kind for session in seen.failed} <= {kind}
    assert all(re.search(words, session.failure.said) and session.failure.said in session.note for session in seen.failed)
    if fault != "429, retry after 3 s":
        first = seen.pauses[0].facts
        assert first["until"] > first["at"]
        assert first["failure"] == (Kind.SILENT if kind == Kind.LIMIT else kind)
        assert re.search(words, first["said"]) and first["said"] in first["text"]
        assert len(seen.of("released")) == 1
        assert all(session.end in (End.CRASHED, End.TIMEOUT, End.STUCK) for session in seen.failed)
