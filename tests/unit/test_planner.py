"""The planner case by case: what a queue's owner would expect to see."""

from __future__ import annotations

import pytest

from agentctl.core.planner import Settings, in_order, plan, usual_seconds
from agentctl.core.planner.beliefs import (
    FORGET,
    RISK_CEILING,
    RISK_FLOOR,
    Beliefs,
    flake_rate,
    group,
    prefix_passes,
    within_bounds,
)
from agentctl.core.planner.bets import AGE, weight
from agentctl.core.planner.memory import Counts, Memory, Tip, load
from agentctl.core.planner.planning import LONG_WAIT, Planning
from agentctl.core.planner.update import count, take_green
from agentctl.core.queue.model import Cancel, Change, Land, Plan, Probe, Reject, Result, Start, Verdict, View
from agentctl.core.text.json_form import replace

PASSED, FAILED = Verdict.PASSED, Verdict.FAILED


def change(name: str, seq: int, agent: str = "ann", **more) -> Change:
    return Change(name, 1, f"head-{name}", agent, seq, float(seq), **more)


class Bench:
    """Hands the planner one view after another, and obeys."""

    def __init__(self, names: str, slots: int = 1, limits: Settings = Settings(), **more) -> None:
        queued = tuple(change(n, i, **more) for i, n in enumerate(names))
        self.view = View("t0", queued, slots=slots)
        self.limits = limits

    def look(self) -> Plan:
        made = plan(self.view, self.limits, 0.0)
        memory = made.memory
        started = tuple(a.probe for a in made.actions if isinstance(a, Start))
        self.view = replace(
            self.view,
            memory=memory,
            running=self.view.running + started,
            finished=(),
            landed=(),
            next_probe=self.view.next_probe + len(started),
        )
        return made

    def end(self, number: int, verdict: Verdict) -> None:
        probe = next(p for p in self.view.running if p.number == number)
        self.view = replace(
            self.view,
            running=tuple(p for p in self.view.running if p is not probe),
            finished=(*self.view.finished, Result(probe, verdict, 1.0, f"s{number}")),
        )

    def arrive(self, name: str) -> None:
        self.view = replace(self.view, queued=(*self.view.queued, change(name, len(self.view.queued))))

    def leave(self, *names: str) -> None:
        left = tuple(c for c in self.view.queued if c.id not in names)
        self.view = replace(self.view, queued=left)

    def move(self, trunk: str, landed: tuple[str, ...] = ()) -> None:
        left = tuple(c for c in self.view.queued if c.key not in landed)
        self.view = replace(self.view, trunk=trunk, landed=landed, queued=left)

    def answer(self, number: int, verdict: Verdict) -> Plan:
        """End a probe, look, and if that lands something perform it and look again."""
        self.end(number, verdict)
        made = self.look()
        for action in made.actions:
            if isinstance(action, Land):
                self.move(f"s{action.probe.number}", action.probe.chain)
                return self.look()
        return made


def chains(made: Plan) -> list[str]:
    """The chains started, as the letters of their changes."""
    return ["".join(k[0] for k in a.probe.chain) for a in made.actions if isinstance(a, Start)]


def one(made: Plan, kind: type):
    (found,) = [a for a in made.actions if isinstance(a, kind)]
    return found


def one_of(made: Plan, kind: type):
    return next(a for a in made.actions if isinstance(a, kind))


def one_behind_another(limits: Settings = Settings()) -> tuple[Bench, Probe]:
    """The probe of a runs, with slots to spare, and so does what is returned: a train of a and b."""
    bench = Bench("a", slots=8, limits=limits)
    bench.look()
    bench.arrive("b")
    return bench, one_of(bench.look(), Start).probe


def test_an_empty_queue_asks_nothing() -> None:
    assert Bench("").look().actions == ()


def test_a_batch_is_as_long_as_an_even_bet() -> None:
    assert chains(Bench("abcdefghijkl").look()) == ["abcdefg"]


