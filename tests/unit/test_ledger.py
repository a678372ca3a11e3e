from __future__ import annotations

import json
from dataclasses import replace

import pytest

from agentctl.core import ledger
from agentctl.core.ledger import Draft, Landing, Record, Staged, State, orphans
from agentctl.core.lifecycle import Event, Stage
from agentctl.core.model import Change, Probe


def record(name: str, revision: int = 1, after: tuple[str, ...] = ()) -> Record:
    change = Change(name, revision, head=name.ljust(40, "0"), agent="ann", seq=0, admitted=5.0, after=after)
    return Record(change, base="b" * 40, subject="does " + name, paths=("a/b", "c"))


def test_a_record_from_before_there_were_lanes_is_read() -> None:
    new = replace(record("a"), change=replace(record("a").change, gates=("slow", "fast")))
    assert ledger.decode_record(ledger.encode_record(new)) == new
    old = json.loads(ledger.encode_record(record("a")))
    del old["change"]["gates"]
    assert ledger.decode_record(json.dumps(old).encode()) == record("a")


def written(draft: Draft, before: State, tree: dict[str, bytes]) -> dict[str, bytes]:
    """The files of the ledger after a draft, as Git would hold them."""
    tree = dict(tree)
    for path, data in draft.output(before).items():
        if data is None:
            del tree[path]
        else:
            tree[path] = data
    return tree


def begun() -> tuple[State, dict[str, bytes]]:
    draft = Draft(State())
    draft.set(trunk="t" * 40)
    return draft.state, written(draft, State(), {})


def test_what_is_written_is_read_again():
    state, tree = begun()
    draft = Draft(state)
    draft.admit(record("one"))
    draft.admit(record("two", 3, after=("one",)))
    staged = Staged(Probe(7, "t" * 40, ("one/1", "two/3"), 2, "why not"), "c" * 40, "d" * 40,
                    (("one/1", "e" * 40), ("two/3", "c" * 40)), "gate", 1.5)
    draft.set(probes=(staged,), failed=(staged,), memory={"green": ["one/1"]}, next_probe=8,
              landing=Landing("t" * 40, staged, {"tree": "d" * 40}))
    assert ledger.decode(written(draft, state, tree)) == draft.state


def test_a_submission_is_queued_or_ended_never_both():
    state, tree = begun()
    draft = Draft(state)
    draft.admit(record("one"))
    tree = written(draft, state, tree)
    assert [p for p in tree if p.startswith(("queue/", "done/"))] == [ledger.queue_path("one/1")]
    after = Draft(draft.state)
    after.end("one/1", Event.LAND, 9.0, commit="c" * 40)
    tree = written(after, draft.state, tree)
    assert [p for p in tree if p.startswith(("queue/", "done/"))] == [ledger.done_path("one/1")]
    ended = ledger.decode_record(tree[ledger.done_path("one/1")])
    assert (ended.stage, ended.commit, ended.ended) == (Stage.LANDED, "c" * 40, 9.0)


def test_an_ended_submission_cannot_end_again():
    draft = Draft(State(trunk="t"))
    draft.admit(record("one"))
    draft.end("one/1", Event.WITHDRAW, 1.0)
    with pytest.raises(KeyError):
        draft.end("one/1", Event.LAND, 2.0)


def test_order_of_admission_is_kept_by_number_not_by_name():
    state, tree = begun()
    draft = Draft(state)
    for name in ("zebra", "mole", "ant"):
        draft.admit(record(name))
    read = ledger.decode(written(draft, state, tree))
    assert [r.change.id for r in read.queue.values()] == ["zebra", "mole", "ant"]
    assert [r.change.seq for r in read.queue.values()] == [1, 2, 3]


def test_a_tick_that_does_nothing_writes_nothing():
    state, _ = begun()
    assert Draft(state).output(state) == {}


def test_a_stack_falls_with_its_lowest():
    draft = Draft(State(trunk="t"))
    draft.admit(record("low"))
    draft.admit(record("high", after=("low",)))
    draft.admit(record("other"))
    gone = draft.end("low/1", Event.REJECT, 1.0)
    assert [(key, r.key) for key, r in orphans(draft.state, [gone])] == [("high/1", "low/1")]


def test_a_stack_stays_when_its_lowest_is_replaced_by_a_newer_revision():
    draft = Draft(State(trunk="t"))
    draft.admit(record("low"))
    draft.admit(record("high", after=("low",)))
    gone = draft.end("low/1", Event.SUPERSEDE, 1.0)
    draft.admit(record("low", 2))
    assert orphans(draft.state, [gone]) == []


def test_a_ledger_of_another_version_is_refused():
    _, tree = begun()
    with pytest.raises(ValueError, match="format 2"):
        ledger.decode({**tree, ledger.FORMAT: b"2\n"})


def test_message_tells_each_event_on_a_line():
    draft = Draft(State())
    draft.say("one thing")
    assert draft.message() == "one thing\n"
    draft.say("another")
    assert draft.message().splitlines() == ["2 events", "", "one thing", "another"]


def test_seq_is_given_at_admission():
    draft = Draft(State(seq=41))
    draft.admit(replace(record("one")))
    assert draft.state.queue["one/1"].change.seq == 42
