"""Who is heard in one turn of the bot."""

from __future__ import annotations

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


def test_all_that_there_is_room_for_is_heard():
    assert fitting({"a": ["a1", "a2", "a3"]}, lambda agent: 2, lambda one: True) == {"a": ["a1", "a2"]}


def test_behind_the_last_comes_the_first():
    assert choose({"a": ["a1"], "b": ["b1"]}, 1, 9, "z") == (["a1"], "a")
