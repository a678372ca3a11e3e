"""Names that are made from any text."""

from __future__ import annotations

import pytest

from agentctl.core import refnames
from agentctl.core.refnames import distinct, in_the_way, of_branch, of_person, split_submission, valid_name


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


FITS = (
    "state pause verdicts hints stage/7 inbox/ann/fix/1 outbox/ann/fix/1 tasks/fix claims/fix salvage/ann/1 salvage/ann/rest"
    " salvage/moved/3 salvage/_doctor/1 other other/x/y statement"
)
BLOCKS = (
    "stage inbox outbox tasks claims salvage inbox/ann inbox/ann/fix inbox/ann/fix/1/x outbox/ann salvage/ann stage/7/x"
    " tasks/fix/x claims/fix/x state/x pause/x/y verdicts/x hints/x"
)


def test_a_ref_that_has_a_place_is_in_nobodys_way():
    assert [name for name in FITS.split() if in_the_way(f"refs/agentctl/{name}")] == []
    assert not in_the_way("refs/heads/main") and not in_the_way("refs/agentctl-too")


def test_a_ref_in_the_place_of_a_folder_or_below_another_is_in_the_way():
    assert [name for name in BLOCKS.split() if not in_the_way(f"refs/agentctl/{name}")] == []
    assert in_the_way("refs/agentctl")
