"""Nobody takes a healthy station or its bot for dead: not who was cut off, nor one whose clock differs."""

import contextlib
import os
import time
from types import SimpleNamespace

import pytest

from agentctl.bot import reach
from agentctl.bot.bot import Bot
from agentctl.bot.lock import lock
from agentctl.core import notices
from agentctl.engine import owner
from agentctl.git.remote import Away, Declined
from agentctl.git.repository import find
from agentctl.harness.seat import Seat
from agentctl.hub import lease, presence
from tests.scenario.test_stations import claimed, ended, make, put_lease
from tests.support.hub import eventually
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
    """The clocks of this machine, which a test moves on."""

    def __init__(self, monkeypatch):
        self.ahead, day, since = 0.0, time.time, time.monotonic
        monkeypatch.setattr(time, "time", lambda: day() + self.ahead)
        monkeypatch.setattr(time, "monotonic", lambda: since() + self.ahead)

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
    clock.watch(ann, lambda: presence.others(ann.hub), 125)
    with away(team):
        with pytest.raises(Away):
            ann.hub.refs.refresh()
        assert not ended(ann)
    # It has not looked since, and bob's station was there all the time.
    there.beat()
    assert not ended(ann)
    ann.hub.refs.refresh()
    assert not ended(ann) and CLAIM in team.refs


# machines of one name


def of(station, **others):
    """The identity of a process of this machine, or of one of the same name."""
    return {**owner.identity(home=station.hub.home), **others}


def test_another_machine_of_the_same_name_is_not_this_one_before_its_boot(ann, bob):
    assert not owner.alive(of(ann, boot="before"), ann.hub.home)
    for other in (of(bob, boot="another"), {**owner.identity(), "boot": "another"}):
        assert owner.alive(other, ann.hub.home) and owner.elsewhere(other, ann.hub.home)
    # A hub of this repository hears of no other machine.
    assert not owner.alive({**owner.identity(), "boot": "before"})


def test_the_bot_of_another_machine_of_the_same_name_keeps_its_lease(ann, bob):
    put_lease(ann, lease.Lease(time.time() + 50, of(bob, boot="another")))
    with pytest.raises(lease.Elsewhere), lock(ann.hub):
        pass
    put_lease(ann, lease.Lease(time.time() + 50, of(ann, boot="before")))
    with lock(ann.hub):
        pass


def test_a_session_of_another_machine_of_the_same_name_keeps_its_claim(team, ann, bob):
    claimed(ann, "count", bob.hub.place, who=of(bob, boot="another"))
    assert not ended(ann) and CLAIM in team.refs
    claimed(ann, "more", ann.hub.place, who=of(ann, boot="before"))
    assert ended(ann) == ["more"]


def test_stations_of_one_image_have_names_of_their_own(ann):
    before = ann.hub.home, ann.hub.place
    assert (find(str(ann.path)).home, find(str(ann.path)).place) == before
    # The same path on a machine of the same name.
    (ann.path / ".git/agentctl/station/id").unlink()
    other = find(str(ann.path))
    assert other.home != before[0] and other.place != before[1]


# what a station says of itself


def seat(station, make=None):
    """A seat, with what it tells in `heard`."""
    heard = []
    made = Seat(station.hub, make, heard.append, wanted=make is not None)
    made.heard = heard
    return made


def said(seat):
    return [notices.told(event) for event in seat.heard]


def objects(station):
    return sum(len(files) for _, _, files in os.walk(station.path / ".git/objects"))


def test_a_station_whose_hub_is_away_does_not_try_all_the_time(team, ann, monkeypatch):
    monkeypatch.setattr(reach, "FIRST_PAUSE", 0.05)
    here = seat(ann)
    here.take_turn()
    pushes, push = [], type(ann.hub.station.remote).push
    monkeypatch.setattr(
        type(ann.hub.station.remote), "push", lambda self, moves, limit: pushes.append(moves) or push(self, moves, limit)
    )
    with away(team):
        here.presence._next = 0.0
        before = objects(ann)
        for _ in range(100):
            here.take_turn()
        assert len(pushes) == 1 and objects(ann) <= before + 1
        assert "cannot be reached" in said(here)[0] and len(said(here)) == 1
    eventually(lambda: here.take_turn() or not here.told[0])
    assert len(said(here)) == 2
    here.presence._next = 0.0
    here.take_turn()
    assert len(pushes) == 2
    here.leave()


def test_a_hub_that_declines_a_stations_own_ref_has_all_else_done(team, ann):
    team.hook("update", 'case $1 in refs/agentctl/stations/*) echo "no such refs here" >&2; exit 1;; esac\n')
    ann.submit("fix", {"a": "1\n"})
    here = seat(ann, lambda held: Bot(ann.hub, held, "main"))

    def landed():
        here.presence._next = 0.0
        here.take_turn()
        return ann.stage("fix") == "landed"

    eventually(landed)
    (once,) = said(here)
    assert "no such refs here" in once and "no such refs here" in " ".join(here.told)
    team.hook("update", "")
    landed()
    assert len(said(here)) == 2 and not any(here.told)
    here.leave()


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


def test_a_fleet_does_not_wait_to_see_whether_a_lease_is_over(ann, bob, clock, monkeypatch):
    monkeypatch.setattr(time, "sleep", None)
    put_lease(ann, lease.Lease(1.0, {"host": "elsewhere", "pid": 7}))
    bob.hub.refs.refresh()
    here = seat(bob, lambda held: Bot(bob.hub, held, "main"))

    def turn():
        here._next = 0.0
        here.take_turn()

    assert not here.bot and "which only time can show" in said(here)[0]
    clock.watch(bob, turn, 50)
    assert not here.bot and len(said(here)) == 1
    clock.watch(bob, turn, 25)
    assert here.bot
    here.leave()


def test_a_fleet_whose_bot_cannot_begin_goes_on(team, ann):
    tries = []

    def begin(held):
        tries.append(held)
        if len(tries) == 1:
            put_lease(ann, lease.Lease(time.time() + 50, {"host": "elsewhere", "pid": 7}))
            raise lease.Elsewhere(name="another")
        if len(tries) == 2:
            raise Away(remote="origin", said="no route")
        if len(tries) == 3:
            raise Declined(remote="origin", ref="refs/agentctl/state", said="not yours")
        return Bot(ann.hub, held, "main")

    here = seat(ann, begin)
    assert not here.bot
    ref = ann.hub.refs.get("refs/agentctl/bot")
    give = ann.hub.refs.transaction("the other bot ends")
    give.delete("refs/agentctl/bot", ref)
    give.commit()
    for failed in ("no route", "not yours"):
        here._next = here.reach._until = 0.0
        here.take_turn()
        assert failed in said(here)[-1] and not here.bot
        assert "refs/agentctl/bot" not in team.refs
    eventually(lambda: setattr(here, "_next", 0.0) or here.take_turn() or here.bot)
    here.leave()