def lanes(slots: int, limits: Settings = Settings(), **names: str) -> Bench:
    """One letter a change; upper and lower case are two lanes."""
    bench = Bench(names["queued"], slots, limits)
    queued = tuple(replace(c, gates=("slow",) if c.id.isupper() else ("fast",)) for c in bench.view.queued)
    bench.view = replace(bench.view, queued=queued)
    return bench


def test_lanes_are_not_mixed_and_each_gets_a_probe() -> None:
    assert chains(lanes(2, queued="ABCDabcdEFGHefgh").look()) == ["ABCDEFG", "abcdefg"]
    # Whatever is older, and however many there are.
    assert chains(lanes(3, queued="ABCDEFGHIJKLMNOa").look()) == ["ABCDEFG", "a", "HIJKLMN"]


def test_a_lane_that_has_none_is_first_to_get_a_probe() -> None:
    bench = lanes(2, queued="ABCDEFGHIJKLMNOab")
    assert chains(bench.look()) == ["ABCDEFG", "ab"]
    assert chains(bench.answer(2, FAILED)) == ["a"]


def test_a_bet_is_placed_in_each_lane() -> None:
    assert sorted(chains(lanes(3, queued="Aa").look())) == ["A", "a"]


def test_a_change_waits_for_one_of_another_lane_that_it_comes_after() -> None:
    bench = lanes(1, queued="Aa")
    first, second = bench.view.queued
    bench.view = replace(bench.view, queued=(first, replace(second, after=("A",))))
    assert chains(bench.look()) == ["A"]
    assert chains(bench.answer(1, PASSED)) == ["a"]


def test_what_passed_on_a_trunk_that_is_no_more_lands_if_it_holds_on_this_one() -> None:
    bench = lanes(2, queued="Aa")
    bench.look()
    slow, fast = sorted(bench.view.running, key=lambda p: p.chain)
    bench.answer(fast.number, PASSED)  # `a` lands, and trunk leaves the base of the other probe.
    bench.end(slow.number, PASSED)
    on_trunk = replace(slow, base=bench.view.trunk)
    bench.view = replace(bench.view, hold=(Result(on_trunk, PASSED, staged="s-there"),))
    made = bench.look()
    assert [a.probe for a in made.actions] == [on_trunk]
    assert one(made, Land) and load(made.memory).passes == 2


def test_a_running_probe_that_follows_trunk_is_not_started_again() -> None:
    def started(follows: bool) -> list[str]:
        bench = lanes(2, queued="Aa")
        bench.look()
        slow, fast = sorted(bench.view.running, key=lambda p: p.chain)
        bench.end(fast.number, PASSED)
        bench.look()
        bench.move(f"s{fast.number}", fast.chain)
        bench.view = replace(bench.view, follow=(replace(slow, base=bench.view.trunk),) if follows else ())
        return chains(bench.look())

    assert (started(True), started(False)) == ([], ["A"])


def test_gate_times_are_learned_by_lane() -> None:
    bench = lanes(2, queued="Aa")
    bench.look()
    for number, seconds in ((1, 600.0), (2, 10.0)):
        bench.end(number, PASSED)
        last = bench.view.finished[-1]
        bench.view = replace(bench.view, finished=(*bench.view.finished[:-1], replace(last, seconds=seconds)))
    memory = bench.look().memory
    assert (usual_seconds(memory, ("slow",)), usual_seconds(memory, ("fast",))) == (600.0, 10.0)
    assert usual_seconds(memory, None) is None


def test_a_likely_culprit_goes_alone_at_first() -> None:
    assert chains(Bench("abc", limits=Settings(risk=0.5)).look()) == ["a"]


def test_a_passed_probe_on_trunk_lands_whole() -> None:
    bench = Bench("abc")
    bench.look()
    bench.end(1, PASSED)
    action = one(bench.look(), Land)
    assert action.probe.chain == ("a/1", "b/1", "c/1")
    assert "passed on trunk with 3 changes" in action.reason


