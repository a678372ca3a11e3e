"""When a fleet holds back, when it tries again, and how it gets going."""

import pytest

from agentctl.core.queue.spending import Spent
from agentctl.core.tasks import brakes
from agentctl.core.tasks.brakes import (
    CRASHES,
    CRASHES_WITHIN,
    Brakes,
    EndedSession,
    Row,
    RunningSession,
    inherited,
    pause,
    released,
    resting,
    room,
)
from agentctl.core.tasks.ending import End
from agentctl.core.tasks.failure import Failure, Kind
from agentctl.core.tasks.task import Session
from agentctl.core.text.json_form import replace
from tests.support.outage import Outage, World

BASE = 30.0


def outcome(task="t", ended=0.0, kind=None, end=End.CRASHED, seconds=2.0, agent="ann", after=0.0):
    failure = Failure(kind, "its words", after) if kind else None
    return EndedSession(task, ended - seconds, Session(1, agent, end, ended, seconds, "tip", failure=failure, note="a note"))


def state(*outcomes, jitter=0.0):
    found, last = Brakes(), {}
    for one in outcomes:
        found = brakes.after(found, one, last.get(one.task), BASE, jitter)
        last[one.task] = brakes.continued(last.get(one.task), one.session)
    return found


def may_start(found, now, running=(), size=8, answered=None):
    running = [RunningSession(start, answered) for start in running]
    return room(released(found, running, size, BASE, now), running, size, BASE, now)


def test_nothing_holds_a_fleet_that_works():
    assert may_start(state(outcome(end=End.SUBMITTED), outcome(end=End.EMPTY)), 0.0) == 8


@pytest.mark.parametrize("kind", [Kind.KEY, Kind.MONEY, Kind.RATE, Kind.OVERLOAD, Kind.NETWORK, Kind.PROGRAM, Kind.SETUP])
def test_one_failure_of_the_fleets_stops_it_and_then_one_session_is_a_try(kind):
    found = state(outcome(kind=kind))
    assert (may_start(found, 0.0), may_start(found, BASE - 1)) == (0, 0)
    assert may_start(found, BASE) == 1
    assert may_start(found, BASE + 1, [BASE]) == 0, "the try runs"


@pytest.mark.parametrize("kind", [Kind.CONTEXT, Kind.LIMIT, None])
def test_what_one_task_ran_into_stops_nobody_else(kind):
    assert may_start(state(outcome(kind=kind)), 0.0) == 8


def test_a_fleet_gets_going_bit_by_bit():
    found = state(outcome(kind=Kind.RATE))
    for passed, allowed in ((1, 4), (2, 8)):
        now = BASE + 100 * passed
        found = brakes.after(found, outcome("u", now, end=End.SUBMITTED), None, BASE, 0.0)
        assert may_start(found, now) == allowed
    assert released(found, (), 8, BASE, now).failure is None


def test_a_try_that_has_outlived_what_failed_counts_as_passed():
    found = state(outcome(kind=Kind.KEY, seconds=40.0))
    assert may_start(found, BASE + 119, [BASE]) == 0
    assert may_start(found, BASE + 120, [BASE]) == 3
    assert may_start(found, BASE + 300, [BASE, BASE + 120]) == 8


def test_a_session_that_had_worked_for_long_does_not_tell_how_long_a_try_takes_to_fail():
    first = outcome(kind=Kind.KEY, seconds=1200.0)
    found = state(replace(first, session=replace(first.session, spent=Spent(turns=9))))
    assert may_start(found, BASE + 2 * BASE, [BASE]) == 3
    # A try that took as long tells it.
    again = brakes.after(found, outcome("u", 1300.0, Kind.KEY, seconds=200.0), None, BASE, 0.0)
    assert may_start(again, again.until + 299, [again.until]) == 0
    assert may_start(again, again.until + 300, [again.until]) == 3


