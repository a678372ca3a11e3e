"""What is said of each event and notice, and how a record is shown."""

from __future__ import annotations

import pytest

from agentctl.core import notices
from agentctl.core.queue import events, sentences
from agentctl.core.queue.events import Landing, Staged
from agentctl.core.queue.ledger_format_v1 import Line
from agentctl.core.queue.model import Change, Probe, Verdict
from agentctl.core.queue.records import (
    AgainstRules,
    Approval,
    Landed,
    Passed,
    Proof,
    Queued,
    Rejected,
    Superseded,
    Withdrawn,
    Work,
    outline,
    reason_kind,
)
from agentctl.core.tasks.ending import End
from agentctl.core.tasks.task import Session

OID, TIP, TREE = "c" * 40, "7" * 40, "d" * 40
ONE = Change("one", 1, OID, "ann", 1, 5.0)
WORK = Work(TIP, "does it", ("a",))
PASSED = Passed(TREE, "gate", 1.0, OID)
PROBE = Probe(7, TIP, ("one/1", "two/1"), 1, "why not")
STAGED = Staged(PROBE, OID, TREE, (("one/1", OID),), "gate")
LANDED = Landed(change=ONE, at=9.0, work=WORK, commit=OID, proof=Proof(7, TIP, OID, PASSED))
REJECTED = Rejected(change=ONE, at=9.0, said="no", reason=AgainstRules(("r",)))
BASELINE = Staged(Probe(0, TIP, (), 0, "trunk is new"), TIP, TREE, (), "gate")

SAID = [
    (Line("as it was"), "as it was"),
    (LANDED, f"landed one/1 as {OID[:12]}"),
    (REJECTED, "rejected one/1: no"),
    (Withdrawn(change=ONE, at=9.0, by="ann"), "withdrawn one/1: withdrawn in the name of ann"),
    (Withdrawn(change=ONE, at=9.0, by="bob"), "withdrawn one/1: withdrawn by bob"),
    (Superseded(change=ONE, at=9.0, said="newer"), "superseded one/1: newer"),
    (events.Admitted(Queued(ONE, WORK)), "admit one/1 from ann: does it"),
    (events.Bumped("one/1", 3), "bump one/1 to priority 3"),
    (events.Approved("one/1", OID, Approval("tess", 9.0)), "tess approves one/1"),
    (events.NotAdmitted("one/1", "bob", "no"), "refuse one/1 of bob: no"),
    (events.PassedOver("ref", "no"), "pass over ref: no"),
    (events.ProbeBegun(STAGED), "probe 7 of one/1, two/1: why not"),
    (events.ProbeBegun(BASELINE), "probe 0 of trunk itself: trunk is new"),
    (events.Probed(PROBE, Verdict.PASSED, TREE, "gate"), "probe 7 passed"),
    (events.Probed(PROBE, Verdict.FAILED, TREE, "gate", why="no"), "probe 7 failed: no"),
    (events.Cancelled(7, "late"), "cancel probe 7: late"),
    (events.Follows(7, TIP), f"probe 7 holds on {TIP[:12]} too: each gate passed on its paths"),
    (events.Clash((("a/1", "b/1"), ("c/1", "d/1"))),)
    + ("a/1 does not merge with b/1: one of them lands first; c/1 does not merge with d/1: one of them lands first",),
    (events.CutOff((7, 8)), "2 probes cut off"),
    (events.Replanned("asked"), "asked; planning begins anew"),
    (events.LandingBegun(Landing(TIP, STAGED, PASSED), "passed"), f"land 1 change as {OID}: passed"),
    (events.LandingDropped("moved"), "moved; what was about to land is tested anew"),
    (events.Begun(TIP), f"begin at {TIP}"),
    (events.Adopted(TIP, OID, ", by x"), f"trunk was moved from {TIP[:12]} to {OID[:12]} by somebody else, by x"),
    (events.Adopted(TIP, OID, kept="ref"), f"adopt {OID} for {TIP}: a person takes it for trunk; what it was is kept as ref"),
    (events.Adopted(TIP, OID, kept=""), f"adopt {OID} for {TIP}: a person takes it for trunk; what it was is kept as nothing"),
    (events.Moved(TIP, OID, "it moved", "ref", "a or b"), f"it moved; nothing lands until: a or b; {TIP[:12]} is kept as ref"),
    (events.PutBack("ref", None, TIP, "it was gone"), "it was gone; it is put back"),
    (events.Paused("paused", "nothing lands"), "the queue is paused; nothing lands"),
    (events.Resumed(), "the queue is resumed"),
    (events.Arrived(TIP), ""),
    (events.Regated("one/1", None), ""),
    (events.TrunkFailed(BASELINE, 1), ""),
    (events.Forgotten((TIP,)), ""),
]


