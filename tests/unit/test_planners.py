"""Tasks that plan others, and roles with room for so many."""

import pytest

from agentctl.core.tasks.dispatch import Rules, dispatch
from agentctl.core.tasks.ending import End, without_files
from agentctl.core.tasks.live_list import held_up, with_planners
from agentctl.core.tasks.task import Status, Task

S = Status


def plan(**children):
    """A planner's task `goal`, and tasks below it with where each stands."""
    listed = {"goal": Task("goal", "g", "g", role="planner")} | {name: Task(name, name, name, parent="goal") for name in children}
    return listed, {"goal": S.READY, **children}


@pytest.mark.parametrize(
    ("children", "goal"),
    [
        ({}, S.READY),
        ({"a": S.READY}, S.BLOCKED),
        ({"a": S.WORKING, "b": S.LANDED}, S.BLOCKED),
        ({"a": S.SUBMITTED}, S.BLOCKED),
        ({"a": S.LANDED, "b": S.DONE}, S.READY),
        ({"a": S.PARKED, "b": S.LANDED}, S.READY),
        ({"a": S.GONE}, S.READY),
    ],
)
def test_a_planner_waits_until_what_it_planned_is_over(children, goal):
    assert with_planners(*plan(**children))["goal"] == goal


def test_it_does_not_wait_for_what_is_held_up():
    listed, where = plan(a=S.PARKED, b=S.BLOCKED)
    listed["b"] = Task("b", "b", "b", parent="goal", after=("a",))
    assert with_planners(listed, where)["goal"] == S.READY


def test_nor_is_what_waits_for_a_planner_called_held_up():
    listed, where = plan(a=S.WORKING)
    listed["last"] = Task("last", "l", "l", after=("goal",))
    where = with_planners(listed, where | {"last": S.BLOCKED})
    assert where["goal"] == S.BLOCKED
    assert held_up(listed, where) == {}


def test_a_plan_that_is_closed_waits_for_nothing():
    listed, where = plan(a=S.WORKING)
    assert with_planners(listed, where | {"goal": S.DONE})["goal"] == S.DONE


def test_a_role_has_room_for_so_many():
    listed = {f"p{n}": Task(f"p{n}", "p", "p", role="planner", created=float(n)) for n in range(3)}
    listed["w"] = Task("w", "w", "w", created=9.0)
    where = dict.fromkeys(listed, S.READY)

    def started(*room):
        rules = Rules(3, room=[(frozenset(names), count) for names, count in room])
        return [name for name, _ in dispatch(listed, where, ("x", "y", "z", "u"), "t", rules, 1.0).start]

    assert started() == ["p0", "p1", "p2", "w"]
    assert started(({"planner"}, 1)) == ["p0", "w"]
    assert started(({"planner"}, 0)) == ["w"]
    assert started(({"planner", ""}, 2)) == ["p0", "p1"]
    assert started(({"planner", ""}, 2), ({"planner"}, 1)) == ["p0", "w"]


def test_what_the_end_of_such_a_session_means():
    assert without_files(None, True, True) == End.DONE
    assert without_files(None, False, True) == End.PLANNED
    assert without_files(None, False, False) == End.EMPTY
    assert without_files(End.CRASHED, True, True) == End.CRASHED


def test_it_does_not_wait_for_what_waits_for_it():
    listed, where = plan(a=S.LANDED, b=S.BLOCKED)
    listed["b"] = Task("b", "b", "b", parent="goal", after=("goal",))
    assert with_planners(listed, where)["goal"] == S.READY
    listed["b"] = Task("b", "b", "b", parent="goal", after=("report",))
    listed["report"] = Task("report", "r", "r", after=("goal",))
    where["report"] = S.BLOCKED
    assert with_planners(listed, where)["goal"] == S.READY
    where["a"] = S.WORKING
    assert with_planners(listed, where)["goal"] == S.BLOCKED, "of the others it waits for those that go on"


def test_nor_does_a_planner_below_another_wait_for_that():
    listed = {"goal": Task("goal", "g", "g", role="planner"), "part": Task("part", "p", "p", role="planner", parent="goal")}
    listed["step"] = Task("step", "s", "s", parent="part", after=("goal",))
    where = with_planners(listed, {"goal": S.READY, "part": S.READY, "step": S.BLOCKED})
    assert where["part"] == S.READY
