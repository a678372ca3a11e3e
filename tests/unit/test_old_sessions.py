"""Which sessions' folders go."""

from agentctl.core.tasks.old_sessions import KEPT, KEPT_OF_TASK, YOUNG, superfluous

NOW = 10 * YOUNG


def gone(sessions, listed=(), when=lambda task, number: float(number)):
    return superfluous(sessions, listed, when, NOW)


def test_of_a_task_in_the_list_the_newest_sessions_are_kept():
    numbers = list(range(1, KEPT_OF_TASK + 4))
    # The order in a folder is any, and a clock tells nothing of which one runs.
    assert gone({"one": numbers[::-1]}, {"one"}, lambda task, number: -number) == [("one", 1), ("one", 2), ("one", 3)]
    assert gone({"one": numbers[3:], "two": [1]}, {"one", "two"}) == []


def test_of_all_other_tasks_together_those_that_printed_last_are_kept():
    sessions = {f"t{n}": [n] for n in range(KEPT + 2)}
    assert gone(sessions) == [("t0", 0), ("t1", 1)]
    assert gone(sessions, {"t0"}) == [("t1", 1)]


def test_what_is_young_is_kept():
    sessions = {f"t{n}": [n] for n in range(KEPT + 2)}
    assert gone(sessions, when=lambda task, number: NOW - YOUNG + number) == [("t0", 0)]
