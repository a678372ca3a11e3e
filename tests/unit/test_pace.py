"""What is told of a fleet that holds back, and how its pauses add up."""

import pytest

from agentctl.core.tasks.brakes import CRASHES, CRASHES_WITHIN
from agentctl.core.tasks.ending import End
from agentctl.core.tasks.failure import Failure, Kind
from agentctl.core.tasks.task import Session, Task
from agentctl.errors import Infrastructure
from agentctl.fleet.pace import Pace


def session(ended, kind=None, end=End.CRASHED, agent="ann", seconds=1.0):
    failure = Failure(kind, "401 its words") if kind else None
    return Session(1, agent, end, ended, seconds, "tip", failure=failure, note="exit status 1: odd")


class Told:
    def __init__(self, *tasks, size=2):
        self.events = []
        self.pace = Pace(size, 30.0, tasks, 1000.0, self.events.append)

    def ended(self, task, session):
        self.pace.ended(Task(task, "", ""), session.ended - session.seconds, session, session.ended)

    @property
    def kinds(self):
        return [event.__struct_config__.tag for event in self.events]


def test_a_pause_is_told_once_and_so_is_its_end():
    told = Told()
    told.ended("t", session(1000.0, Kind.KEY))
    told.ended("u", session(1001.0, Kind.KEY, seconds=5.0))
    assert told.pace.room([], 1002.0) == 0 and told.pace.trying
    assert told.kinds == ["braked"]
    assert told.events[0].how.startswith("the fleet pauses: the key is refused; the next try is at ")
    assert told.events[0].how.endswith("; renew the key that the agents' program uses, or log it in again: 401 its words")
    told.ended("v", session(1041.0, Kind.KEY))
    assert told.events[1].how.startswith("the try failed: ")
    told.ended("w", session(1300.0, end=End.SUBMITTED))
    assert told.pace.room([], 1300.0) == 2 and not told.pace.trying
    assert told.kinds == ["braked", "braked", "released"]
    assert str(told.pace.paused(5000.0)) == "paused 5 min: the key is refused: 401 its words"


def test_a_try_that_fails_for_another_reason_tells_its_own_words():
    told = Told()
    told.ended("t", session(1000.0, Kind.RATE))
    told.ended("u", session(1040.0))
    assert told.events[1].how.startswith(
        "the try crashed, why is not known: exit status 1: odd; before that, rate limited; the next"
    )
    assert told.events[1].how.endswith(": 401 its words") and told.pace.held(1041.0) == told.events[1].how
    told.ended("v", session(1140.0, Kind.KEY))
    assert told.events[2].how.startswith("the try failed: the key is refused; ")


def test_a_pause_for_several_reasons_tells_how_long_for_each():
    told = Told()
    told.ended("t", session(1000.0, Kind.KEY))
    told.ended("u", session(1240.0, Kind.RATE))
    told.ended("v", session(1330.0, end=End.SUBMITTED, seconds=60.0))
    told.pace.room([], 1330.0)
    why = "the key is refused for 4 min, rate limited for 2 min; the last time: rate limited: 401 its words"
    assert told.pace.paused(2000.0).why == why


def test_what_holds_a_fleet_is_told_as_it_is_now():
    told = Told(size=9)
    told.ended("t", session(1000.0, Kind.KEY))
    assert told.pace.held(1001.0).startswith("the key is refused; the next try is at ")
    waits = "the key is refused; one try at a time until one does not fail; renew the key"
    assert told.pace.room([], 1050.0) == 1 and told.pace.held(1050.0).startswith(waits)
    told.ended("u", session(1100.0, end=End.SUBMITTED, seconds=20.0))
    assert told.pace.room([], 1100.0) == 4
    more = "the key is refused; a try did not fail, so it goes on with more agents bit by bit: 401 its words"
    assert told.pace.held(1100.0) == more
    told.ended("v", session(1200.0, end=End.SUBMITTED, seconds=20.0))
    told.ended("w", session(1200.0, end=End.SUBMITTED, seconds=20.0))
    assert told.pace.room([], 1200.0) == 9 and told.pace.held(1200.0) == ""