def test_a_first_session_that_nobody_answered_tells_how_long_a_try_takes_to_fail():
    found = state(outcome(kind=Kind.OVERLOAD, seconds=180.0))
    assert may_start(found, BASE + 299, [BASE]) == 0
    assert may_start(found, BASE + 300, [BASE]) == 3
    assert may_start(found, BASE + 2 * BASE, [BASE], answered=True) == 3, "it has come further"
    limited = outcome("u", 300.0, kind=Kind.RATE, seconds=90.0)
    found = brakes.after(found, replace(limited, session=replace(limited.session, spent=Spent(turns=3))), None, BASE, 0.0)
    assert may_start(found, found.until + 269, [found.until], answered=True) == 0, "so had this one"
    assert may_start(found, found.until + 270, [found.until], answered=True) == 3


def test_a_running_try_whose_requests_are_not_answered_proves_nothing():
    found = state(outcome(kind=Kind.OVERLOAD))
    assert may_start(found, BASE + 1000, [BASE], answered=False) == 0
    assert may_start(found, BASE + 2 * BASE, [BASE], answered=True) == 3
    assert may_start(found, BASE + 2 * BASE - 1, [BASE], answered=True) == 0, "a limit may only come after some answers"


def test_pauses_grow_and_more_so_where_only_a_person_can_help():
    assert [pause(Kind.RATE, n, BASE) for n in range(1, 7)] == [30, 60, 120, 240, 300, 300]
    assert [pause(Kind.KEY, n, BASE) for n in range(1, 5)] == [30, 120, 480, 600]
    assert pause(Kind.KEY, 10_000, BASE) == 600


def test_each_failed_try_makes_the_pause_longer_and_chance_a_little():
    once = state(outcome(kind=Kind.RATE))
    twice = brakes.after(once, outcome("u", 40.0, Kind.RATE), None, BASE, 1.0)
    assert (twice.row, twice.until) == (2, 40.0 + 60.0 * 1.25)


def test_sessions_that_ran_already_say_nothing_about_the_pause():
    found = state(
        outcome("t", 100.0, Kind.RATE),
        outcome("u", 101.0, Kind.RATE, seconds=50.0),
        outcome("v", 102.0, end=End.SUBMITTED, seconds=50.0),
    )
    assert (found.row, found.until, found.passed) == (1, 130.0, 0)


def test_it_waits_as_long_as_the_provider_says():
    assert state(outcome(kind=Kind.RATE, after=250.0)).until == 250.0
    assert state(outcome(kind=Kind.RATE, after=5.0)).until == BASE
    late = state(outcome("t", 1.0, Kind.RATE), outcome("u", 2.0, Kind.RATE, after=900.0, seconds=2.0))
    assert late.until == 900.0


def test_three_deaths_in_half_a_minute_stop_it():
    deaths = [outcome(f"t{n}", 10.0 * n) for n in range(3)]
    found = state(*deaths)
    assert (found.failure, found.until) == (Failure(Kind.CRASHES, "a note"), 20.0 + BASE)
    assert state(*deaths[:2]).failure is None
    assert state(*(replace(one, task="t") for one in deaths)).failure is None, "one task alone may be at fault"
    assert state(*(outcome(f"t{n}", 20.0 * n) for n in range(3))).failure is None, "too far apart"
    assert state(*(outcome(f"t{n}", 10.0 * n, seconds=60.0) for n in range(3))).failure is None, "they worked"
    assert state(*deaths[:2], outcome("u", 12.0, end=End.SUBMITTED, seconds=1.0), deaths[2]).failure is None


def test_three_deaths_in_a_large_fleet_do_not_while_others_live_that_started_then():
    deaths = [outcome(f"t{n}", 10.0 * n, seconds=3.0) for n in range(3)]
    before = state(*deaths[:2])

    def held(*running):
        return brakes.after(before, deaths[2], None, BASE, 0.0, map(RunningSession, running)).failure is not None

    assert not held(-3.0, 5.0, 16.0)
    assert held(-3.0, 5.0), "too few"
    assert held(-9.0, -8.0, -7.0), "they started before, when all was well"
    assert held(18.0, 18.0, 19.0), "they may crash as well"


