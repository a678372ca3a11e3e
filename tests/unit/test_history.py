"""What is told of one submission, and what is read of a ledger of version 1."""

from __future__ import annotations

import json

import pytest

from agentctl.core.queue import events, ledger_format, ledger_format_v1
from agentctl.core.queue.events import Landing, Staged
from agentctl.core.queue.history import about
from agentctl.core.queue.ledger_format_v1 import Line, lines
from agentctl.core.queue.model import Change, Probe, Verdict
from agentctl.core.queue.records import (
    AgainstRules,
    AlreadyThere,
    Conflicts,
    DependencyFell,
    GateFailed,
    Landed,
    NotProper,
    NotTheirs,
    OurFault,
    Passed,
    Proof,
    Queued,
    Rejected,
    Superseded,
    Withdrawn,
    Work,
)

OID, TIP, TREE = "c" * 40, "7" * 40, "d" * 40
ONE = Change("one", 1, OID, "ann", 1, 5.0)


def staged(number: int, *keys: str) -> Staged:
    return Staged(Probe(number, TIP, keys, len(keys), "why not"), OID, TREE, tuple((key, OID) for key in keys), "gate")


def probed(run: Staged) -> events.Probed:
    return events.Probed(run.probe, Verdict.FAILED, TREE, "gate", why="no")


def told(*happened) -> list[str]:
    """Of one/1, a turn for each event."""
    return [line for _, line in about("one/1", [(float(n), [event]) for n, event in enumerate(happened)])]


def test_what_names_a_submission_is_told_of_it():
    for mine, other in (
        (events.Admitted(Queued(ONE, Work(TIP))), events.Admitted(Queued(Change("two", 1, OID, "ann", 1, 5.0), Work(TIP)))),
        (events.Bumped("one/1", 3), events.Bumped("one/2", 3)),
        (events.NotAdmitted("one/1", "bob", "no"), events.NotAdmitted("two/1", "bob", "no")),
        (events.Clash((("a/1", "one/1"),)), events.Clash((("a/1", "b/1"),))),
        (
            events.LandingBegun(Landing(TIP, staged(1, "a/1", "one/1"), Passed(TREE, "gate", 1.0, OID)), "it passed"),
            events.LandingBegun(Landing(TIP, staged(1, "a/1"), Passed(TREE, "gate", 1.0, OID)), "it passed"),
        ),
        (Withdrawn(change=ONE, at=1.0, by="ann"), Withdrawn(change=Change("two", 1, OID, "ann", 1, 5.0), at=1.0, by="ann")),
    ):
        assert len(told(mine)) == 1 and told(other) == []
    assert told(events.Begun(TIP), events.Resumed()) == []


def test_probes_of_it_are_followed_to_their_end():
    mine, other = staged(1, "one/1", "two/1"), staged(2, "two/1")
    story = [events.ProbeBegun(mine), events.ProbeBegun(other)]
    ends = [probed(other), events.Cancelled(2, "why"), events.Follows(2, TIP)]
    assert told(*story, *ends) == ["probe 1 of one/1, two/1: why not"]
    assert told(*story, probed(mine), events.Cancelled(1, "late"), events.Follows(1, TIP))[1:] == [
        "probe 1 failed: no",
        "cancel probe 1: late",
        f"probe 1 holds on {TIP[:12]} too: each gate passed on its paths",
    ]


def test_lines_of_version_1_are_followed_too():
    story = ["probe 1 of one/1, two/1: why", "probe 2 of two/1: why", "probe 1 failed", "probe 2 failed", "landed one/1 as 12"]
    assert told(*map(Line, story)) == [story[0], story[2], story[4]]


def test_the_time_of_a_turn_is_told_with_it():
    assert about("one/1", [(3.0, [events.Resumed()]), (4.0, [events.Bumped("one/1", 3)])]) == [(4.0, "bump one/1 to priority 3")]


def test_a_line_of_version_1_says_what_it_is_about():
    assert Line("admit one/1 from ann: does it").admitted == "one/1" and Line("landed one/1 as 12").admitted == ""
    assert Line("probe 12 of one/1: why").begun == 12 and Line("probe 12 passed").begun == 0
    for text in ("probe 12 passed", "cancel probe 12: why", "land 2 changes as 12ab: probe 12 passed"):
        assert Line(text).of_probe == 12
    assert Line("probe 12 of one/1: why").of_probe == 0 and Line("rejected one/1: probe 12").of_probe == 0
    assert Line("admit a").adopted is None
    assert Line(f"adopt {OID} for {TIP}: a person takes it").adopted == (OID, TIP, "")
    assert Line(f"adopt {OID}, moved by somebody else, by x").adopted == (OID, "", ", by x")


@pytest.mark.parametrize("text", ["admit ", "admit  ", "adopt ", "adopt --all", f"adopt {OID}0", "adopt \0 for "])
def test_a_line_of_version_1_that_does_not_say_what_it_is_about(text):
    assert (Line(text).admitted, Line(text).adopted, Line(text).unclear) == ("", None, True)
    assert not Line("admit a/1").unclear and not Line(f"adopt {OID}").unclear and not Line("x").unclear
    assert Line(f"probe {'1' * 5000} of a/1").begun == 0 == Line(f"probe {'1' * 5000} passed").of_probe


