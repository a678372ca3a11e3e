"""The ledger's files: written and read again, as strictly as they were written."""

from __future__ import annotations

import pytest

from agentctl.core.queue import events, ledger_format
from agentctl.core.queue.events import Landing, Staged
from agentctl.core.queue.lifecycle import Stage
from agentctl.core.queue.model import Change, Probe, Verdict
from agentctl.core.queue.records import AgainstRules, Landed, Passed, Proof, Queued, Rejected, Superseded, Withdrawn, Work
from agentctl.core.queue.state import Draft, State, orphans
from agentctl.core.text import json_form

OID, TIP = "c" * 40, "7" * 40
PROOF = Proof(7, TIP, OID, Passed("d" * 40, "gate", 1.0, OID))


def queued(name: str, revision: int = 1, after: tuple[str, ...] = ()) -> Queued:
    head = name.encode().hex().ljust(40, "0")
    change = Change(name, revision, head=head, agent="ann", seq=0, admitted=5.0, after=after)
    return Queued(change, Work(base="b" * 40, subject="does " + name, paths=("a/b", "c")))


def admit(draft: Draft, *records: Queued) -> None:
    for record in records:
        draft.happen(events.Admitted(json_form.replace(record, change=json_form.replace(record.change, seq=draft.state.seq + 1))))


def end(draft: Draft, key: str, kind: type, **facts) -> object:
    record = draft.state.queue[key]
    ended = kind(change=record.change, at=9.0, work=record.work, **facts)
    draft.happen(ended)
    return ended


def written(draft: Draft, before: State, tree: dict[str, bytes]) -> dict[str, bytes]:
    """The files of the ledger after a draft, as Git would hold them."""
    tree = dict(tree)
    for path, data in ledger_format.output(draft, before).items():
        if data is None:
            del tree[path]
        else:
            tree[path] = data
            ledger_format.read_back(path, data)
    return tree


def begun() -> tuple[State, dict[str, bytes]]:
    draft = Draft(State())
    draft.happen(events.Begun(TIP))
    return draft.state, written(draft, State(), {})


def test_what_is_written_is_read_again():
    state, tree = begun()
    draft = Draft(state)
    admit(draft, queued("one"), queued("two", 3, after=("one",)))
    staged = Staged(
        Probe(7, TIP, ("one/1", "two/3"), 2, "why not"), OID, "d" * 40, (("one/1", "e" * 40), ("two/3", OID)), "gate", 1.5
    )
    draft.happen(events.ProbeBegun(staged))
    draft.happen(events.Probed(staged.probe, Verdict.FAILED, staged.tree, "gate"))
    draft.happen(events.LandingBegun(Landing(TIP, staged, PROOF.passed), "passed"))
    draft.remember(b'{"green":["one/1"]}\n')
    tree = written(draft, state, tree)
    assert ledger_format.decode(tree) == draft.state
    assert draft.state.failed == (staged,) and draft.state.probes == () and draft.state.next_probe == 8
    assert ledger_format.decode_events(tree[ledger_format.EVENTS]) == draft.events


def test_a_submission_is_queued_or_ended_never_both():
    state, tree = begun()
    draft = Draft(state)
    admit(draft, queued("one"))
    tree = written(draft, state, tree)
    assert [p for p in tree if p.startswith(("queue/", "done/"))] == [ledger_format.queue_path("one/1")]
    after = Draft(draft.state)
    ended = end(after, "one/1", Landed, commit=OID, proof=PROOF)
    tree = written(after, draft.state, tree)
    assert [p for p in tree if p.startswith(("queue/", "done/"))] == [ledger_format.done_path("one/1")]
    assert ledger_format.decode_ended(tree[ledger_format.done_path("one/1")]) == ended
    assert (ended.stage, ended.commit, ended.at) == (Stage.LANDED, OID, 9.0)


def test_an_ended_submission_cannot_end_again():
    draft = Draft(State(trunk=TIP))
    admit(draft, queued("one"))
    ended = end(draft, "one/1", Withdrawn, by="ann")
    for again in (ended, Rejected(change=ended.change, at=9.0, said="no", reason=AgainstRules())):
        with pytest.raises(KeyError):
            draft.happen(again)


def test_what_waits_cannot_land():
    one = queued("one")
    with pytest.raises(KeyError):
        Draft(State(trunk=TIP)).happen(Landed(change=one.change, at=1.0, commit=OID, proof=PROOF))


def test_order_of_admission_is_kept_by_number_not_by_name():
    state, tree = begun()
    draft = Draft(state)
    admit(draft, *(queued(name) for name in ("zebra", "mole", "ant")))
    read = ledger_format.decode(written(draft, state, tree))
    assert [r.change.id for r in read.queue.values()] == ["zebra", "mole", "ant"]
    assert [r.change.seq for r in read.queue.values()] == [1, 2, 3]


def test_what_does_not_merge_is_remembered_while_both_are_queued():
    state, tree = begun()
    draft = Draft(state)
    admit(draft, *(queued(name) for name in "abc"))
    draft.happen(events.Clash((("a/1", "b/1"), ("b/1", "c/1"))))
    tree = written(draft, state, tree)
    assert ledger_format.decode(tree).clashes == {("a/1", "b/1"), ("b/1", "c/1")}
    after = Draft(draft.state)
    end(after, "a/1", Withdrawn, by="ann")
    after.settle()
    assert ledger_format.decode(written(after, draft.state, tree)).clashes == {("b/1", "c/1")}