def test_nothing_starts_while_trunk_is_about_to_move() -> None:
    bench = Bench("abcdefghijkl", slots=4)
    bench.look()
    bench.end(1, PASSED)
    assert chains(bench.look()) == []


def test_a_lost_land_is_asked_for_again_while_trunk_stands() -> None:
    bench = Bench("ab")
    bench.look()
    bench.end(1, PASSED)
    assert one(bench.look(), Land) == one(bench.look(), Land)


def test_what_passed_on_an_older_base_rides_along() -> None:
    bench = Bench("abcdefgh", slots=1)
    bench.look()
    bench.move("foreign")
    assert chains(bench.answer(1, PASSED)) == ["abcdefgh"]
    ((probe,),) = [bench.view.running]
    assert probe.asked == ("h/1",)
    assert "7 green ones along" in probe.reason


def test_green_changes_land_by_themselves_when_nothing_else_waits() -> None:
    bench = Bench("ab")
    bench.look()
    bench.move("foreign")
    made = bench.answer(1, PASSED)
    assert chains(made) == ["ab"]
    assert one(made, Start).probe.suspects == 0


def test_a_failed_batch_is_searched_and_its_second_half_blamed_by_inference() -> None:
    bench = Bench("abcd", slots=1, limits=Settings(doubt=0.05, rejection="inference"))
    bench.look()
    assert chains(bench.answer(1, FAILED)) == ["ab"]
    assert chains(bench.answer(2, PASSED)) == ["c"]
    made = bench.answer(3, PASSED)
    certificate = one(made, Reject).certificate
    assert (certificate.change, certificate.failed) == ("d/1", 1)
    assert "failed with it on t0 and 3 changes" in certificate.reason


def test_what_lies_behind_a_failing_prefix_is_innocent_again_and_then_a_witness() -> None:
    """a failed with b, c and d, and alone: not enough for the odds asked for. That the
    others pass without it is the second proof, and needs no probe of its own."""
    bench = Bench("abcd", slots=1)
    bench.look()
    assert chains(bench.answer(1, FAILED)) == ["a"]
    assert chains(bench.answer(2, FAILED)) == ["bcd"]
    certificate = one(bench.answer(3, PASSED), Reject).certificate
    assert (certificate.change, certificate.failed) == ("a/1", 2)
    assert "after 2 failures that only it explains" in certificate.reason
    assert [c.key for c in bench.view.queued] == ["a/1"]


def test_a_lone_failure_on_trunk_is_proof() -> None:
    bench = Bench("a", limits=Settings(risk=0.1, doubt=0.05))
    bench.look()
    certificate = one(bench.answer(1, FAILED), Reject).certificate
    assert (certificate.change, certificate.failed) == ("a/1", 1)


def test_an_agent_that_hardly_ever_fails_gets_a_second_look() -> None:
    bench = Bench("a", limits=Settings(risk=0.02))
    bench.look()
    made = bench.answer(1, FAILED)
    probe = one(made, Start).probe
    assert probe.again and probe.chain == ("a/1",)
    assert "second look after 1 failure" in probe.reason
    assert one(bench.answer(2, FAILED), Reject).certificate.failed == 2


def test_a_second_look_that_passes_acquits() -> None:
    bench = Bench("a", limits=Settings(risk=0.02))
    bench.look()
    bench.answer(1, FAILED)
    bench.end(2, PASSED)
    assert one(bench.look(), Land).probe.number == 2
    bench.move("s2", ("a/1",))
    assert load(bench.look().memory).flakes == 1


@pytest.mark.parametrize("verdict", (Verdict.INDETERMINATE, Verdict.ABORTED))
def test_a_verdict_that_tells_nothing_is_asked_for_again(verdict: Verdict) -> None:
    bench = Bench("abc")
    bench.look()
    assert chains(bench.answer(1, verdict)) == ["abc"]


