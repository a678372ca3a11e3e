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

KEY, LIMIT = "(?i)api.key|authentication", "(?i)429|rate.?limit|resource has been exhausted"
SAID = {
    "401": ([Kind.KEY], KEY),
    "429, retry after 3 s": ([Kind.RATE], LIMIT),
    "429, retry after 120 s": ([Kind.RATE], LIMIT),
    "500 without end": ([Kind.OVERLOAD], "(?i)server|500|high demand|internal error"),
    # The library that two programs use calls it an error of the server.
    "nobody listens": ([Kind.NETWORK, Kind.OVERLOAD], "(?i)connect|network|api_retry unknown"),
    "stream hangs": ([Kind.LIMIT], ""),
    "half a file, then 401": ([Kind.KEY], KEY),
    "half a commit, then 401": ([Kind.KEY], KEY),
}
"""What kind of failure each fault is, and what the program says of it."""
MUTE = ([Kind.LIMIT], "")
"""The same for a fault of which the program says nothing, or for silence itself."""


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
    kinds, words = MUTE if fault in program.mute else SAID[fault]
    assert (seen.exit, seen.landed, seen.wrong) == (0, 3, 0)
    assert (seen.charged, seen.of("parked"), seen.of("trouble")) == (0, [], [])
    assert (seen.strange, seen.left_in_pause, seen.left) == ([], [], [])
    for session in seen.failed:
        assert session.end in (End.CRASHED, End.TIMEOUT, End.STUCK)
        assert session.failure.kind in kinds and re.search(words, session.failure.said)
    if fault == "429, retry after 3 s":
        return  # A program may wait by itself.
    first = seen.pauses[0].facts
    assert first["failure"] in (kinds if kinds != [Kind.LIMIT] else [Kind.SILENT])
    assert re.search(words, first["said"]) and first["said"] in first["text"]
    assert first["until"] > first["at"] and seen.of("released")