@pytest.mark.parametrize(("event", "said"), SAID, ids=lambda one: "" if isinstance(one, str) else type(one).__name__)
def test_each_event_has_its_words(event, said):
    assert sentences.told(event) == said
    assert isinstance(event, Line) or notices.told(event) == said


def session(note: str = "") -> Session:
    return Session(1, "ann", End.CRASHED, 9.0, 1.0, TIP, note=note)


@pytest.mark.parametrize(
    ("notice", "said"),
    [
        (notices.SessionBegun("fix", "ann"), "ann works on fix"),
        (notices.SessionEnded("fix", session()), "ann on fix: crashed"),
        (notices.SessionEnded("fix", session("status 1")), "ann on fix: crashed, status 1"),
        (notices.Trouble("fix", "ann", "no room"), "ann on fix: no room"),
        (notices.Parked("fix", "too hard"), "parked fix: too hard"),
        (notices.TakenIn("fix"), "fix is on the list now"),
        (notices.LeftAlone(1), "1 other task is open: agentctl run without a list works on them too"),
        (notices.LeftAlone(2), "2 other tasks are open: agentctl run without a list works on them too"),
        (notices.Scaled(1, 4), "1 agent instead of 4"),
        (notices.Odd("ref", "it is odd"), "it is odd"),
        (notices.TrunkRed("it is red"), "it is red"),
        (notices.Braked("it rests\nnow", 9.0), "it rests now"),
        (notices.Released("it goes on", 9.0, 2), "it goes on"),
    ],
)
def test_each_notice_has_its_words(notice, said):
    assert notices.told(notice) == said


def test_who_cannot_follow_trunk_is_told_how():
    assert notices.told(notices.Behind("/w")).startswith("local changes keep the checkout /w from following trunk")


def test_a_record_is_shown_with_all_that_is_known():
    shown = outline(LANDED)
    assert (shown["key"], shown["change"]["key"], shown["base"], shown["subject"]) == ("one/1", "one/1", TIP, "does it")
    assert (shown["stage"], shown["ended"], shown["commit"], shown["kind"], shown["why"]) == ("landed", 9.0, OID, "", "")
    evidence = {"tree": TREE, "gate": "gate", "at": 1.0, "commit": OID, "probe": 7, "old": TIP, "tip": OID}
    assert shown["evidence"] == evidence and shown["kept"] is True and shown["approvals"] == []
    shown = outline(Queued(ONE, WORK, (Approval("tess", 9.0, person=True),)))
    assert shown["approvals"] == [{"by": "tess", "at": 9.0, "person": True, "role": ""}]


def test_what_is_queued_is_shown_in_the_same_form():
    shown = outline(Queued(ONE, WORK))
    assert shown.keys() == outline(LANDED).keys() and shown["paths"] == ["a"]
    assert [shown[key] for key in ("stage", "ended", "commit", "kind", "why", "evidence", "kept")] == [
        "queued", 0.0, "", "", "", {}, True,
    ]  # fmt: skip


def test_a_rejection_is_shown_with_its_reason_and_what_was_never_admitted_with_its_head():
    shown = outline(REJECTED)
    assert (shown["base"], shown["subject"], shown["why"], shown["kind"]) == (OID, "", "no", "policy")
    assert shown["evidence"] == {"rules": ["r"], "protected": False} and shown["commit"] == ""
    assert (REJECTED.base, REJECTED.subject, LANDED.base, LANDED.subject, LANDED.why) == (OID, "", TIP, "does it", "")
    assert reason_kind(REJECTED) == "policy" and reason_kind(LANDED) == ""
