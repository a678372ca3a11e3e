"""Which approvals a change lacks, and which of them count."""

from __future__ import annotations

import pytest

from agentctl.core.policy.policy import ApprovalRule
from agentctl.core.queue.approvals import ENOUGH, asked, counts, is_kept, lacking, needed, whole
from agentctl.core.queue.records import Approval

TESS, ROB = Approval("tess", 1.0, person=True), Approval("rob", 1.0, person=True)
REVIEWER, CODER = Approval("agent-1", 1.0, role="reviewer"), Approval("agent-2", 1.0, role="coder")
ANY, PERSON, ROLE = (ApprovalRule(("src/**",), by) for by in ("anybody", "person", "reviewer"))


def who_lacks(rules, *approvals, paths=("src/a.py",), author="ann"):
    """The rules that are not satisfied, by whom they ask for."""
    return [lack.rule.by for lack in lacking(asked(rules, paths), author, approvals)]


def test_a_rule_asks_of_changes_that_touch_its_paths():
    assert who_lacks([ANY], paths=["docs/a", "src/a.py"]) == ["anybody"]
    assert who_lacks([ANY], paths=["docs/a"]) == [] == who_lacks([])
    assert asked([ANY], ["src/b", "docs/a", "src/a", "src/b"])[0].paths == ("src/b", "src/a")


@pytest.mark.parametrize("path", ["SRC/a", "src", "s\u200crc/x"])
def test_no_other_spelling_of_a_path_gets_round_a_rule(path):
    # A file in the place of the directory would take all that is below it away.
    assert who_lacks([ANY], paths=[path]) == ["anybody"]


def test_each_rule_counts_those_whom_it_allows():
    rules = [ANY, PERSON, ROLE]
    assert who_lacks(rules) == ["anybody", "person", "reviewer"]
    assert who_lacks(rules, CODER) == ["person", "reviewer"]
    assert who_lacks(rules, REVIEWER) == ["person"]
    assert who_lacks(rules, TESS) == ["reviewer"]
    assert who_lacks(rules, TESS, REVIEWER) == []


def test_nobody_approves_what_he_has_submitted():
    assert who_lacks([PERSON], TESS, author="tess") == ["person"]
    assert not counts(ANY, TESS, "tess") and counts(ANY, TESS, "ann")


def test_as_many_approvers_as_a_rule_says_and_each_of_them_once():
    two = ApprovalRule(("src/**",), "person", 2)
    [lack] = lacking(asked([two], ["src/a"]), "ann", [TESS, TESS, CODER])
    assert (lack.given, lack.missing) == (("tess",), 1)
    assert who_lacks([two], TESS, ROB) == []


def test_what_is_needed_is_told():
    rules = [ApprovalRule(("**",), "anybody", 3), ApprovalRule(("src/**",), "person"), ApprovalRule(("a*",), "reviewer")]
    found = lacking(asked(rules, ["a\n", "b", "src/c", "d", "e"]), "ann", [CODER])
    assert [needed(lack, "ann") for lack in found] == [
        "2 approvals by anybody but ann for a\\n, b, src/c and 2 more (agent-2 has approved)",
        "1 approval by a person for src/c",
        "1 approval by an agent of the role reviewer for a\\n",
    ]
    assert whole(found[1:], "ann") == f"{needed(found[1], 'ann')}, and {needed(found[2], 'ann')}"


def test_a_flood_of_approvals_is_not_kept_and_keeps_none_out_that_counts():
    crowd = [Approval(f"evil-{n}", 1.0) for n in range(ENOUGH)]
    wanted = asked([ANY, PERSON], ["src/a"])
    assert is_kept(wanted, "ann", crowd[1:], crowd[0])
    assert not is_kept(wanted, "ann", crowd, Approval("evil", 1.0)) and is_kept(wanted, "ann", crowd, TESS)
    assert not is_kept(wanted, "ann", [*crowd, TESS], ROB)