def test_probes_that_vanished_are_run_again() -> None:
    bench = Bench("abc")
    bench.look()
    bench.view = replace(bench.view, running=())
    assert chains(bench.look()) == ["abc"]


def test_a_foreign_push_breaks_the_chain_of_proof() -> None:
    bench = Bench("ab", limits=Settings(risk=0.3))
    bench.look()
    assert chains(bench.answer(1, FAILED)) == ["a"]
    bench.end(2, PASSED)
    bench.look()
    bench.move("foreign", ("a/1",))
    made = bench.look()
    assert not [a for a in made.actions if isinstance(a, Reject)]
    assert chains(made) == ["b"]
    assert one(bench.answer(3, FAILED), Reject).certificate.failed == 3


def test_a_withdrawn_suspect_takes_part_of_the_suspicion_along() -> None:
    bench = Bench("ab", limits=Settings(risk=0.3))
    bench.look()
    bench.answer(1, FAILED)
    bench.leave("a")
    assert not [a for a in bench.look().actions if isinstance(a, Reject)]
    bench.end(2, Verdict.ABORTED)
    assert chains(bench.look()) == ["b"]


def test_higher_priority_goes_first_until_age_outweighs_it() -> None:
    limits = Settings(risk=0.5, aging=100.0)
    old, urgent = change("o", 1), change("u", 2, priority=1)
    for admitted, first in ((50.0, "u"), (150.0, "o")):
        queued = (old, replace(urgent, admitted=admitted))
        assert chains(plan(View("t0", queued), limits, 200.0)) == [first]


def test_a_stream_of_urgent_changes_delays_an_old_one_by_a_bounded_time() -> None:
    limits = Settings(risk=0.5, aging=10.0)
    bench = Bench("o", limits=limits)
    for number in range(1, 30):
        urgent = Change(f"u{number}", 1, "h", "ann", number, float(number), priority=2)
        bench.view = replace(bench.view, queued=(*bench.view.queued, urgent))
        if any("o/1" in p.chain for p in bench.view.running):
            break
        for probe in bench.view.running:
            bench.end(probe.number, Verdict.ABORTED)
        bench.leave("u" + str(number - 1))
        bench.look()
    assert number == 21


def test_one_conviction_in_ten_is_audited() -> None:
    limits = Settings(risk=0.5)
    bench = Bench("abcdefghijkl", limits=limits)
    made = bench.look()
    asked = []
    for number in range(1, 11):
        made = bench.answer(number, FAILED)
        asked.append(bool([a for a in made.actions if isinstance(a, Start) and a.probe.again]))
        bench.leave(*(a.certificate.change[0] for a in made.actions if isinstance(a, Reject)))
    assert asked == [False] * 9 + [True]
    made = bench.answer(11, PASSED)
    assert load(made.memory).flakes == 10


def test_a_change_waits_for_what_it_comes_after() -> None:
    base, top = change("a", 0), change("b", 1, after=("a",))
    view = View("t0", (replace(top, seq=0), replace(base, seq=1)), slots=4)
    assert chains(plan(view, Settings(risk=0.5), 0.0))[0] == "a"
    assert chains(plan(replace(view, queued=(base, top)), Settings(), 0.0))[0] == "ab"
    assert chains(plan(View("t0", (top,)), Settings(), 0.0)) == []


def test_clashing_changes_are_kept_apart() -> None:
    bench = Bench("abc")
    bench.view = replace(bench.view, clashes=frozenset({("a/1", "b/1")}))
    assert chains(bench.look()) == ["ac"]


def test_with_slots_to_spare_a_newcomer_is_tried_on_top_of_what_is_in_flight() -> None:
    bench = Bench("a", slots=8)
    assert chains(bench.look())[0] == "a"
    bench.arrive("b")
    made = bench.look()
    assert chains(made)[0] == "ab"
    assert "lands 1 behind the 1 in flight" in one_of(made, Start).probe.reason


