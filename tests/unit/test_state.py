"""What each event makes of the queue's state."""

from __future__ import annotations

import pytest

from agentctl.core.queue import events
from agentctl.core.queue.events import Landing, Staged
from agentctl.core.queue.model import BASELINE, Change, Probe, Verdict
from agentctl.core.queue.queued import Queue
from agentctl.core.queue.records import AgainstRules, Approval, NotTheirs, Passed, Queued, Rejected, Superseded, Withdrawn, Work
from agentctl.core.queue.state import Draft, State, orphans
from agentctl.core.text.json_form import replace

OID, TIP, NEXT = "c" * 40, "7" * 40, "8" * 40


def record(name: str, revision: int = 1, after: tuple[str, ...] = ()) -> Queued:
    return Queued(Change(name, revision, f"h-{name}-{revision}", "ann", 0, 1.0, after=after), Work("b" * 40))


def state(*records: Queued, **more) -> State:
    return State(**{"trunk": TIP, "queue": {r.key: r for r in records}, **more})


def staged(number: int, *keys: str, asked: int | None = None, base: str = TIP, commit: str = OID, gate: str = "gate") -> Staged:
    return Staged(Probe(number, base, keys, len(keys) if asked is None else asked, "?"), commit, "d" * 40, (), gate)


def after(before: State, *happened) -> State:
    draft = Draft(before)
    for event in happened:
        draft.happen(event)
    return draft.state


def probed(run: Staged, verdict: Verdict) -> events.Probed:
    return events.Probed(run.probe, verdict, run.tree, run.gate)


def gone(kind: type, of: Queued, **facts):
    return kind(change=of.change, at=9.0, **facts)


LOW, HIGH, OTHER = record("low"), record("high", after=("low",)), record("other")
REJECTED = gone(Rejected, LOW, said="no", reason=AgainstRules())
WITHDRAWN = gone(Withdrawn, LOW, by="ann")


@pytest.mark.parametrize("ended", [REJECTED, WITHDRAWN])
def test_what_comes_after_a_fallen_one_is_an_orphan(ended):
    assert orphans(state(HIGH, OTHER), [ended]) == [("high/1", ended)]


def test_nobody_is_an_orphan_while_another_revision_is_queued():
    assert orphans(state(record("low", 2), HIGH), [REJECTED, WITHDRAWN]) == []


def test_nobody_is_an_orphan_of_what_was_replaced():
    assert orphans(state(HIGH), [gone(Superseded, LOW, said="replaced")]) == []


def test_the_planner_sees_what_comes_after_what_is_queued_still():
    both = record("both", after=("gone", "low"))
    assert [c.after for c in state(LOW, both, HIGH).changes] == [(), ("low",), ("low",)]
    assert [c.after for c in state(HIGH).changes] == [()]


def test_a_new_state_has_a_queue_that_finds_changes():
    queue = Queue({"low/1": LOW})
    assert State(queue=queue).queue is queue and State().next_probe == 1 and State().seq == 0
    assert state(LOW).queued("low") is LOW and state(LOW).queued("high") is None


def test_trunk_is_where_it_was_begun_adopted_or_brought():
    assert after(State(), events.Begun(TIP)).trunk == TIP
    assert after(state(), events.Adopted(TIP, NEXT)).trunk == NEXT
    landing = Landing(TIP, staged(1, "low/1"), Passed(OID, "gate", 1.0, OID))
    under_way = after(state(), events.LandingBegun(landing, "why"))
    assert (under_way.trunk, under_way.landing) == (TIP, landing)
    arrived = after(under_way, events.Arrived(NEXT))
    assert (arrived.trunk, arrived.landing) == (NEXT, None)
    assert after(under_way, events.LandingDropped("why")).landing is None


def test_what_is_amended_is_touched_and_keeps_its_place():
    draft = Draft(state(LOW, OTHER))
    draft.happen(events.Bumped("low/1", 7))
    draft.happen(events.Regated("low/1", ("fast",)))
    assert list(draft.state.queue) == ["low/1", "other/1"] and draft.touched == {"low/1"}
    assert (draft.state.queue["low/1"].change.priority, draft.state.queue["low/1"].change.gates) == (7, ("fast",))


