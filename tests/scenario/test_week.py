"""The simulated week of a fleet, in short: python -m bench.week has the long form."""

import pytest

from bench.week import fleet
from bench.week.fleet import Simulation
from bench.week.world import World


def played(agents=12, days=0.5, seed=1):
    return Simulation(World(seed, days), agents, turn=30.0).go()


def test_half_a_day_passes_without_a_false_alarm_and_the_same_each_time():
    tally = played()
    assert tally.false_alarms == tally.wrongly_charged == tally.wrongly_parked == tally.why == []
    assert tally.landed > 100 and tally.pauses["the provider"] >= 1
    again = played()
    assert (again.sessions, again.landed, again.pauses) == (tally.sessions, tally.landed, tally.pauses)


@pytest.fixture
def impatient(monkeypatch):
    monkeypatch.setattr(fleet, "SILENCE", 120.0)
    fleet.judged.cache_clear()
    yield
    fleet.judged.cache_clear()


def test_the_simulation_sees_a_false_alarm(impatient):
    # A control: a watch that is too impatient ends those that only think or test for long.
    assert played(days=0.2).false_alarms


@pytest.mark.slow
def test_a_week_of_a_hundred_agents():
    tally = played(agents=100, days=7.0)
    assert tally.false_alarms == tally.wrongly_charged == []
