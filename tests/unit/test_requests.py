"""What an inbox ref may ask for, and in which order requests are heard."""

from __future__ import annotations

import json

import pytest

from agentctl.core.queue.model import BASELINE
from agentctl.core.queue.request import AFTER, REFUSAL, Bump, Request, Review, Submit, Unfit, Withdraw, dependencies_first, parse

REF, OID, HEAD = "refs/agentctl/inbox/ann/one/2", "a" * 40, "c" * 40


def asked(**said) -> Request | None:
    return parse(REF, OID, "tag", HEAD, "commit", json.dumps(said))


def submit(name: str, *after: str, revision: int = 1) -> Submit:
    return Submit("ref", OID, "ann", name, revision, HEAD, after=after)


def order(*requests: Request) -> str:
    return "".join(request.change for request in dependencies_first(requests))


def test_without_dependencies_the_order_stays():
    assert order(submit("b"), submit("a"), submit("c")) == "bac"


def test_what_a_change_comes_after_is_heard_before_it():
    assert order(submit("a", "b"), submit("b", "c"), submit("c"), submit("d")) == "cbad"
    assert order(submit("a", "b", "c"), submit("c"), submit("b")) == "cba"


def test_what_is_not_there_holds_up_nobody():
    assert order(submit("a", "gone"), submit("b")) == "ab"


def test_a_circle_is_no_trap():
    assert sorted(order(submit("a", "b"), submit("b", "a"), submit("c", "c"))) == ["a", "b", "c"]


def test_all_that_concerns_a_change_stays_together():
    both = submit("b"), Withdraw("ref", OID, "ann", "b", 2, HEAD)
    assert dependencies_first([submit("a", "b"), *both]) == [*both, submit("a", "b")]
    assert order(Bump("ref", OID, "ann", "b", 1, HEAD), submit("a")) == "ba"


@pytest.mark.parametrize(("key", "least", "most"), [("generation", 0, 2**53), ("priority", -1000, 1000)])
def test_numbers_have_bounds(key, least, most):
    for number in (least, most):
        found = asked(**{key: number})
        assert isinstance(found, Submit) and getattr(found, key) == number
    for number in (least - 1, most + 1):
        assert isinstance(asked(**{key: number}), Unfit)


def test_names_to_come_after_are_counted_and_kept_once():
    assert asked(after=["b", "a", "b"]).after == ("b", "a")
    assert isinstance(asked(after=["b"] * AFTER), Submit) and isinstance(asked(after=["b"] * (AFTER + 1)), Unfit)
    assert AFTER == 100


def test_what_is_left_out_is_not_asked_for():
    for bare in (asked(), parse(REF, OID, "commit", HEAD, "", "{"), parse(REF, OID, "tag", HEAD, "commit", "words")):
        assert bare == Submit(REF, OID, "ann", "one", 2, HEAD)
        assert (bare.task, bare.generation, bare.priority, bare.after, bare.mends) == (None, None, 0, (), False)
    assert (bare.key, bare.submits, bare.waits) == ("one/2", True, True)


def test_the_other_requests():
    assert asked(withdraw=True) == Withdraw(REF, OID, "ann", "one", 2, HEAD)
    assert asked(bump=True, priority=7) == Bump(REF, OID, "ann", "one", 2, HEAD, priority=7)
    assert asked(mends=True).mends and asked(bump=True, priority=0).priority == 0
    assert asked(approve=True) == Review(REF, OID, "ann", "one", 2, HEAD)
    assert asked(approve=True, task="look") == Review(REF, OID, "ann", "one", 2, HEAD, task="look")
    assert asked(refuse=" it\nleaks ") == Review(REF, OID, "ann", "one", 2, HEAD, refusal="it\nleaks")
    for request in (asked(withdraw=True), asked(bump=True, priority=7), asked(approve=True), asked(refuse="no")):
        assert not request.submits and not request.waits


NONSENSE = [
    {"withdraw": True, "bump": True},
    {"bump": True},
    {"task": "../x"},
    {"after": ["a/b"]},
    {"approve": False},
    {"approve": True, "refuse": "no"},
    {"approve": True, "withdraw": True},
    {"approve": 1},
    {"approve": None},
    {"refuse": True},
    {"refuse": None},
    {"refuse": "  "},
    {"refuse": "x" * (REFUSAL + 1)},
]


@pytest.mark.parametrize("said", NONSENSE)
def test_what_makes_no_sense_is_unfit_but_whole(said):
    found = asked(**said)
    assert isinstance(found, Unfit) and found.whole and found.waits and not found.submits


def test_what_is_no_commit_is_not_whole():
    for kind, target in (("blob", "commit"), ("", ""), ("tag", "tree"), ("tag", "")):
        found = parse(REF, OID, kind, HEAD, target, "{}")
        assert isinstance(found, Unfit) and not found.whole
    assert parse("refs/agentctl/inbox/ann/one/02", OID, "commit", HEAD, "", "") is None


def test_the_number_of_trunks_own_probe_is_in_every_ledger():
    assert BASELINE == 0
