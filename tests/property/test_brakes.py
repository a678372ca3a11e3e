"""Whatever fails that is no fault of the tasks': none is given up for it, and little is spent."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentctl.core.tasks.brakes import pause
from agentctl.core.tasks.dispatch import STUBBORN
from agentctl.core.tasks.ending import End
from agentctl.core.tasks.failure import Failure, Kind
from tests.support.outage import Outage, World

FLEET = st.sampled_from([Kind.KEY, Kind.MONEY, Kind.RATE, Kind.OVERLOAD, Kind.NETWORK, Kind.SETUP])


@st.composite
def outages(draw):
    now, found = 0.0, []
    for _ in range(draw(st.integers(1, 3))):
        now += draw(st.sampled_from([0.0, 10.0, 300.0, 2000.0]))
        end = now + draw(st.sampled_from([5.0, 60.0, 900.0, 5000.0]))
        found.append(Outage(now, end, draw(FLEET)))
        now = end
    return found


@settings(max_examples=40, deadline=None)
@given(outages(), st.integers(1, 12), st.integers(1, 6), st.sampled_from([5.0, 60.0, 400.0]), st.floats(0, 1))
def test_no_task_is_given_up_for_what_is_not_its_fault(outages, tasks, agents, work, jitter):
    world = World(tasks, agents, outages, work=work, jitter=jitter, attempts=1).run()
    assert len(world.landed) == tasks and not world.parked
    assert all(task.attempts <= 1 for task in world.known.values())


def test_the_task_that_is_left_when_a_provider_fails_again_is_not_given_up():
    """Two of three were worked on between two outages of the same kind; the third failed before, and all through the second."""
    twice = [Outage(0.0, 5000.0, Kind.KEY), Outage(5300.0, 10300.0, Kind.KEY), Outage(10300.0, 10305.0, Kind.KEY)]
    world = World(3, 1, twice, work=60.0, jitter=0.25, attempts=1).run()
    assert len(world.landed) == 3 and not world.parked


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 12), st.integers(1, 6), st.sampled_from([60.0, 600.0, 3600.0]), FLEET, st.floats(0, 1))
def test_an_outage_costs_a_session_an_agent_and_then_its_tries(tasks, agents, long, kind, jitter):
    world = World(tasks, agents, [Outage(0.0, long, kind)], jitter=jitter).run()
    tries = 0
    while sum(pause(kind, n, 30.0) for n in range(1, tries + 2)) < long:
        tries += 1
    assert world.wasted <= min(tasks, agents) + tries


@settings(max_examples=40, deadline=None)
@given(st.integers(2, 8), st.integers(1, 4), st.sampled_from([*Kind]))
def test_one_bad_task_ends_and_the_others_land(tasks, agents, kind):
    # It fails for ever, and the words of its program look as if that were no fault of its own.
    world = World(tasks, agents, own=lambda task, nth: Failure(kind, "odd") if task == "t0" else None).run(5e3)
    assert world.landed == {f"t{n}" for n in range(1, tasks)}
    if world.sessions[-1][1] == "t0" and "t0" not in world.parked:
        return
    assert set(world.parked) == {"t0"}
    assert len(world.known["t0"].sessions) <= STUBBORN + tasks


@pytest.mark.parametrize("agents, work", [(2, 600.0), (2, 1200.0), (4, 1800.0)])
def test_one_bad_task_hardly_slows_a_fleet_whose_sessions_last_longer_than_its_pauses(agents, work):
    world = World(100, agents, work=work, own=lambda task, nth: Failure(Kind.OVERLOAD, "odd") if task == "t0" else None)
    end = 8 * work
    world.run(end)
    assert len(world.landed) >= 0.8 * agents * end / work - agents
    world.run(16 * work)
    assert list(world.parked) == ["t0"] and "while other tasks were worked on" in world.parked["t0"]


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 6), st.integers(1, 4), st.lists(st.sampled_from([End.CRASHED, End.EMPTY]), min_size=3, max_size=3))
def test_what_is_their_fault_is_counted_as_ever(tasks, agents, ends):
    world = World(tasks, agents, own=lambda task, nth: ends[nth]).run()
    assert len(world.parked) == tasks
    assert all(task.attempts == 3 for task in world.known.values())