def test_a_message_of_version_1_has_a_line_for_each_event():
    assert [line.text for line in lines("begin at 12\n")] == ["begin at 12"]
    assert [line.text for line in lines("2 events\n\none\ntwo\n")] == ["one", "two"]


def old(stage: str, **more) -> bytes:
    change = {"id": "one", "revision": 1, "head": OID, "agent": "ann", "seq": 1, "admitted": 5.0}
    return json.dumps({"change": change, "base": TIP, "subject": "does it", "paths": ["a"], "stage": stage, **more}).encode()


WORK = Work(TIP, "does it", ("a",))
FACTS = {"change": ONE, "at": 9.0, "work": WORK}


def test_a_queued_record_of_version_1():
    assert ledger_format.decode_queued(old("queued")) == Queued(ONE, WORK)
    with pytest.raises(ValueError, match="it is landed"):
        ledger_format.decode_queued(old("landed"))
    with pytest.raises(ValueError, match="it is queued"):
        ledger_format.decode_ended(old("queued"))


def test_the_ends_of_version_1():
    proof = {"probe": 7, "old": TIP, "tip": OID, "tree": TREE, "gate": "gate", "at": 2.0, "commit": OID}
    assert ledger_format.decode_ended(old("landed", ended=9.0, commit=OID, evidence=proof)) == Landed(
        **FACTS, commit=OID, proof=Proof(7, TIP, OID, Passed(TREE, "gate", 2.0, OID))
    )
    for why, by in (("withdrawn by its author", "ann"), ("withdrawn by bob", "bob")):
        assert ledger_format.decode_ended(old("withdrawn", ended=9.0, why=why)) == Withdrawn(**FACTS, by=by)
    assert ledger_format.decode_ended(old("superseded", ended=9.0, why="newer", kept=False)) == Superseded(
        **FACTS, said="newer", kept=False
    )


@pytest.mark.parametrize(
    ("kind", "evidence", "reason"),
    [
        (
            "gate",
            {"probe": 7, "chain": ["one/1"], "gate": "gate", "failed": TREE, "passed": OID},
            GateFailed(7, ("one/1",), "gate", TREE, OID),
        ),
        ("conflict", {"trunk": TIP, "paths": ["a"]}, Conflicts(TIP, ("a",))),
        ("fault", {"error": "oh"}, OurFault("oh")),
        ("fault", {}, OurFault()),
        ("dependency", {}, DependencyFell("")),
        ("policy", {}, AgainstRules()),
        ("there", {}, AlreadyThere()),
        ("border", {}, NotProper()),
        ("refused", {}, NotTheirs()),
    ],
)
def test_the_reasons_of_version_1(kind, evidence, reason):
    found = ledger_format.decode_ended(old("rejected", ended=9.0, why="no", kind=kind, evidence=evidence))
    assert found == Rejected(**FACTS, said="no", reason=reason)


def test_another_reason_is_none():
    with pytest.raises(ValueError, match="rejected for 'whim'"):
        ledger_format.decode_ended(old("rejected", why="no", kind="whim"))


@pytest.mark.parametrize("decode", [ledger_format.decode_queued, ledger_format.decode_ended])
def test_a_name_that_is_none_is_refused_of_any_version(decode):
    stage = "queued" if decode is ledger_format.decode_queued else "withdrawn"
    for field in ("id", "agent"):
        record = json.loads(old(stage))
        record["change"][field] = "../x"
        with pytest.raises(ValueError, match="is not a valid name"):
            decode(json.dumps(record).encode())


def test_a_landing_under_way_is_read_in_the_form_of_today():
    assert ledger_format_v1.meta(b'{"landing": {"verdict": 1, "old": 2}}') == {"landing": {"passed": 1, "old": 2}}
    for none in (b"{}", b'{"landing": null}', b'{"landing": {}}', b"[]"):
        with pytest.raises(ValueError, match="no landing"):
            ledger_format_v1.meta(none)
    assert ledger_format_v1.is_meta(b'{"landing": {"verdict": 1}}') and not ledger_format_v1.is_meta(b'{"landing": null}')


def test_what_version_1_did_not_write_is_empty():
    bare = {"change": {"id": "one", "revision": 1, "head": OID, "agent": "ann", "seq": 1, "admitted": 5.0}, "base": TIP}
    landed = ledger_format.decode_ended(json.dumps({**bare, "stage": "landed", "commit": OID}).encode())
    assert landed == Landed(change=ONE, at=0.0, work=Work(TIP), commit=OID, proof=Proof(0, "", "", Passed("", "", 0.0, "")))
    rejected = ledger_format.decode_ended(json.dumps({**bare, "stage": "rejected", "kind": "gate"}).encode())
    assert rejected == Rejected(change=ONE, at=0.0, work=Work(TIP), said="", reason=GateFailed(0, (), "", "", ""))
