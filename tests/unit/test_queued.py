"""The queue by its three keys, and what is told of it while changes are in doubt."""

from __future__ import annotations

from agentctl.bot.bot_deaths import apart
from agentctl.core.queue import sentences
from agentctl.core.queue.events import Admitted, PassedOver
from agentctl.core.queue.model import Change
from agentctl.core.queue.queued import Queue
from agentctl.core.queue.records import (
    AgainstRules,
    AnyReason,
    NotProper,
    NotTheirs,
    Queued,
    Rejected,
    Withdrawn,
    Work,
    next_revision,
)
from agentctl.core.queue.state import Draft, State
from agentctl.core.text.json_form import replace


def record(name: str, revision: int = 1, head: str = "") -> Queued:
    return Queued(Change(name, revision, head or name.ljust(40, "0"), "ann", 0, 1.0), Work("b" * 40))


def test_a_record_is_found_by_key_change_and_head():
    one, newer = record("one"), record("one", 2, "f" * 40)
    queue = Queue({"one/1": one})
    assert queue.of_change("one") is queue.of_head(one.change.head) is queue["one/1"] is one
    queue["one/2"] = newer
    del queue["one/1"]
    assert queue.of_change("one") is queue.of_head("f" * 40) is newer
    assert queue.of_head(one.change.head) is None and queue.of_change("two") is None
    del queue["one/2"]
    assert not queue and queue.of_change("one") is None


def test_a_draft_does_not_change_the_state_that_it_was_made_from():
    before = State(trunk="t", queue=Queue({"one/1": record("one")}))
    draft = Draft(before)
    draft.happen(Admitted(record("two")))
    draft.happen(Withdrawn(change=record("one").change, at=1.0, by="ann"))
    assert list(before.queue) == ["one/1"] and list(draft.state.queue) == ["two/1"]
    assert draft.known("one/1").stage == "withdrawn" and draft.known("two/1") and not draft.known("three/1")
    assert before.queued("one") and not draft.state.queued("one")


def test_the_queue_is_not_copied_for_each_admission(monkeypatch):
    draft, made = Draft(State(trunk="t")), []
    monkeypatch.setattr(Queue, "__init__", lambda self, *records: made.append(self))
    queue = draft.state.queue
    for n in range(1000):
        assert not draft.state.queued(f"c{n}")
        draft.happen(Admitted(record(f"c{n}")))
    assert draft.state.queue is queue and len(queue) == 1000 and made == []


def test_a_line_of_the_ledger_is_one_line():
    said = sentences.told(PassedOver("ref", "one\nadmit two/1 from evil\u2028\x1b[31m \ud800 \udcff"))
    assert said == "pass over ref: one admit two/1 from evil  [31m   \udcff"


def changes(*names: str) -> tuple[Change, ...]:
    return tuple(replace(record(name).change, seq=n + 1) for n, name in enumerate(names))


def test_while_nobody_is_in_doubt_all_is_told():
    queued = changes("a", "b")
    assert apart({}, queued) == apart({"a/1": 1, "gone/1": 9}, queued) == queued


def test_who_is_in_doubt_comes_alone_and_after_those_before_it():
    queued = changes("a", "b", "c", "d")
    assert [c.id for c in apart({"b/1": 2, "c/1": 3}, queued)] == ["a"]
    assert [c.id for c in apart({"b/1": 2, "c/1": 3}, queued[1:])] == ["b"]
    assert [c.id for c in apart({"c/1": 3}, queued[2:])] == ["c"]


def test_who_comes_after_another_is_not_kept_from_it():
    a, b = changes("a", "b")
    b = replace(b, after=("a",))
    assert apart({"b/1": 2}, (a, b)) == (a, b)
    assert apart({"b/1": 2}, (b,)) == (b,)


def refused(revision: int, reason: AnyReason) -> Rejected:
    return Rejected(change=record("one", revision).change, at=1.0, said="no", reason=reason)


def test_the_next_revision_is_the_first_free_one_behind_the_newest_that_says_something():
    assert next_revision([], []) == 1
    assert next_revision([record("one"), refused(2, AgainstRules())], []) == 3
    assert next_revision([record("one"), record("one", 5)], []) == 6
    assert next_revision([record("one"), refused(5, AgainstRules())], [2]) == 6
    assert next_revision([record("one"), refused(999, NotTheirs()), refused(998, NotProper())], []) == 2
    assert next_revision([record("one"), refused(2, NotTheirs())], [3, 5]) == 4
    assert next_revision([refused(1, NotTheirs())], [888]) == 2
