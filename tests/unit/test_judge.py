"""What the planner takes for proof, and what it lands."""

from __future__ import annotations

import pytest

from agentctl.core.planner import Settings
from agentctl.core.planner.judge import AUDIT, accused, audit, explained, find_certificates, judge, land, on_trunk, reason_to_land
from agentctl.core.planner.memory import Evidence, FailedProbe, Landable, Memory, Segment, Tip
from agentctl.core.planner.planning import Planning
from agentctl.core.queue.model import Change, Land, View
from agentctl.core.text.json_form import replace


def passed(number: int, *names: str, base: str = "t0") -> Landable:
    return Landable(number, base, tuple(f"{name}/1" for name in names), 1, "why", f"s{number}")


def failed(number: int, *names: str, base: str = "t0", **more) -> FailedProbe:
    keys = [f"{name}/1" for name in names]
    return FailedProbe(number, base, tuple(keys), keys, **more)


def turn(names: str = "abc", agent: str = "ann", **memory) -> Planning:
    queued = tuple(Change(name, 1, f"h-{name}", agent, n, float(n)) for n, name in enumerate(names))
    return Planning(View("t0", queued), Settings(), Memory(**{"tips": [Tip("t0", None)], **memory}), 0.0)


def landed(at: Planning) -> list[int]:
    land(at)
    return [action.probe.number for action in at.actions if isinstance(action, Land)]


def test_of_what_may_land_the_longest_does_and_of_equals_the_first():
    assert landed(turn(passed=[passed(1, "a"), passed(2, "a", "b"), passed(3, "c")])) == [2]
    assert landed(turn(passed=[passed(4, "b"), passed(3, "a")])) == [3]


def test_what_has_a_member_that_left_does_not_land():
    assert landed(turn("a", passed=[passed(1, "a"), passed(2, "a", "b")])) == [1]
    assert landed(turn("", passed=[passed(1, "a")])) == []


def test_what_lands_is_remembered_with_its_agents():
    at = turn("ab", passed=[passed(2, "a", "b")])
    land(at)
    assert (at.mem.landing.base, at.mem.landing.chain, at.mem.landing.agents) == ("t0", ("a/1", "b/1"), ("ann", "ann"))
    assert at.mem.landing.staged == "s2"


def test_why_it_lands_counts_what_landed_before_and_what_waits():
    assert reason_to_land(passed(2, "a", "b"), ("a/1", "b/1"), ["a/1"]) == "probe 2 passed on trunk with 2 changes"
    assert reason_to_land(passed(2, "a", "b"), ("b/1",), ["b/1", "c/1"]) == (
        "probe 2 passed on trunk with 1 change more than the 1 that landed before; 1 green one left for the next"
    )


def test_no_proof_counts_against_what_is_about_to_land():
    proof = failed(1, "a")
    assert find_certificates(turn(failures=[proof])) == {"a/1": [proof]}
    assert find_certificates(turn(failures=[proof], passed=[passed(2, "a", "b")])) == {}
    assert find_certificates(turn(failures=[proof], passed=[passed(2, "a", base="elsewhere")])) == {"a/1": [proof]}
    assert find_certificates(turn("bc", failures=[proof])) == {}


def test_all_proofs_against_one_count():
    both = [failed(1, "a"), failed(2, "a")]
    assert find_certificates(turn(failures=both)) == {"a/1": both}


def test_the_last_of_a_chain_is_accused_if_the_others_landed_just_so():
    mem = Memory(tips=[Tip("t0", None), Tip("t1", ("a/1",)), Tip("t2", ("b/1", "c/1"))])
    assert accused(mem, failed(1, "b", "a"), "strict") is None
    assert accused(mem, failed(1, "a", "b", "d"), "strict") is None
    assert accused(mem, failed(1, "a", "b", "c", "d"), "strict") == "d/1"
    assert accused(mem, failed(1, "a", "d"), "strict") == "d/1"
    assert accused(mem, failed(1, "d", base="t2"), "strict") == "d/1"
    assert accused(mem, failed(1, "d", base="gone"), "strict") is None
    assert accused(mem, failed(1, "d", base="t2", doubted=True), "strict") is None


