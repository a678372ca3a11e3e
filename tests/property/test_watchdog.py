"""What holds of every history of a session: when it is stuck, and when not."""

from hypothesis import given, settings
from hypothesis import strategies as st

from agentctl.core.tasks.watchdog import WITH_CHILDREN, Sample, stuck
from agentctl.core.text.json_form import replace

SILENCE, START = 600.0, 120.0


@st.composite
def histories(draw):
    time, output, cpu, samples = 0.0, 0, 0.0, []
    for _ in range(draw(st.integers(1, 30))):
        time += draw(st.sampled_from([1.0, 10.0, 100.0, 700.0]))
        output += draw(st.sampled_from([0, 0, 0, 5]))
        cpu += draw(st.sampled_from([0.0, 0.0, 0.001, 50.0]))
        head, diff = draw(st.sampled_from("aaab")), draw(st.sampled_from("ddde"))
        samples.append(Sample(time, output, head, diff, cpu, draw(st.sampled_from([1, 1, 2]))))
    return samples


def judge(samples):
    return stuck(samples, samples[-1].time, SILENCE, START)


@settings(max_examples=50, deadline=None)
@given(histories())
def test_who_spoke_last_is_never_stuck(samples):
    last = samples[-1]
    spoke = replace(last, time=last.time + 1, output=last.output + 1)
    assert judge([*samples, spoke]) is None


@settings(max_examples=50, deadline=None)
@given(histories())
def test_standing_still_long_enough_is_always_stuck(samples):
    last = samples[-1]
    end = last.time + max(SILENCE * WITH_CHILDREN, START)
    assert judge([*samples, replace(last, time=end)])


@settings(max_examples=50, deadline=None)
@given(histories(), st.floats(1.0, 10.0))
def test_patience_never_makes_anybody_stuck(samples, factor):
    # Without CPU, which a longer window would spread thinner.
    samples = [replace(s, cpu=0.0) for s in samples]
    now = samples[-1].time
    if stuck(samples, now, SILENCE * factor, START * factor):
        assert stuck(samples, now, SILENCE, START)


@settings(max_examples=50, deadline=None)
@given(histories(), st.floats(0, 1e6))
def test_what_lies_after_now_is_not_seen(samples, now):
    before = [s for s in samples if s.time <= now]
    assert stuck(samples, now, SILENCE, START) == stuck(before, now, SILENCE, START)
