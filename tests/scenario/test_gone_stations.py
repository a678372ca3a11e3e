"""The refs of stations that are gone leave the hub, and those of no other."""

import time

import pytest

from agentctl.git.objects import EMPTY_TREE
from agentctl.hub import gone_stations
from agentctl.hub.gone_stations import GONE, GoneStations
from tests.support.hub import git
from tests.support.team import Team

STATIONS = "refs/agentctl/stations/"


@pytest.fixture
def team(tmp_path):
    return Team(tmp_path)


def renewed(team, ann, station, ago):
    """Have a station renew its ref so many seconds ago."""
    ann.hub.objects.write_tree({})
    made = ann.hub.objects.write_commit(EMPTY_TREE, [], f"{station}\n", time.time() - ago)
    git(ann.path, "push", "-q", "-f", "origin", f"{made}:{STATIONS}{station}")


def left(team):
    return {name.removeprefix(STATIONS) for name in team.refs if name.startswith(STATIONS)}


def test_what_vanished_a_day_ago_goes(team, monkeypatch):
    ann = team.station("ann")
    for station, ago in (("dead", 2 * GONE), ("mute", GONE - 60), (ann.hub.place, 2 * GONE)):
        renewed(team, ann, station, ago)
    git(ann.path, "push", "-q", "origin", f"{ann.hub.objects.write_blob(b'odd')}:{STATIONS}odd")
    ann.hub.refs.refresh()
    GoneStations(ann.hub).turn()
    assert left(team) == {"dead", "mute", "odd", ann.hub.place}, "nobody has watched them long enough"
    monkeypatch.setattr(gone_stations, "LASTS", -1.0)
    GoneStations(ann.hub).turn()
    assert left(team) == {"mute", "odd", ann.hub.place}


def test_one_that_comes_back_meanwhile_stays(team, monkeypatch):
    monkeypatch.setattr(gone_stations, "LASTS", -1.0)
    ann = team.station("ann")
    renewed(team, ann, "back", 2 * GONE)
    ann.hub.refs.refresh()
    renewed(team, ann, "back", 0)
    GoneStations(ann.hub).turn()
    assert left(team) == {"back"}


def test_a_hub_of_this_repository_has_no_stations(repo):
    GoneStations(repo.hub).turn()