def test_a_quick_crash_does_not_prove_that_the_fleet_can_work():
    found = state(outcome(kind=Kind.RATE), outcome("u", 40.0, seconds=5.0))
    assert (found.row, found.failure.kind) == (2, Kind.RATE)
    assert state(outcome(kind=Kind.RATE), outcome("u", 90.0, seconds=50.0)).passed == 1
    later = state(outcome(kind=Kind.RATE), outcome("u", 90.0, end=End.SUBMITTED), outcome("v", 95.0, seconds=2.0))
    assert (later.row, later.passed) == (1, 1), "another try has shown it"


def silent(task, ended, salvage=""):
    cut = outcome(task, ended, Kind.LIMIT, End.STUCK, seconds=600.0)
    return replace(cut, session=replace(cut.session, salvage=salvage))


def test_one_session_after_the_other_that_nobody_answers_stops_it_and_silence_proves_nothing():
    found = state(silent("t", 600.0), silent("u", 610.0), silent("v", 620.0))
    assert (found.failure, found.row) == (Failure(Kind.SILENT, "a note"), 1)
    assert may_start(found, 620.0 + BASE) == 1
    assert may_start(found, 1240.0, [620.0 + BASE]) == 0, "it may be silent as well"
    again = brakes.after(found, silent("w", 1300.0), None, BASE, 0.0)
    assert again.row == 2
    assert brakes.after(found, outcome("w", 1300.0, end=End.EMPTY), None, BASE, 0.0).passed == 1
    assert state(silent("t", 600.0), silent("t", 1300.0), silent("t", 2000.0)).failure is None, "one task alone"
    assert state(silent("t", 600.0), silent("u", 610.0), silent("v", 620.0, "refs/x")).failure is None, "it has worked"
    assert state(silent("t", 600.0), silent("u", 610.0), outcome("w", 615.0, end=End.EMPTY), silent("v", 620.0)).failure is None


def test_those_that_hang_at_the_same_time_by_chance_do_not_stop_a_fleet_that_is_answered():
    # They started together, and reach the time limit together; others that started later had a result long ago.
    hung = (silent("t", 600.0), silent("u", 600.5), silent("v", 601.0))
    assert state(outcome("w", 300.0, end=End.SUBMITTED, seconds=200.0), *hung).failure is None
    assert state(outcome("w", 300.0, end=End.SUBMITTED, seconds=300.0), *hung).failure.kind == Kind.SILENT


def test_five_crashes_in_a_quarter_of_an_hour_hold_an_agent():
    crashes = [outcome(f"t{n}", 100.0 * n, seconds=60.0) for n in range(CRASHES)]
    assert resting(state(*crashes[:-1]), "ann", 400.0) == 0
    found = state(*crashes)
    assert resting(found, "ann", 401.0) == CRASHES_WITHIN
    assert resting(found, "bob", 401.0) == 0
    assert resting(found, "ann", CRASHES_WITHIN) == 0
    explained = state(*(outcome(f"t{n}", 100.0 * n, Kind.RATE) for n in range(CRASHES)))
    assert resting(explained, "ann", 401.0) == 0


def test_a_task_that_fails_alone_stops_nobody_again():
    first = outcome("bad", 0.0, Kind.RATE)
    works = outcome("good", 100.0, end=End.SUBMITTED, seconds=60.0)
    found = released(state(first, works), (), 2, BASE, 100.0)
    again = outcome("bad", 110.0, Kind.RATE)
    assert brakes.after(found, again, Row(first.session.ended, first.session.ended), BASE, 0.0).failure is None
    assert brakes.after(found, replace(again, task="new"), None, BASE, 0.0).failure.kind == Kind.RATE
    others = brakes.after(found, outcome("new", 105.0, Kind.RATE, seconds=1.0), None, BASE, 0.0)
    assert brakes.after(others, again, Row(first.session.ended, first.session.ended), BASE, 0.0).failure, (
        "not alone: another failed, too"
    )