def test_a_train_lands_what_is_left_of_it() -> None:
    bench, train = one_behind_another()
    bench.end(1, PASSED)
    assert one(bench.look(), Land).probe.number == 1
    bench.move("s1", ("a/1",))
    bench.look()
    bench.end(train.number, PASSED)
    landing = one(bench.look(), Land)
    assert landing.probe == train and landing.probe.base == "t0"
    assert "1 change more than the 1 that landed before" in landing.reason


def test_a_train_that_fails_on_what_landed_is_proof_against_the_newcomer() -> None:
    bench, train = one_behind_another(Settings(risk=0.1, doubt=0.05))
    bench.end(1, PASSED)
    bench.look()
    bench.move("s1", ("a/1",))
    bench.look()
    bench.end(train.number, FAILED)
    certificate = one(bench.look(), Reject).certificate
    assert (certificate.change, certificate.failed) == ("b/1", train.number)


def test_with_many_culprits_in_flight_only_proven_changes_go_into_trains() -> None:
    made = Bench("abcdefgh", slots=16, limits=Settings(risk=0.6)).look()
    assert all("apart from the rest" in a.probe.reason for a in made.actions if isinstance(a, Start))


def test_an_urgent_change_goes_first_into_a_train() -> None:
    bench = Bench("ab", slots=8)
    bench.view = replace(bench.view, queued=(change("a", 0), change("b", 1, priority=3)))
    assert chains(bench.look())[0][0] == "b"


def test_a_probe_whose_changes_all_left_is_cancelled() -> None:
    bench = Bench("ab")
    bench.look()
    bench.leave("a", "b")
    assert one(bench.look(), Cancel).number == 1


def test_two_that_break_together_cost_the_later_one() -> None:
    bench = Bench("ab", slots=1, limits=Settings(doubt=0.05))
    bench.look()
    bench.answer(1, FAILED)
    made = bench.answer(2, PASSED)
    assert one(made, Reject).certificate.change == "b/1"


def test_the_same_view_gives_the_same_plan() -> None:
    view = Bench("abcdefgh", slots=3).view
    assert plan(view, Settings(), 1.0) == plan(view, Settings(), 1.0)


def test_prefix_passes_follow_bayes() -> None:
    assert prefix_passes([0.5, 0.5], [0.0], 0.0) == pytest.approx([1 / 3, 0.0])
    assert prefix_passes([0.5, 0.5], [1.0], 0.0) == pytest.approx([0.5, 0.25])


@pytest.mark.parametrize(("risk", "size"), ((0.5, 1), (0.3, 2), (0.1, 7), (0.01, 69)))
def test_group_sizes_are_those_of_the_optimal_nested_plan(risk: float, size: int) -> None:
    untested = [(f"c{n}/1", risk) for n in range(200)]
    assert len(group(untested, strict=False)) == size
    assert len(group(untested, strict=True)) == (3 if size == 2 else size)


def test_the_flake_rate_has_a_floor_and_grows_with_what_is_seen() -> None:
    assert flake_rate(0, 0) == 1 / 300
    assert flake_rate(0, 10_000) == 0.0002
    assert 0.01 < flake_rate(10, 990) < 0.02
    assert flake_rate(10_000, 0) == 0.25


def test_green_changes_likely_to_break_are_carried_in_windows() -> None:
    beliefs = Beliefs(Memory(agents={"ann": (1000, 50)}, broken=20.0), Settings())
    assert beliefs.window(20, 7) == slice(0, 20), "a break is unlikely: all ride"
    windows = [beliefs.window(200, number) for number in range(64)]
    starts = sorted({w.start for w in windows})
    assert len(starts) > 3 and starts[0] == 0
    for start in starts:
        sizes = {w.stop - start for w in windows if w.start == start}
        assert min(sizes) == 1 and len(sizes) > 3
    assert max(w.stop for w in windows) <= 200