def test_pauses_add_up_the_present_one_included():
    told = Told()
    for begin in (1000.0, 2000.0):
        told.ended("t", session(begin, Kind.RATE))
        told.ended("u", session(begin + 60.0, end=End.SUBMITTED))
        told.pace.room([], begin + 60.0)
    told.ended("t", session(3000.0, Kind.RATE))
    paused = told.pace.paused(3030.0)
    assert (paused.seconds, paused.times) == (150.0, 3)


def later(ended, after):
    """A session that began long ago, and whose provider names a time."""
    found = session(ended, Kind.RATE, seconds=500.0)
    return Session(1, "ann", found.end, ended, 500.0, "tip", failure=Failure(Kind.RATE, "429 its words", after), note=found.note)


def test_a_later_time_of_the_next_try_is_told_but_not_each_second_of_it():
    told = Told()
    told.ended("t", session(1000.0, Kind.RATE))
    told.ended("u", later(1001.0, 1040.0))
    assert told.kinds == ["braked"] and told.pace.room([], 1039.0) == 0
    told.ended("v", later(1002.0, 9000.0))
    assert told.kinds == ["braked", "braked"] and told.events[1].how.startswith("it is later: ")
    assert told.events[1].until == 9000.0


def test_a_fleet_that_went_on_and_is_to_wait_after_all_says_so_and_does():
    told = Told(size=9)
    told.ended("t", session(1000.0, Kind.RATE))
    told.ended("u", session(1100.0, end=End.SUBMITTED, seconds=50.0))
    assert told.pace.room([], 1100.0) == 4 and told.kinds == ["braked", "released"]
    told.ended("v", later(1101.0, 9000.0))
    assert told.kinds[2:] == ["braked"] and told.events[2].how.startswith("the fleet pauses: ")
    assert told.pace.room([], 1102.0) == 0 and told.pace.trying
    assert told.pace.room([], 9000.0) == 4 and told.kinds[3:] == ["released"]


def test_an_agent_that_crashes_and_crashes_is_told_once():
    told = Told()
    for n in range(CRASHES):
        told.ended(f"t{n}", session(1000.0 + 100 * n, seconds=50.0))
    assert told.pace.able(["ann", "bob"], 1500.0) == ("bob",)
    assert told.pace.able(["ann", "bob"], 1501.0) == ("bob",)
    assert told.kinds == ["braked"] and "ann gets no work until" in told.events[0].how
    assert told.pace.able(["ann", "bob"], 1000.0 + CRASHES_WITHIN) == ("ann", "bob")


def test_it_begins_with_a_try_where_the_last_sessions_failed():
    failed = Task("t", "", "", sessions=(session(900.0, Kind.KEY),))
    told = Told(failed)
    assert told.events[0].how == "one agent begins, as a try: the last sessions failed: the key is refused: 401 its words"
    assert told.pace.room([], 1000.0) == 1
    assert Told(Task("t", "", "", sessions=(session(900.0, Kind.KEY), session(950.0, end=End.SUBMITTED)))).events == []


def test_a_program_that_cannot_be_run_is_an_error():
    told = Told()
    for n in range(3):
        told.ended(f"t{n}", session(1000.0 + 1000 * n, Kind.PROGRAM))
    with pytest.raises(Infrastructure, match="cannot be run: 401 its words"):
        told.pace.room([], 3000.0)


def test_what_ended_in_the_future_holds_nobody():
    for ahead in (1060.0, 1000.0 + 10 * 86400):
        crashed = [session(ahead, agent="ann") for _ in range(CRASHES)]
        told = Told(Task("t", "", "", sessions=(*crashed, session(ahead, Kind.RATE))))
        assert told.pace.room([], 1000.0) == 1
        # The try began after the pause did, so it is one, and its good end ends the pause.
        told.pace.ended(Task("u", "", ""), 1000.0, session(1030.0, end=End.SUBMITTED), 1030.0)
        assert told.pace.room([], 1030.0) == 2
    assert told.pace.able(["ann"], 1000.0) == ("ann",)
