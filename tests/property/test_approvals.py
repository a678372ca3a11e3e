"""Whatever the rules are and whoever approves, an approval only ever helps, and nobody's own does."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from agentctl.core.policy.policy import ApprovalRule
from agentctl.core.queue.approvals import asked, counts, lacking
from agentctl.core.queue.records import Approval

names = st.sampled_from(["ann", "tess", "rob", "agent-1", "agent-2"])
approvals = st.lists(st.builds(Approval, names, st.just(1.0), st.booleans(), st.sampled_from(["", "reviewer"])), max_size=8)
rules = st.lists(
    st.builds(
        ApprovalRule,
        st.lists(st.sampled_from(["a", "b/**", "**"]), min_size=1, max_size=2).map(tuple),
        st.sampled_from(["anybody", "person", "reviewer"]),
        st.integers(1, 3),
    ),
    max_size=4,
)
paths = st.lists(st.sampled_from(["a", "b/c", "d"]), max_size=3)


@settings(max_examples=300, deadline=None, database=None)
@given(rules, paths, names, approvals, approvals)
def test_more_approvals_never_take_one_away_and_the_authors_own_never_adds_one(rules, paths, author, some, more):
    wanted = asked(rules, paths)
    assert {one.rule for one in wanted} <= set(rules) and all(set(one.paths) <= set(paths) for one in wanted)
    before, after = (lacking(wanted, author, given) for given in (some, some + more))
    assert {lack.rule for lack in after} <= {lack.rule for lack in before}
    assert lacking(wanted, author, [a for a in some if a.by != author]) == before
    for lack in before:
        assert 0 < lack.missing <= lack.rule.count and len(set(lack.given)) == len(lack.given)
        assert all(any(counts(lack.rule, a, author) and a.by == name for a in some) for name in lack.given)
