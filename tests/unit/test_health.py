"""When a session is called stuck, and when it is left alone."""

import pytest

from agentctl.core.tasks.health import Sample, stuck
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
