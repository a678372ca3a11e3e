"""Whoever asks is heard, whatever the others ask for."""

from hypothesis import given, settings
from hypothesis import strategies as st

from agentctl.core.queue.inbox_turns import choose

lists = st.dictionaries(st.text("abc", min_size=1, max_size=2), st.integers(1, 6), max_size=6).map(
    lambda counts: {agent: [f"{agent}/{n}" for n in range(count)] for agent, count in counts.items()}
)


@settings(max_examples=300, deadline=None)
@given(lists, st.integers(1, 12), st.integers(1, 5), st.text("abc", max_size=2))
def test_nobody_gets_a_second_turn_before_everybody_has_had_a_first(waiting, most, each, last):
    taken, _ = choose(waiting, most, each, last)
    counts = {agent: sum(one.startswith(agent + "/") for one in taken) for agent in waiting}
    assert len(taken) == len(set(taken)) == min(most, sum(min(each, len(listed)) for listed in waiting.values()))
    for agent, count in counts.items():
        assert [one for one in taken if one.startswith(agent + "/")] == waiting[agent][:count]
        for other, more in counts.items():
            # Whoever got fewer than another, by more than one, has no more or may have no more.
            assert count >= more - 1 or count == min(each, len(waiting[agent]))


@settings(max_examples=100, deadline=None)
@given(lists, st.integers(1, 4), st.integers(1, 5))
def test_everybody_is_heard_in_the_end(waiting, most, each):
    left, last, turns = {agent: list(listed) for agent, listed in waiting.items()}, "", 0
    while any(left.values()):
        taken, last = choose({agent: listed for agent, listed in left.items() if listed}, most, each, last)
        assert taken
        left = {agent: [one for one in listed if one not in taken] for agent, listed in left.items()}
        turns += 1
    total = sum(map(len, waiting.values()))
    assert turns <= -(-total // most) + max(map(len, waiting.values()), default=0)
