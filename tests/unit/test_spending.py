"""Budgets, and what is told of what was used up."""

import pytest

from agentctl.core.policy.policy import Budget
from agentctl.core.queue.spending import Spent, nearly, over
from agentctl.core.tasks.dispatch import Rules, dispatch
from agentctl.core.tasks.ending import End
from agentctl.core.tasks.task import Session, Status, Task


@pytest.mark.parametrize(
    ("budget", "spent", "words"),
    [
        (Budget(), Spent(10**6, 10**9, 1e6, 1e6), ""),
        (Budget(turns=3), Spent(turns=2), ""),
        (Budget(turns=3), Spent(turns=3), "3 of 3 turns"),
        (Budget(tokens=2_000_000), Spent(tokens=2_100_000), "2,100,000 of 2,000,000 tokens"),
        (Budget(turns=9, money=0.5), Spent(money=0.75), "$0.75 of $0.50"),
        (Budget(time=60.0), Spent(seconds=61.4), "61 s of 60 s"),
    ],
)
def test_over(budget, spent, words):
    assert over(budget, spent) == words


def test_in_words():
    assert str(Spent()) == str(Spent(seconds=9.0)) == ""
    assert str(Spent(1, 1200, 0.5)) == "1 turn, 1,200 tokens, $0.50"
    assert str(Spent(2, 0, 0.004)) == "2 turns, $0.00"


def session(generation, money):
    return Session(generation, "a", End.CRASHED, 10.0 * generation, 1.0, "t", spent=Spent(money=money))


def test_a_task_whose_sessions_used_up_its_budget_is_parked_and_opened_it_has_a_new_one():
    task = Task("a", "a", "a", sessions=(session(1, 1.5), session(2, 1.0)))
    rules = Rules(attempts=9, budget=Budget(money=2.5))

    def parked(task):
        return dict(dispatch({"a": task}, {"a": Status.READY}, ("x",), "t", rules, 1e9).park)

    assert parked(task)["a"].startswith("its budget is used up: $2.50 of $2.50")
    assert parked(task.open()) == {} == parked(Task("a", "a", "a", sessions=(session(1, 2.4),)))


def test_what_is_nearly_used_up_is_told_in_words_that_stay():
    budget = Budget(turns=50, tokens=1_000_000, money=2.0, time=600.0)
    assert nearly(budget, Spent(39, 799_999, 1.59, 479.0)) == []
    assert nearly(budget, Spent(40, 800_000, 1.6, 480.0)) == ["50 turns", "1,000,000 tokens", "$2.00", "600 s"]
    assert nearly(budget, Spent(turns=49)) == ["50 turns"] == nearly(budget, Spent(turns=90))
    assert nearly(Budget(), Spent(99, 99, 99.0, 99.0)) == []