def test_who_starts_it_again_has_mended_something():
    before = [outcome("t", 0.0, Kind.KEY), outcome("u", 40.0, Kind.KEY)]
    found = inherited([(one, None) for one in before], BASE, 50.0)
    assert may_start(found, 50.0) == 1
    assert found.row == 1
    assert (
        inherited([(one, None) for one in [*before, outcome("v", 90.0, end=End.SUBMITTED, seconds=1.0)]], BASE, 100.0).failure
        is None
    )
    told = inherited([(outcome("t", 0.0, Kind.RATE, after=500.0), None)], BASE, 50.0)
    assert may_start(told, 50.0) == 1, "whatever time the provider named"


def test_a_program_that_cannot_be_run_is_given_up_after_three_rounds():
    found = state(outcome(kind=Kind.PROGRAM), outcome("u", 40.0, Kind.PROGRAM))
    assert not brakes.hopeless(found, False)
    last = brakes.after(found, outcome("v", 200.0, Kind.PROGRAM), None, BASE, 0.0)
    assert brakes.hopeless(last, False) and not brakes.hopeless(last, True)
    assert not brakes.hopeless(state(*(outcome(f"t{n}", 1000.0 * n, Kind.KEY) for n in range(9))), False)


def test_only_a_program_that_could_not_be_run_again_and_again_is_given_up():
    other = [outcome("t", 0.0, Kind.RATE), outcome("u", 40.0, Kind.RATE)]
    assert not brakes.hopeless(state(*other, outcome("v", 200.0, Kind.PROGRAM)), False)
    worked = [
        step
        for n in range(3)
        for step in (outcome(f"t{n}", 500.0 * n, Kind.PROGRAM), outcome("u", 500.0 * n + 100, end=End.SUBMITTED))
    ]
    assert not brakes.hopeless(state(*worked), False), "it could be run in between"


def test_one_task_for_which_the_program_cannot_be_run_ends_no_fleet():
    evil = [outcome("evil", 100.0 + 200.0 * n, Kind.PROGRAM) for n in range(3)]
    alone = state(*evil)
    assert brakes.hopeless(alone, False), "nobody knows that it can be run at all"
    assert not brakes.hopeless(alone, True) and not brakes.blamed(alone)
    found = state(outcome("good", 50.0, end=End.SUBMITTED), *evil)
    assert not brakes.hopeless(found, False) and brakes.blamed(found) == "evil"
    other = state(outcome("good", 50.0, end=End.SUBMITTED), *evil[:2], outcome("other", 900.0, Kind.PROGRAM))
    assert brakes.hopeless(other, False) and not brakes.blamed(other)


def test_a_far_off_time_that_one_task_names_is_not_believed_at_once():
    far = outcome("evil", 0.0, Kind.RATE, after=20_000.0)
    assert state(far).until == 10 * BASE
    second = outcome("good", 10 * BASE + 5, Kind.RATE, after=20_000.0)
    assert state(far, second).until == 20_000.0
    running = outcome("good", 9.0, Kind.RATE, after=20_000.0, seconds=60.0)
    assert state(far, running).until == 20_000.0


def test_a_far_off_time_that_one_task_names_is_not_believed_while_another_has_a_result():
    far = [outcome("evil", 1000.0 * n, Kind.RATE, after=20_000.0 + 1000.0 * n) for n in range(5)]
    assert state(*far[:3]).until == 2000.0 + 10 * BASE
    assert state(*far).until == 24_000.0, "nobody else can tell"
    works = outcome("good", 500.0, end=End.SUBMITTED, seconds=600.0)
    found = state(far[0], works, *far[1:])
    assert (found.row, found.until) == (5, 4000.0 + 10 * BASE)
    # What was so in an earlier row says nothing of a new one.
    over = outcome("good", 5000.0, end=End.SUBMITTED)
    later = [outcome("other", 6000.0 + 1000.0 * n, Kind.RATE, after=30_000.0) for n in range(4)]
    assert state(far[0], works, *far[1:], over, later[0]).until == 6000.0 + 10 * BASE
    assert state(far[0], works, *far[1:], over, *later).until == 30_000.0