def test_by_inference_the_one_that_is_left_is_accused():
    failure = failed(1, "a", "b")
    failure.open = ["a/1"]
    assert accused(Memory(), failure, "inference") == "a/1"
    assert accused(Memory(), failure, "strict") is None
    assert accused(Memory(), failed(1, "a", "b"), "inference") is None
    assert accused(Memory(), failed(1, "a"), "inference") is None


@pytest.mark.parametrize(
    ("base", "names", "so"),
    [("t0", "", True), ("t0", "a", True), ("t0", "ab", False), ("t0", "abc", True), ("t1", "bc", True), ("t1", "a", False)],
)
def test_a_chain_is_on_trunk_if_just_that_landed(base, names, so):
    mem = Memory(tips=[Tip("t0", None), Tip("t1", ("a/1",)), Tip("t2", ("b/1", "c/1")), Tip("t3", None), Tip("t4", ("d/1",))])
    assert on_trunk(mem, base, tuple(f"{name}/1" for name in names)) is so
    assert not on_trunk(mem, "t2", ("d/1",))


def test_a_change_explains_what_it_suffered_alone_or_among_the_proven():
    lone, among, apart = failed(1, "a"), failed(2, "b", "a"), failed(3, "c", "a")
    at = turn(
        failures=[lone, among, apart],
        green=["b/1"],
        segments=[Segment(["a/1"], [Evidence(4, 0.5)]), Segment(["c/1"], [Evidence(5, 0.5)])],
    )
    flake = at.beliefs.flake
    assert explained(at, "a/1", []) == {4: 0.5, 1: flake, 2: flake}
    assert explained(at, "a/1", [failed(6, "x", "a")]) == {4: 0.5, 1: flake, 2: flake, 6: flake}


def lone(**memory) -> Planning:
    return turn("ab", segments=[Segment(["a/1"], [Evidence(1, 0.1)])], **memory)


def test_the_tenth_conviction_on_one_proof_is_audited():
    at, proof = lone(convictions=AUDIT - 2), failed(1, "a")
    assert not audit(at, "a/1", [proof]) and at.mem.audits == 0
    assert audit(at, "a/1", [proof])
    assert (at.mem.convictions, at.mem.audits, at.mem.audited, proof.weight) == (AUDIT, 1, ["a/1"], AUDIT)
    assert at.mem.audit_at == 2 * AUDIT


def test_audits_become_rare_while_no_flake_is_seen():
    due = {"convictions": AUDIT - 1, "audits": AUDIT - 1}
    for flakes, next_one in ((0, 3 * AUDIT), (1, 2 * AUDIT)):
        at = lone(**due, flakes=flakes)
        assert audit(at, "a/1", [failed(1, "a")]) and at.mem.audit_at == next_one


def test_who_is_audited_is_so_until_a_second_proof():
    at = lone(audited=["a/1"])
    assert audit(at, "a/1", [failed(1, "a")]) and not audit(at, "a/1", [failed(1, "a"), failed(2, "a")])
    assert not audit(lone(convictions=AUDIT), "a/1", [failed(1, "a"), failed(2, "a")]) and at.mem.convictions == 0


def test_only_who_can_be_asked_alone_is_audited():
    assert not audit(turn("ab", convictions=AUDIT, segments=[Segment(["a/1", "b/1"], [])]), "a/1", [failed(1, "a")])


def test_what_comes_after_a_rejected_change_is_green_no_more():
    failures = [failed(number, "a") for number in range(1, 9)]
    at = turn("ab", failures=failures, green=["b/1"], segments=[Segment(["a/1"], [Evidence(1, 0.0)])])
    at.queue["b/1"] = replace(at.queue["b/1"], after=("a",))
    judge(at)
    assert "a/1" not in at.queue and at.mem.rejected and at.mem.green == []