def test_a_tick_that_does_nothing_writes_nothing():
    state, _ = begun()
    assert ledger_format.output(Draft(state), state) == {}


def test_a_stack_falls_with_its_lowest():
    draft = Draft(State(trunk=TIP))
    admit(draft, queued("low"), queued("high", after=("low",)), queued("other"))
    gone = end(draft, "low/1", Rejected, said="no", reason=AgainstRules())
    assert [(key, r.key) for key, r in orphans(draft.state, [gone])] == [("high/1", "low/1")]
    draft = Draft(State(trunk=TIP))
    admit(draft, queued("low"), queued("high", after=("low",)))
    gone = end(draft, "low/1", Withdrawn, by="ann")
    assert [(key, r.key) for key, r in orphans(draft.state, [gone])] == [("high/1", "low/1")]


def test_a_stack_stays_when_its_lowest_is_replaced_by_a_newer_revision():
    draft = Draft(State(trunk=TIP))
    admit(draft, queued("low"), queued("high", after=("low",)))
    gone = end(draft, "low/1", Superseded, said="replaced by low/2")
    admit(draft, queued("low", 2))
    assert orphans(draft.state, [gone]) == []


def test_a_ledger_of_another_version_is_refused():
    _, tree = begun()
    with pytest.raises(ValueError, match="format 3"):
        ledger_format.decode({**tree, ledger_format.FORMAT: b"3\n"})


def test_a_record_of_a_name_that_is_none_is_refused():
    record = queued("one")
    for wrong in (json_form.replace(record.change, id="../x"), json_form.replace(record.change, agent="a/b")):
        with pytest.raises(ValueError, match="is not a valid name"):
            ledger_format.decode_queued(json_form.dump(json_form.replace(record, change=wrong)))


def test_a_message_tells_each_event_on_a_line():
    draft = Draft(State())
    draft.happen(events.PassedOver("one", "thing"))
    assert ledger_format.message(draft) == "pass over one: thing\n"
    draft.happen(events.Resumed())
    assert ledger_format.message(draft).splitlines() == ["2 events", "", "pass over one: thing", "the queue is resumed"]


def test_a_message_is_short_whatever_happened():
    draft = Draft(State())
    for n in range(5000):
        draft.happen(events.PassedOver(str(n), "thing"))
    assert len(ledger_format.message(draft).splitlines()) == ledger_format.LINES + 3
    assert ledger_format.message(draft).endswith("and 4900 more\n")


def test_what_an_event_leaves_out_means_what_it_did_when_it_was_written():
    """A ledger holds no defaults: another one would give its history another meaning."""
    chain = {"number": 7, "base": TIP, "chain": ["one/1"], "suspects": 1, "reason": "?"}
    staged = {"probe": chain, "commit": OID, "tree": OID, "landing": [], "gate": "g"}
    written = [
        {"kind": "started", "staged": staged},
        {"kind": "probed", "probe": chain, "verdict": "failed", "tree": OID, "gate": "g"},
        {"kind": "adopted", "old": OID, "new": TIP},
        {"kind": "cut off", "probes": [7]},
        {"kind": "replanned", "why": "asked"},
    ]
    begun, probed, adopted, cut, anew = ledger_format.decode_events(json_form.dump(written))
    assert (begun.staged.started, begun.staged.probe.again) == (0.0, False)
    assert (probed.seconds, probed.step, probed.why, probed.known) == (0.0, "", "", False)
    assert (adopted.who, adopted.kept, cut.died, anew.failures) == ("", None, False, False)


def test_what_a_record_leaves_out_means_what_it_did_when_it_was_written():
    change = {"id": "one", "revision": 1, "head": OID, "agent": "ann", "seq": 1, "admitted": 5.0}
    read = ledger_format.decode_queued(json_form.dump({"change": change, "work": {"base": OID}}))
    assert (read.change.task, read.change.priority, read.change.after) == (None, 0, ())
    assert (read.change.gates, read.change.mends, read.work.subject, read.work.paths) == (None, False, "", ())
    reason = {"kind": "border"}
    ended = ledger_format.decode_ended(
        json_form.dump({"kind": "rejected", "change": change, "at": 9.0, "said": "no", "reason": reason})
    )
    assert (ended.work, ended.kept, ended.found) == (None, True, True)


def test_a_file_that_would_not_be_read_as_it_was_written_is_an_error():
    state, tree = begun()
    draft = Draft(state)
    admit(draft, queued("one"), queued("two"))
    tree = written(draft, state, tree)
    later = Draft(draft.state)
    end(later, "two/1", Withdrawn, by="ann")
    tree = written(later, draft.state, tree)
    checked = {ledger_format.queue_path("one/1"), ledger_format.done_path("two/1"), *ledger_format.KINDS}
    for path, data in tree.items():
        if path in checked:
            with pytest.raises(ValueError, match="is not read as it was written"):
                ledger_format.read_back(path, b" " + data)
        else:
            ledger_format.read_back(path, b" " + data)
    assert checked <= tree.keys()
