"""Which tasks leave the list: those that are over the longest, a good number at a time."""

from agentctl.core.tasks.archiving import to_archive
from agentctl.core.tasks.task import End, Session, Status, Task


def over(name, ended, parent=""):
    return Task(name, "", "", created=1.0, parent=parent, sessions=(Session(1, "a", End.SUBMITTED, ended, 1.0, "x"),))


def left(tasks, statuses=None, busy=(), kept=1, enough=1):
    known = {task.id: task for task in tasks}
    where = dict.fromkeys(known, Status.LANDED) | (statuses or {})
    return [task.id for task in to_archive(known, where, busy, kept, enough)]


def test_the_newest_stay_and_the_oldest_leave_first():
    assert left([over("b", 3), over("a", 9), over("c", 5)]) == ["b", "c"]
    assert left([over("b", 3), over("a", 9), over("c", 5)], kept=3) == []


def test_they_leave_together():
    found = [over(str(n), n) for n in range(5)]
    assert left(found, enough=5) == [] and left(found, kept=0, enough=5) == ["0", "1", "2", "3", "4"]


def test_what_is_not_over_or_has_a_session_stays():
    found = [over("a", 1), over("b", 2), over("c", 3), over("d", 4)]
    assert left(found, {"a": Status.PARKED, "b": Status.GONE}, kept=0) == ["c", "d"]
    assert left(found, {"a": Status.READY, "b": Status.SUBMITTED}, busy={"c"}, kept=0) == ["d"]


def test_what_a_planner_waits_for_stays():
    found = [over("plan", 1), over("step", 2, "plan"), over("lone", 3, "not in the list")]
    assert left(found, {"plan": Status.BLOCKED}, kept=0) == ["lone"]
    assert left(found, {"plan": Status.DONE}, kept=0) == ["plan", "step", "lone"]