def test_a_probe_that_holds_a_rejected_change_is_cancelled() -> None:
    bench, train = one_behind_another(Settings(risk=0.1, doubt=0.05))
    assert train.chain == ("a/1", "b/1")
    bench.end(1, FAILED)
    made = bench.look()
    assert one(made, Reject).certificate.change == "a/1"
    assert "it holds a/1, which is rejected" in one_of(made, Cancel).reason


@pytest.mark.parametrize(("risk", "stopped"), [(0.1, True), (0.01, False)])
def test_a_train_that_holds_the_suspect_of_a_failed_one_is_cancelled_unless_that_may_be_a_flake(
    risk: float, stopped: bool
) -> None:
    bench, train = one_behind_another(Settings(risk=risk))
    assert train.chain == ("a/1", "b/1")
    bench.end(1, FAILED)
    made = bench.look()
    assert [a.number for a in made.actions if isinstance(a, Cancel)] == [train.number] * stopped
    assert "b" in chains(made)


def test_an_agent_of_which_nothing_ever_lands_is_no_error():
    """Its counts are halved once there are FORGET of them, and with nothing landed there is no share to halve."""
    memory = Memory()
    for _ in range(2 * FORGET):
        count(memory, "ann", rejected=1)
    assert memory.agents["ann"].landed == 0 and memory.agents["ann"].rejected < FORGET and memory.broken == Memory().broken


def test_the_share_of_a_halved_agent_in_what_broke_is_forgotten_too() -> None:
    memory = Memory(broken=4.0, agents={"bob": Counts(FORGET, 0)})
    for _ in range(FORGET):
        count(memory, "ann", landed=1)
    # Half of what ann landed is forgotten, which is a quarter of all that landed.
    assert memory.agents["ann"] == Counts(FORGET / 2, 0)
    assert memory.broken == pytest.approx(3.0, rel=1e-3)


def test_no_agent_is_trusted_blindly_and_none_given_up() -> None:
    assert [within_bounds(risk) for risk in (-1.0, 0.0, 0.5, 1.0, 2.0)] == [
        RISK_FLOOR,
        RISK_FLOOR,
        0.5,
        RISK_CEILING,
        RISK_CEILING,
    ]
    assert 0 < RISK_FLOOR < RISK_CEILING < 1


def test_who_waits_counts_more_and_a_priority_is_waiting() -> None:
    limits = Settings(aging=600.0)

    def at(now: float, priority: int = 0) -> float:
        queued = replace(change("a", 0), priority=priority)
        return weight(Planning(View("t0", (queued,)), limits, Memory(seconds={"*": 10.0}), now), queued)

    assert at(0.0) == 1 and at(20.0) == pytest.approx(1 + 2 * AGE)
    assert at(0.0, priority=1) == at(600.0) == at(1e9) == pytest.approx(1 + AGE * LONG_WAIT)
    assert at(20.0, priority=-1) == 1


def test_the_order_in_which_changes_are_tested_lends_priorities() -> None:
    low, high, last = change("low", 1), change("high", 2, priority=5, after=("low",)), change("last", 0)
    limits = Settings(aging=600.0)
    assert [c.id for c in in_order((low, last), limits)] == ["last", "low"]
    assert [(c.id, c.priority) for c in in_order((last, low, high), limits)] == [("low", 5), ("high", 5), ("last", 0)]


def test_green_changes_are_those_of_one_lane() -> None:
    bench = lanes(2, queued="ABab")
    turn = Planning(bench.view, Settings(), Memory(green=["A/1", "a/1", "left/1", "b/1"]), 0.0)
    assert (turn.green_of(("slow",)), turn.green_of(("fast",))) == (("A/1",), ("a/1", "b/1"))


def test_a_pass_of_what_has_landed_whole_lands_nothing() -> None:
    landed = Memory(tips=[Tip("t0", None), Tip("s1", ("a/1",))])
    turn = Planning(View("s1", ()), Settings(), landed, 0.0)
    assert take_green(turn, Result(Probe(1, "t0", ("a/1",), 1, "why"), PASSED, staged="s1")) == []
    assert turn.mem.passed == []
