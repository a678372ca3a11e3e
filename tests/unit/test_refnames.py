"""Names that are made from any text."""

from __future__ import annotations

import pytest

from agentctl.core import refnames
from agentctl.core.refnames import distinct, of_branch, of_person, split_submission, valid_name


def test_a_name_has_a_hundred_characters_at_most():
    assert valid_name("a" * 100) and not valid_name("a" * 101)
    assert distinct("a" * 100) == "a" * 100
    assert distinct("a" * 101).startswith("a" * 60 + "-") and len(distinct("a" * 101)) == 69


@pytest.mark.parametrize("name", ["", "a/b", "a..b", "a.", ".a", "-a", "_a", "a.lock", "a b", "a\n", "ä"])
def test_what_is_no_name(name):
    assert not valid_name(name)


def test_a_made_name_fits_its_limit_and_is_told_apart():
    assert len(distinct("x" * 50, limit=40)) == 40 and distinct("x" * 40, limit=40) == "x" * 40
    assert distinct("a/b") != distinct("a-b") and distinct("a/b").startswith("a-b-")
    assert distinct("") == "" and len(distinct("äöü")) == 8


def test_what_a_branch_and_a_person_are_called():
    assert of_branch("fix") == "fix" and of_branch("agent/ann").startswith("ann-")
    assert of_person("Ann B.") == of_person("ann b") == "ann-b"
    assert of_person("Änn") != of_person("nn") and of_person("x" * 41) != of_person("x" * 42)


def test_a_submission_is_split_strictly():
    assert split_submission(refnames.inbox("ann", "one", 12), refnames.INBOX) == ("ann", "one", 12)
    assert split_submission(refnames.outbox("ann", "one", 999_999_999), refnames.OUTBOX)[2] == 999_999_999
    for wrong in ("ann/one", "ann/one/0", "ann/one/01", "ann/one/x", "ann/one/²", "ann/one/1000000000", "a b/one/1", "ann/a b/1"):
        assert not refnames.is_submission(refnames.INBOX + wrong)
        with pytest.raises(ValueError):
            split_submission(refnames.INBOX + wrong, refnames.INBOX)