def test_what_is_admitted_is_held_and_found_by_its_head():
    draft = Draft(state())
    draft.happen(events.Admitted(LOW))
    assert (draft.heads, draft.found, draft.touched) == (["h-low-1"], {"h-low-1": "low/1"}, {"low/1"})
    assert draft.known("low/1") is LOW


def test_a_number_is_never_given_to_two_probes():
    begun = after(state(), events.ProbeBegun(staged(7)))
    assert begun.next_probe == 8
    assert after(begun, events.ProbeBegun(staged(3))).next_probe == 8


def test_a_probe_runs_until_its_verdict_and_is_kept_if_it_failed():
    one, two = staged(1, "low/1"), staged(2, "other/1")
    running = after(state(LOW, OTHER), events.ProbeBegun(one), events.ProbeBegun(two))
    assert running.probes == (one, two)
    for verdict in Verdict:
        ended = after(running, probed(one, verdict))
        assert ended.probes == (two,) and ended.failed == ((one,) if verdict == Verdict.FAILED else ())


def test_a_failure_of_trunk_itself_is_kept_by_an_event_of_its_own():
    run = staged(BASELINE, commit=TIP)
    running = after(state(), events.ProbeBegun(run))
    assert after(running, probed(run, Verdict.FAILED)).failed == ()
    assert after(running, events.TrunkFailed(run, 1)).failed == (run,)


def test_what_is_cut_off_runs_no_more_and_counts_if_the_bot_died():
    running = state(LOW, OTHER, probes=(staged(1, "low/1", "other/1", asked=1),), struck={"low/1": 1})
    for died, struck in ((False, {"low/1": 1}), (True, {"low/1": 1, "other/1": 1})):
        ended = after(running, events.CutOff((1,), died))
        assert (ended.probes, ended.struck) == ((), struck)
    again = after(
        running, events.CutOff((1,), True), events.ProbeBegun(staged(2, "other/1", "gone/1")), events.CutOff((2,), True)
    )
    assert again.struck == {"low/1": 1, "other/1": 2}


def test_a_probe_that_ends_clears_those_that_it_asked_about():
    run = staged(1, "other/1", "low/1", asked=1)
    struck = state(LOW, OTHER, probes=(run,), struck={"low/1": 2, "other/1": 1})
    assert after(struck, probed(run, Verdict.INDETERMINATE)).struck == {"other/1": 1}
    assert after(struck, probed(run, Verdict.ABORTED)).struck == struck.struck


def test_who_has_left_is_struck_no_more():
    assert after(state(LOW, OTHER, struck={"low/1": 2, "other/1": 1}), WITHDRAWN).struck == {"other/1": 1}


def test_failures_on_forgotten_commits_are_forgotten():
    here, there = staged(1, "low/1"), staged(2, "low/1", base=NEXT)
    assert after(state(LOW, failed=(here, there)), events.Forgotten((NEXT,))).failed == (here,)


def test_planning_anew_forgets_failures_if_it_says_so():
    known = state(LOW, failed=(staged(1, "low/1"),), memory=b"{}")
    kept, none = after(known, events.Replanned("why")), after(known, events.Replanned("why", True))
    assert (kept.memory, kept.failed) == (b"", known.failed)
    assert (none.memory, none.failed) == (b"", ())


def settled(before: State) -> State:
    draft = Draft(before)
    draft.settle()
    return draft.state


def test_failures_are_kept_for_who_is_queued_and_for_trunk_as_it_is():
    queued, left = staged(1, "gone/1", "low/1"), staged(2, "gone/1")
    trunk, before = staged(BASELINE, commit=TIP), staged(BASELINE, commit=NEXT)
    assert settled(state(LOW, failed=(queued, left, trunk, before))).failed == (queued, trunk)
    assert settled(state(failed=(staged(3, commit=TIP),))).failed == ()


SLOW = replace(OTHER, change=replace(OTHER.change, gates=("slow",)))


