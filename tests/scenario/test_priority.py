"""Who waits for whom: priorities and dependencies together."""

import pytest

from agentctl.core import refnames
from agentctl.hub import inbox
from tests.support.hub import policy

ONE_BY_ONE = {".agentctl/policy.yaml": policy(slots=1).replace("queue:\n", "queue:\n  batch: 1\n")}


@pytest.mark.parametrize("low", ["low", "zz-low"])
def test_an_urgent_change_does_not_wait_for_what_lies_between_it_and_what_it_comes_after(make_repo, low):
    # Whatever the names are: a bot that sees all of them at once admits what others come after first.
    repo = make_repo(files=ONE_BY_ONE)
    for n in range(4):
        repo.submit(f"m{n}", {f"m{n}.txt": "m\n"}, priority=5)
    repo.submit(low, {"low.txt": "l\n"}, priority=-10)
    repo.submit("hi", {"hi.txt": "h\n"}, priority=100, after=[low])
    repo.drain()
    assert repo.landings()[:2] == [f"{low}/1", "hi/1"]
    repo.proven()


def test_a_stack_lends_its_priority_downwards(make_repo):
    repo = make_repo(files=ONE_BY_ONE)
    for n in range(3):
        repo.submit(f"m{n}", {f"m{n}.txt": "m\n"}, priority=5)
    lower = repo.change({"lower.txt": "lower\n"}, "lower")
    middle = repo.change({"middle.txt": "middle\n"}, "middle", lower)
    upper = repo.change({"upper.txt": "upper\n"}, "upper", middle)
    repo.hand_in("s1-lower", lower)
    repo.hand_in("s2-middle", middle)
    repo.hand_in("s3-upper", upper, priority=100)
    repo.drain()
    assert repo.landings()[:3] == ["s1-lower/1", "s2-middle/1", "s3-upper/1"]
    repo.proven()


def test_a_circle_in_the_inbox_is_admitted_and_its_end_is_in_the_ledger(repo):
    repo.submit("a", {"a.txt": "a\n"}, after=["b"])
    repo.submit("b", {"b.txt": "b\n"}, after=["a"])
    order = inbox.requests(repo.hub.refs.read([refnames.INBOX]))
    assert sorted(r.change for r in order) == ["a", "b"]
    repo.drain()
    assert repo.stages() == {"a/1": "landed", "b/1": "landed"}
