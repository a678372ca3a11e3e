"""Priorities along dependencies: a pure function, and the two who ask it."""

from __future__ import annotations

from agentctl.core.planner import Settings, plan
from agentctl.core.queue.model import Change, Start, View
from agentctl.core.queue.priority_lending import lent
from agentctl.core.tasks.dispatch import Rules, dispatch
from agentctl.core.tasks.task import Status, Task


def test_who_comes_after_another_lends_it_its_priority():
    assert lent({"low": -10, "high": 100}, {"high": ["low"]}) == {"low": 100}


def test_it_goes_through_the_whole_stack():
    assert lent({"a": 0, "b": 1, "c": 9, "d": 3}, {"b": ["a"], "c": ["b"], "d": ["a"]}) == {"a": 9, "b": 9}


def test_nobody_is_lowered_and_nothing_is_lent_without_a_need():
    assert lent({"a": 5, "b": 1}, {"b": ["a"]}) == {}
    assert lent({"a": 5, "b": 5}, {"b": ["a"]}) == {}
    assert lent({"a": 1, "b": 2}, {}) == {}


def test_what_is_not_there_is_passed_over_and_a_circle_ends():
    assert lent({"a": 1}, {"a": ["gone"]}) == {}
    assert lent({"a": 1, "b": 2, "c": 0}, {"a": ["b"], "b": ["c", "a"], "c": ["a"]}) == {"a": 2, "c": 2}


def test_two_lend_to_one():
    assert lent({"base": 0, "x": 3, "y": 7}, {"x": ["base"], "y": ["base"]}) == {"base": 7}


def test_the_planner_tests_what_an_urgent_change_waits_for_before_all_others():
    many = tuple(Change(f"m{n}", 1, f"h{n}", "ann", n, float(n), priority=5) for n in range(6))
    low = Change("low", 1, "hl", "ann", 6, 6.0, priority=-10)
    high = Change("high", 1, "hh", "ann", 7, 7.0, priority=100, after=("low",))

    def first(*queued: Change) -> tuple[str, ...]:
        made = plan(View("t0", queued), Settings(batch=1), 8.0)
        return next(a.probe.chain for a in made.actions if isinstance(a, Start))

    assert first(*many, low) == ("m0/1",)
    assert first(*many, low, high) == ("low/1",)


def test_the_supervisor_starts_what_an_urgent_task_waits_for():
    tasks = [
        Task("old", "old", "do", created=1.0),
        Task("base", "base", "do", created=2.0),
        Task("middle", "middle", "do", created=3.0, after=("base",)),
        Task("urgent", "urgent", "do", created=4.0, priority=5, after=("middle",)),
    ]
    known = {t.id: t for t in tasks}
    where = {"old": Status.READY, "base": Status.READY, "middle": Status.BLOCKED, "urgent": Status.BLOCKED}
    assert dispatch(known, where, ("ann",), "t", Rules(3), 5.0).start == (("base", "ann"),)
    # One that is closed lends nothing any more.
    parked = where | {"urgent": Status.PARKED}
    assert dispatch(known, parked, ("ann",), "t", Rules(3), 5.0).start == (("old", "ann"),)
