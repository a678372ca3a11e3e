"""Who is heard in one turn of the bot."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from agentctl.core.queue.inbox_turns import choose, fitting


def test_one_who_asks_for_much_holds_up_nobody():
    waiting = {"flood": [f"flood/{n}" for n in range(20_000)], **{f"ann-{n}": [f"ann-{n}/1"] for n in range(10)}}
    taken, _ = choose(waiting, 200, 100)
    assert {f"ann-{n}/1" for n in range(10)} <= set(taken)
    assert sum(one.startswith("flood") for one in taken) == 100


def test_one_by_one_in_the_order_of_each():
    assert choose({"a": ["a1", "a2", "a3"], "b": ["b1"], "c": ["c1", "c2"]}, 5, 9) == (["a1", "b1", "c1", "a2", "c2"], "c")


def test_who_came_too_late_comes_first_the_next_time():
    waiting = {name: [name + "1"] for name in "abcde"}
    taken, last = choose(waiting, 3, 9)
    assert (taken, last) == (["a1", "b1", "c1"], "c")
    assert choose(waiting, 3, 9, last)[0] == ["d1", "e1", "a1"]


def test_who_has_no_room_waits():
    waiting = {"a": ["a1", "a2"], "b": ["b1", "b2"]}
    assert fitting(waiting, {"a": 0, "b": 1}.get, lambda one: True) == {"b": ["b1"]}
    assert fitting(waiting, {"a": -5, "b": -1}.get, lambda one: True) == {}


def test_what_adds_nothing_needs_no_room():
    """Who has a thousand changes in the queue may take one back, and mend another."""
    waiting = {"a": ["a1", "a2", "a3", "a4"]}
    assert fitting(waiting, lambda agent: 0, lambda one: one in ("a1", "a3")) == {"a": ["a2", "a4"]}
    assert fitting(waiting, lambda agent: 1, lambda one: one in ("a1", "a3")) == {"a": ["a1", "a2", "a4"]}


def test_nobody():
    assert choose({}, 9, 9, "z") == ([], "z")


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


def test_all_that_there_is_room_for_is_heard():
    assert fitting({"a": ["a1", "a2", "a3"]}, lambda agent: 2, lambda one: True) == {"a": ["a1", "a2"]}


def test_behind_the_last_comes_the_first():
    assert choose({"a": ["a1"], "b": ["b1"]}, 1, 9, "z") == (["a1"], "a")
