"""How long one waits for a remote that is away, and what is told of it."""

from types import SimpleNamespace

import pytest

from agentctl.bot import reach
from agentctl.bot.reach import Declines, Reach
from agentctl.core.notices import HubAway, HubBack
from agentctl.git.remote import Away, Declined

AWAY = Away(remote="origin", said="no route")
NO = Declined(remote="origin", ref="refs/agentctl/stations/ann", said="not for you")


class Remote:
    """A hub on a remote that can be looked at, or cannot; and a clock."""

    def __init__(self, monkeypatch):
        self.now, self.up, self.looks, self.heard = 1000.0, True, 0, []
        self.station = SimpleNamespace(took=0.0, seen=0.0)
        self.refs = self
        monkeypatch.setattr(reach, "time", SimpleNamespace(time=lambda: self.now, monotonic=lambda: self.now))

    def refresh(self, at_most):
        self.looks, self.at_most = self.looks + 1, at_most
        if not self.up:
            raise AWAY
        self.station.seen = self.now


@pytest.fixture
def hub(monkeypatch):
    return Remote(monkeypatch)


def test_what_else_fails_during_a_pause_does_not_make_it_longer(hub):
    found = Reach(hub, hub.heard.append)
    found.failed(AWAY, False)
    for _ in range(50):
        hub.now += 0.01
        found.failed(AWAY, False)
    hub.now += 0.6
    assert found.look() and hub.looks == 1
    assert [type(event) for event in hub.heard] == [HubAway, HubBack]


def test_after_a_push_without_an_answer_no_look_before_it_is_new_enough(hub):
    found, hub.station.took = Reach(hub, hub.heard.append), 30.0
    assert found.look() and hub.at_most > 60
    found.failed(AWAY, False)
    hub.now += reach.FIRST_PAUSE
    assert found.look() and hub.at_most == 0
    assert found.look() and hub.at_most > 60


def test_looks_that_fail_are_further_and_further_apart(hub):
    found, hub.up = Reach(hub, hub.heard.append), False
    for _ in range(600):
        found.look()
        hub.now += 0.5
    assert 7 <= hub.looks <= 11 and len(hub.heard) == 1
    # Once it could look, it begins anew.
    hub.up = True
    hub.now += reach.LONGEST_PAUSE
    assert found.look() and not found.told
    hub.up, hub.looks = False, 0
    found.look()
    hub.now += reach.FIRST_PAUSE
    found.look()
    assert hub.looks == 2


def test_an_older_look_does_not_say_that_the_remote_is_back(hub):
    found = Reach(hub, hub.heard.append)
    found.look()
    hub.now += 0.1
    found.failed(AWAY, False)
    hub.now += 2
    # It is new enough for a turn.
    hub.refresh = lambda at_most: None
    assert found.look() and found.told


def test_what_is_declined_beside_the_turns_is_told_once(hub):
    found = Declines(hub.heard.append)
    for error in (NO, NO, None, None, NO):
        found.hear("this station", error)
    assert [type(event) for event in hub.heard] == [HubAway, HubBack, HubAway]
    assert found.told == (NO.message,)


def test_what_is_declined_for_one_reason_is_told_once_whatever_ref_is_first(hub):
    found = Reach(hub, hub.heard.append)
    for ref in ("refs/heads/main", "refs/agentctl/state", "refs/heads/main"):
        found.failed(Declined(remote="origin", ref=ref, said="the quota is used up"), ref == "refs/heads/main")
        hub.now += reach.LONGEST_PAUSE
    assert len(hub.heard) == 1 and found.told == "the remote origin declines refs/heads/main: the quota is used up"
    found.failed(Declined(remote="origin", ref="refs/heads/main", said="main is protected"), True)
    assert len(hub.heard) == 2 and found.told.endswith("main is protected")