def test_a_try_that_did_not_fail_ends_the_row():
    found = state(*(outcome(f"t{n}", 1000.0 * n, Kind.KEY) for n in range(3)), outcome("u", 3000.0, end=End.SUBMITTED))
    assert (found.row, found.passed) == (3, 1)
    again = brakes.after(found, outcome("v", 4000.0, Kind.KEY), None, BASE, 0.0)
    assert (again.row, again.until) == (1, 4000.0 + BASE)


def test_what_was_answered_by_nobody_or_asked_nobody_proves_nothing():
    held = outcome("t", 0.0, Kind.NETWORK)
    hung = state(held, outcome("u", 400.0, Kind.LIMIT, End.STUCK, seconds=300.0))
    assert (hung.row, hung.passed, hung.failure.kind) == (2, 0, Kind.NETWORK)
    put_off = state(held, outcome("u", 400.0, end=End.DEFERRED))
    assert (put_off.row, put_off.passed) == (1, 0)


def test_a_key_refused_for_ten_minutes_costs_six_sessions_and_no_task():
    for jitter in (0.0, 1.0):
        world = World(tasks=12, agents=4, outages=[Outage(0.0, 600.0, Kind.KEY)], jitter=jitter).run()
        assert len(world.landed) == 12 and not world.parked
        assert world.wasted <= 6
        assert world.over < 600 + 600 + 12 * 60


def test_a_short_outage_costs_one_round():
    world = World(tasks=6, agents=2, outages=[Outage(0.0, 20.0)]).run()
    assert (len(world.landed), world.wasted) == (6, 2)
    assert world.over < 20 + 40 + 6 * 60 / 2 + 60


def test_a_fleet_is_soon_as_large_as_before():
    world = World(tasks=60, agents=8, outages=[Outage(100.0, 150.0)], work=600.0).run()
    full = next(now for now, many in world.most if now > 150 and many == 8)
    assert full < 150 + 120 + 3 * 60


def test_deaths_are_near_each_other_whatever_the_hour():
    found = state(*(outcome(f"t{n}", 1e9 + 10.0 * n) for n in range(3)))
    assert found.failure == Failure(Kind.CRASHES, "a note")


def test_a_result_of_those_that_run_brings_a_far_time_nearer():
    far = 1000.0 + 5 * 3600
    found = state(outcome("a", 1000.0, Kind.RATE, after=far), outcome("b", 1001.0, Kind.RATE, after=far, seconds=20.0))
    assert found.until == far
    assert brakes.after(found, outcome("c", 1002.0, end=End.SUBMITTED, seconds=30.0), None, BASE, 0.0).until == 1002.0 + 10 * BASE


def test_a_result_right_after_a_pause_began_does_not_keep_a_far_time_from_being_believed():
    far = 1000.0 + 5 * 3600
    for late, tries in ((1.0, range(1, 6)), (300.0, range(50, 70))):
        found = state(outcome("a", 1000.0, Kind.RATE, after=far))
        found, count = brakes.after(found, outcome("b", 1000.0 + late, end=End.SUBMITTED, seconds=600.0), None, BASE, 0.0), 0
        while found.until < far:
            found, count = brakes.after(found, outcome("a", found.until + 2.0, Kind.RATE, after=far), None, BASE, 0.0), count + 1
        assert count in tries


def test_a_deferred_session_says_nothing_of_a_silence():
    silent = [outcome(name, 2000.0, Kind.LIMIT, End.STUCK, seconds=600.0) for name in "abd"]
    assert state(*silent[:2], outcome("c", 2000.0, end=End.DEFERRED), silent[2]).failure.kind == Kind.SILENT


def test_a_new_supervisor_rests_nobody_for_the_crashes_before_it():
    crashed = [(outcome("t", 100.0 + n, agent="ann"), None) for n in range(CRASHES)]
    for last in ([], [(outcome("u", 110.0, Kind.RATE), None)]):
        assert not resting(inherited([*crashed, *last], BASE, 120.0), "ann", 120.0)
