"""When a session is called stuck, and when it is left alone."""

import pytest

from agentctl.core.policy.policy import Budget
from agentctl.core.queue.spending import Spent
from agentctl.core.tasks.ending import End
from agentctl.core.tasks.watchdog import (
    CIRCLES,
    GRACE,
    REFUSALS,
    Patience,
    Sample,
    Warned,
    interval,
    remembered,
    stuck,
    verdict,
    warned,
)
from agentctl.core.text.json_form import replace

SILENCE, START = 600.0, 120.0


def flat(seconds, step=30.0, **fields):
    at = {"output": 10, "head": "a", "diff": "d", "cpu": 5.0, "processes": 1} | fields
    return [Sample(time=i * step, **at) for i in range(int(seconds / step) + 1)]


def judge(samples):
    return stuck(samples, samples[-1].time, SILENCE, START)


def test_nothing_seen_is_no_verdict():
    assert stuck([], 1e9, SILENCE, START) is None


def test_flat_just_below_the_limit_and_at_it():
    assert judge(flat(570)) is None
    reason = judge(flat(600))
    assert "600 s" in reason and "limit 600 s" in reason


@pytest.mark.parametrize(
    "moved", [{"output": 11}, {"head": "b"}, {"diff": "e"}, {"processes": 2}, {"cpu": 12.0}], ids=lambda moved: next(iter(moved))
)
def test_anything_that_moves_within_the_limit_is_life(moved):
    samples = flat(900)
    recent = [replace(s, **moved) if s.time > 500 else s for s in samples]
    assert judge(samples)
    assert judge(recent) is None


def test_the_ticking_of_an_idle_event_loop_is_no_life():
    ticking = [replace(s, cpu=5.0 + s.time * 0.005) for s in flat(900)]
    assert judge(ticking)


def test_longer_limit_while_a_child_runs():
    assert judge(flat(1770, processes=3)) is None
    assert "2 child processes" in judge(flat(1800, processes=3))


def test_a_start_that_says_nothing_has_its_own_clock_and_cpu_does_not_count():
    busy = [replace(s, output=0, cpu=s.time) for s in flat(120)]
    assert judge(busy[:-1]) is None
    assert "first 120 s" in judge(busy)


def test_a_slow_start_that_is_allowed_is_not_called_silence():
    assert stuck(flat(900, output=0), 900, SILENCE, 3600) is None


def test_an_edit_without_output_ends_the_start():
    samples = [replace(s, output=0, diff="d" if s.time < 60 else "e") for s in flat(300)]
    assert judge(samples) is None


def test_time_in_which_nobody_looked_is_no_silence():
    assert stuck(flat(30), 1e6, SILENCE, START) is None


def test_limits_of_zero_are_none():
    assert stuck(flat(1e5, step=1000), 1e5, 0, 0) is None
    assert stuck(flat(1e5, step=1000, output=0), 1e5, 0, 0) is None


def test_children_are_spoken_of_only_if_there_are_some():
    assert "child" not in judge(flat(600))


PATIENCE = Patience(SILENCE, START, Budget(turns=100, money=5.0))


def ended(samples, spent=Spent(), patience=PATIENCE):
    found = verdict(samples, samples[-1].time, spent, patience)
    return found and (found.end, found.why)


def test_a_session_that_has_used_up_its_budget_is_ended():
    assert ended(flat(30), Spent(turns=99, money=4.99, tokens=10**9)) is None
    assert ended(flat(30), Spent(turns=100))[0] == End.SPENT
    assert ended(flat(30), Spent(money=5.25)) == (End.SPENT, "its budget is used up: $5.25 of $5.00")


def test_what_ends_a_session_names_the_key_of_its_limit():
    full = verdict(flat(30, context=100), 30, Spent(), Patience(SILENCE, START, context=100))
    used = verdict(flat(30), 30, Spent(turns=100), replace(PATIENCE, of_budget="agents.roles.guard.budget"))
    assert (full.limit, used.limit) == ("agents.context", "agents.roles.guard.budget")


def test_a_program_that_lives_on_after_its_result_is_ended_and_has_ended_well():
    told = [replace(s, finished=s.time >= 300) for s in flat(330)]
    assert ended(told) == (None, f"it told its result and did not end within {GRACE:.0f} s, so it was ended")
    assert ended(told[:-1]) is None
    # It says something more: perhaps it is not at its end.
    assert ended([replace(s, output=s.output + (s.time > 310)) for s in told]) is None
    assert ended([replace(s, finished=s.time == 300) for s in told]) is None


