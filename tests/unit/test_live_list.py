"""Which tasks a run takes in, and what holds the others up."""

from agentctl.core.tasks.live_list import HeldUp, asked_for, held_up, standing_still, unfinished, waits_for, why, with_planners
from agentctl.core.tasks.task import End, Session, Status, Task
from agentctl.core.text.json_form import replace

PARKED, BLOCKED, READY = Status.PARKED, Status.BLOCKED, Status.READY


def tasks(**after: str) -> dict[str, Task]:
    """Tasks by id, each after those that its value names."""
    return {name: Task(name, name, "do it", after=tuple(others.split())) for name, others in after.items()}


def test_a_task_is_asked_for_by_who_adds_opens_or_bumps_it():
    known = Task("x", "x", "do x")
    parked = replace(known, closed="parked")
    worked = known.add(Session(1, "ann", End.CRASHED, 1.0, 1.0, "t"))
    assert asked_for(None, known) and not asked_for(None, parked)
    assert asked_for(parked, parked.open())
    assert asked_for(worked, worked.open()), "its attempts are forgiven"
    assert asked_for(known, replace(known, priority=1))
    assert not asked_for(known, known) and not asked_for(known, worked) and not asked_for(known, parked)


def test_a_task_waits_for_those_that_are_not_done():
    known = tasks(a="", b="", c="a b gone")
    assert waits_for(known["c"], {"a": Status.LANDED, "b": READY, "c": BLOCKED}) == ("b", "gone")


def test_what_comes_after_a_parked_task_is_held_up_and_all_behind_it():
    known = tasks(first="", then="first", last="then", other="")
    where = {"first": PARKED, "then": BLOCKED, "last": BLOCKED, "other": READY}
    held = held_up(known, where)
    assert held == {"then": HeldUp("first", "first"), "last": HeldUp("then", "first")}
    assert why(held["then"], known, where) == "it comes after first, which is parked"
    known["first"] = replace(known["first"], reason="2 attempts")
    assert why(held["last"], known, where) == "it comes after then, which waits for first, which is parked: 2 attempts"
    assert held_up(known, {**where, "first": READY}) == {}


def test_one_task_that_cannot_be_read_is_enough():
    known = tasks(good="", on="good zz")
    where = {"good": READY, "on": BLOCKED}
    held = held_up(known, where)
    assert why(held["on"], known, where) == "it comes after zz, which is no task that can be read"


def test_tasks_that_wait_in_a_circle_are_held_up():
    known = tasks(a="b", b="a", behind="a")
    where = dict.fromkeys(known, BLOCKED)
    held = held_up(known, where)
    assert held.keys() == set(known) and not any(one.root for one in held.values())
    assert why(held["behind"], known, where) == "it comes after a, and there tasks wait for each other in a circle"


def test_a_run_with_a_list_waits_for_others_only_while_somebody_works_on_them():
    known = tasks(other="", mine="other")
    for stands, held in ((READY, True), (Status.GONE, True), (Status.WORKING, False), (Status.SUBMITTED, False)):
        where = {"other": stands, "mine": BLOCKED}
        found = held_up(known, where, {"mine"})
        assert bool(found) == held, stands
        assert held_up(known, where) == {}
    assert why(HeldUp("other", "other"), known, where) == "it comes after other, which is not on the list of this run"


def test_a_change_that_waits_for_a_parked_review_holds_up_its_task_and_all_behind_it():
    known = tasks(work="", then="work", free="")
    known |= {name: replace(Task(name, name, "judge it"), avoid=("ann",)) for name in ("review-work-1", "review-work-1.2")}
    known["goal"], known["work"] = Task("goal", "goal", "plan it"), replace(known["work"], parent="goal")
    where = {"work": Status.SUBMITTED, "then": BLOCKED, "free": Status.SUBMITTED, "goal": READY}
    where |= {"review-work-1": Status.DONE, "review-work-1.2": PARKED}
    reviews = {"work": frozenset({"review-work-1", "review-work-1.2"})}
    held = held_up(known, where, reviews=reviews)
    assert held == {"work": HeldUp("review-work-1.2", "review-work-1.2"), "then": HeldUp("work", "review-work-1.2")}
    assert why(held["work"], known, where) == "its change waits for review-work-1.2, which is parked"
    assert why(held["then"], known, where) == "it comes after work, which waits for review-work-1.2, which is parked"
    # To a planner it is over.
    assert with_planners(known, where, reviews)["goal"] == READY and with_planners(known, where)["goal"] == BLOCKED
    # Who works on a list learns of the changes of others: theirs may come after them, and wait for what they move.
    listed = {"then", "free", "review-work-1.2"}
    assert held_up(known, where, listed, reviews) == held
    assert standing_still(where, held_up(known, where, listed, reviews))["work"] == BLOCKED
    # One that can be worked on holds up nothing, nor does one of a change that has left the queue.
    for stands in (READY, Status.WORKING, Status.DONE):
        assert held_up(known, {**where, "review-work-1.2": stands}, reviews=reviews) == {}
    assert held_up(known, {**where, "work": Status.LANDED, "then": READY}, reviews=reviews) == {}


def test_a_change_that_is_held_up_moves_no_trunk():
    where = {"work": Status.SUBMITTED, "then": Status.BLOCKED, "other": Status.SUBMITTED, "later": READY}
    assert standing_still(where, ["work", "then"]) == {**where, "work": Status.BLOCKED}


def test_a_long_row_is_held_up_by_its_first():
    known = tasks(**{f"t{n}": f"t{n - 1}" if n else "" for n in range(5000)})
    where = {name: BLOCKED for name in known} | {"t0": PARKED}
    held = held_up(known, where)
    assert len(held) == 4999 and {one.root for one in held.values()} == {"t0"}


def test_unfinished_is_what_somebody_may_work_on():
    assert unfinished({str(where): where for where in Status}) == {"ready", "blocked", "working", "submitted"}
