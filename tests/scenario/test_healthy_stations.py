"""Nobody takes a healthy station or its bot for dead: not who was cut off, nor one whose clock differs."""

import contextlib
import os
import time
from types import SimpleNamespace

import pytest

from agentctl.bot.lock import lock
from agentctl.git.remote import Away
from agentctl.hub import lease, presence
from tests.scenario.test_stations import claimed, ended, make, put_lease
from tests.support.team import Team

CLAIM = "refs/agentctl/claims/count"


@pytest.fixture
def team(tmp_path):
    return Team(tmp_path)


@pytest.fixture
def ann(team):
    return team.station("ann")


@pytest.fixture
def bob(team):
    return team.station("bob")


@contextlib.contextmanager
def away(team):
    """The hub is out of reach for the context."""
    os.rename(team.path, team.folder / "gone")
    yield
    os.rename(team.folder / "gone", team.path)


class Clock:
    """The time of day, which a test moves on."""

    def __init__(self, monkeypatch):
        self.ahead, real = 0.0, time.time
        monkeypatch.setattr(time, "time", lambda: real() + self.ahead)

    def watch(self, station, act, seconds):
        """Look each 25 seconds for so long, and do something after each look."""
        for _ in range(0, seconds, 25):
            self.ahead += 25
            station.hub.refs.refresh()
            act()


@pytest.fixture
def clock(monkeypatch):
    return Clock(monkeypatch)


# claims


def test_a_station_that_was_watched_all_the_time_has_vanished(team, ann, clock):
    claimed(ann, "count", "far", 4000)
    make(ann, "refs/agentctl/stations/far")
    assert not ended(ann)
    clock.watch(ann, lambda: presence.others(ann.hub), 75)
    assert not ended(ann) and presence.others(ann.hub) == ["far"]
    clock.watch(ann, lambda: None, 25)
    assert ended(ann) == ["count"] and CLAIM not in team.refs


def test_whoever_could_not_look_takes_no_claim(team, ann, clock):
    claimed(ann, "count", "far", 4000)
    make(ann, "refs/agentctl/stations/far")
    clock.watch(ann, lambda: ended(ann), 75)
    clock.ahead += 600
    ann.hub.refs.refresh()
    assert not ended(ann)
    clock.watch(ann, lambda: ended(ann), 75)
    assert not ended(ann) and CLAIM in team.refs


def test_whoever_was_cut_off_looks_before_it_takes_a_claim(team, ann, bob, clock):
    bob.hub.configure("agentctl.station", "bob")
    there = presence.Presence(bob.hub)
    there.beat()
    claimed(ann, "count", "bob", 4000)
    clock.watch(ann, lambda: presence.others(ann.hub), 100)
    with away(team):
        with pytest.raises(Away):
            ann.hub.refs.refresh()
        assert not ended(ann)
    # It has not looked since, and bob's station was there all the time.
    there.beat()
    assert not ended(ann)
    ann.hub.refs.refresh()
    assert not ended(ann) and CLAIM in team.refs


# the bot


def test_a_bot_whose_clock_is_behind_is_at_work(ann, bob, monkeypatch):
    monkeypatch.setattr(lease, "WATCH", 0.1)
    put_lease(ann, lease.Lease(time.time() - 1000, {"host": "elsewhere", "pid": 7}))

    def renewed(seconds):
        put_lease(ann, lease.Lease(time.time() - 999, {"host": "elsewhere", "pid": 7}))

    monkeypatch.setattr(lease, "time", SimpleNamespace(time=time.time, sleep=renewed))
    with pytest.raises(lease.Elsewhere), lock(bob.hub):
        pass
    assert lease.standing(bob.hub)