def test_a_short_silence_limit_is_the_grace_too():
    told = flat(2, step=0.5, finished=True)
    assert ended(told, patience=Patience(2.0, 100.0))[0] is None
    assert ended(told, patience=Patience(2.0, 100.0)) is not None
    assert ended(told, patience=Patience(0.0, 0.0)) is None


def circling(**last):
    """A session that does the same again and again: once in each sample."""
    return [replace(s, output=n, cpu=float(n), same=n + 1) for n, s in enumerate(flat(30 * (CIRCLES - 1)))]


def test_the_same_again_and_again_is_a_circle_unless_it_changes_something():
    end, why = ended(circling())
    assert end == End.CIRCLES and f"{CIRCLES} times the same" in why
    assert ended(circling()[:-1]) is None
    half = CIRCLES // 2
    assert ended([replace(s, diff=f"{n < half}") for n, s in enumerate(circling())]) is None
    assert ended([replace(s, head=f"{n < half}") for n, s in enumerate(circling())]) is None
    # What it changed before it began with that is no effect of it.
    before = [replace(s, time=s.time - 300, diff="other", same=1, output=0) for s in flat(270)]
    assert ended(before + circling())[0] == End.CIRCLES


def test_who_waits_for_its_provider_is_not_stuck():
    waiting = [replace(s, waiting=True) for s in flat(3000)]
    assert ended(waiting) is None
    since = [replace(s, waiting=s.time < 300) for s in flat(900)]
    assert ended(since)[0] == End.STUCK
    assert ended(since[:-2]) is None


def test_a_session_whose_context_is_full_is_ended_unless_it_is_done():
    rules = Patience(SILENCE, START, context=150_000)
    assert ended(flat(30, context=149_999), patience=rules) is None
    assert ended(flat(30, context=150_000), patience=rules) == (End.SPENT, "its context is full: 150,000 of 150,000 tokens")
    assert ended(flat(10, context=150_000, finished=True), patience=rules) is None
    assert ended(flat(30, context=10**9)) is None


def test_how_often_a_session_is_looked_at():
    # Often enough to see a silence end, and not so often that looking costs more than what is seen.
    assert [interval(silence) for silence in (0.0, 10.0, 600.0, 86400.0)] == [0.2, 0.5, 6.0, 6.0]


def test_who_is_refused_again_and_again_is_ended_at_once():
    assert ended(flat(30, refused=REFUSALS - 1, waiting=True)) is None
    end, why = ended(flat(30, refused=REFUSALS, waiting=True))
    assert end == End.CRASHED and f"refused it {REFUSALS} times" in why


def test_an_agent_that_goes_in_circles_is_told_before_it_is_ended():
    patience = Patience(SILENCE, START)
    half = [replace(sample, same=n + 1) for n, sample in enumerate(flat(30 * (CIRCLES // 2 - 1)))]
    assert warned(half, Spent(), patience) == Warned(circles=True)
    assert verdict(half, half[-1].time, Spent(), patience) is None
    assert warned(half[:-1], Spent(), patience) == Warned()
    edited = [*half[:-1], replace(half[-1], diff="e")]
    assert warned(edited, Spent(), patience) == Warned()


def test_an_agent_is_told_that_its_session_is_nearly_over():
    patience = Patience(SILENCE, START, Budget(turns=10), 1000, 3600.0)
    assert warned([], Spent(turns=9), patience) == Warned()
    assert warned(flat(30), Spent(turns=7), patience) == Warned()
    assert warned(flat(30, context=800), Spent(turns=8, seconds=2880.0), patience).limits == (
        "10 turns",
        "1,000 tokens of context",
        "3600 s",
    )
    assert warned(flat(30, finished=True), Spent(turns=9), patience) == Warned()


@pytest.mark.parametrize("silence", [4.0, 60.0, 600.0, 2400.0, 6600.0])
@pytest.mark.parametrize("processes", [1, 3])
@pytest.mark.parametrize("output", [0, 10])
def test_what_is_remembered_is_enough_to_find_it_stuck(silence, processes, output):
    patience, samples = Patience(silence, 3 * silence), []
    step = interval(silence)
    for n in range(int(20 * silence / step)):
        samples = remembered([*samples, Sample(n * step, output, "a", "d", 5.0, processes)], patience)
        if found := verdict(samples, n * step, Spent(), patience):
            break
    limit = 3 * silence if processes > 1 or not output else silence
    assert found and limit <= n * step <= limit + 2 * step
    assert len(samples) <= 3 * max(silence, GRACE) / step + 3