def test_a_pass_is_kept_where_there_are_lanes():
    plain, lane = staged(1, "low/1"), staged(2, "other/1", "gone/1")
    known = after(state(LOW, SLOW, probes=(plain, lane)), *(probed(run, Verdict.PASSED) for run in (plain, lane)))
    assert known.passed == (lane,)
    assert after(state(SLOW, probes=(lane,)), probed(lane, Verdict.FAILED)).passed == ()
    assert after(known, events.Replanned("why")).passed == ()
    assert settled(known).passed == (lane,)
    assert settled(replace(known, queue=Queue({LOW.key: LOW}))).passed == ()


def test_a_pass_takes_the_place_of_those_of_which_it_holds_what_is_queued():
    short, long, aside = staged(1, "gone/1", "other/1"), staged(3, "other/1", "low/1"), staged(2, "high/1", "other/1")
    known = state(LOW, HIGH, SLOW, probes=(long,), passed=(short, aside))
    assert after(known, probed(long, Verdict.PASSED)).passed == (aside, long)


def test_a_pass_that_follows_trunk_is_known_as_it_is_there():
    here, there, aside = staged(1, "other/1"), staged(1, "other/1", base=NEXT), staged(2, "other/1")
    known = state(SLOW, passed=(here, aside))
    assert after(known, events.Follows(1, NEXT, there)).passed == (there, aside)
    assert after(known, events.Follows(1, NEXT)).passed == known.passed


def test_a_clash_is_kept_while_both_are_queued():
    pairs = frozenset({("low/1", "other/1"), ("gone/1", "low/1")})
    assert settled(state(LOW, OTHER, clashes=pairs)).clashes == {("low/1", "other/1")}
    assert after(state(clashes=pairs), events.Clash((("a/1", "b/1"),))).clashes == pairs | {("a/1", "b/1")}


def test_nothing_ends_twice_or_without_having_been():
    with pytest.raises(KeyError):
        after(state(LOW), WITHDRAWN, WITHDRAWN)
    with pytest.raises(KeyError):
        after(state(), WITHDRAWN)


def test_what_is_never_admitted_is_held_only_if_its_head_may_be():
    for ended, heads, found in (
        (REJECTED, ["h-low-1"], {"h-low-1": "low/1"}),
        (gone(Rejected, LOW, said="no", reason=AgainstRules(), kept=False), [], {}),
        (gone(Rejected, LOW, said="no", reason=AgainstRules(), found=False), ["h-low-1"], {}),
        (gone(Rejected, LOW, said="no", reason=NotTheirs()), ["h-low-1"], {}),
        (gone(Superseded, LOW, said="replaced"), ["h-low-1"], {"h-low-1": "low/1"}),
    ):
        draft = Draft(state())
        draft.happen(ended)
        assert (draft.heads, draft.found, draft.touched, draft.ended) == (heads, found, {"low/1"}, [ended])
        assert draft.known("low/1") is ended and draft.events == [ended]
    queued = Draft(state(LOW))
    queued.happen(REJECTED)
    assert queued.heads == [] and queued.found == {}


def test_what_the_planner_remembers_is_kept():
    draft = Draft(state(memory=b"old"))
    draft.remember(b"new")
    assert draft.state.memory == b"new" and draft.events == []


def test_what_is_approved_keeps_it_to_its_end_and_a_new_revision_begins_without():
    tess, rob = Approval("tess", 5.0, person=True), Approval("rob", 6.0)
    draft = Draft(state(LOW))
    for approval in (tess, rob):
        draft.happen(events.Approved("low/1", LOW.change.head, approval))
    assert draft.state.queue["low/1"].approvals == (tess, rob) and draft.touched == {"low/1"}
    draft.happen(events.Bumped("low/1", 3))
    assert draft.state.queue["low/1"].approvals == (tess, rob)
    draft.happen(events.Admitted(record("low", 2)))
    assert draft.state.queue["low/2"].approvals == ()
    with pytest.raises(KeyError):
        draft.happen(events.Approved("gone/1", OID, tess))
