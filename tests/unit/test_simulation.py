"""The simulator, and the other merge queues in it: tiny traffics with known results."""

from __future__ import annotations

import pytest

from agentctl.core.planner import Settings, plan
from agentctl.core.queue.model import Certificate, Land, Plan, Probe, Reject, Start, Verdict
from agentctl.simulation import tune
from agentctl.simulation.chart import Axis, chart
from agentctl.simulation.simulator import Conditions, RuleBroken, Simulation, Totals
from agentctl.simulation.traffic import Arrival, Traffic, read_trace, write_trace
from bench.bounds import capacity, entropy_bound, nested_optimum
from bench.rivals import RIVALS


def four(bad: str = "c") -> list[Arrival]:
    """a, b, c and d, all there at the beginning."""
    return [Arrival(0.0, "ann", name in bad) for name in "abcd"]


def simulate(strategy, arrivals, slots=4, limits=None, **conditions) -> Totals:
    simulation = Simulation(arrivals, strategy, Conditions(slots=slots, **conditions), limits)
    if hasattr(strategy, "truth"):
        strategy.truth = simulation.truth
    return simulation.run()


@pytest.mark.parametrize(
    ("name", "slots", "probes", "time"),
    [
        ("serial", 4, 4, 4.0),  # a, b, c red, d
        ("bors-ng", 4, 5, 5.0),  # abcd red, ab, cd red, c red, d
        ("GitHub", 4, 5, 2.0),  # a, ab, abc red, abcd red; then d
        ("Zuul", 4, 5, 2.0),
        ("SubmitQueue", 4, 5, 2.0),
        ("Batch4", 1, 5, 5.0),  # abcd red, each of them
        ("Batch4", 4, 6, 3.0),  # abcd red; a, ab, abc red, abcd red; d
        ("BatchStop4", 4, 6, 3.0),
        ("prefix chain", 4, 5, 3.0),  # abcd red; a, ab, abc red: c is convicted; d
        ("oracle", 4, 3, 1.0),
        ("oracle", 1, 3, 3.0),
        ("batch oracle", 4, 1, 1.0),
    ],
)
def test_four_changes_the_third_bad(name, slots, probes, time):
    tally = simulate(RIVALS[name]({"ann": 0.01}), four(), slots)
    assert (tally.landed, tally.rejected, tally.wronged) == (3, 1, 0)
    assert (tally.probes, tally.elapsed) == (probes, time)


def test_zuul_reparents_at_once_what_github_restarts_at_the_head():
    """b is red and known so while a still runs: Zuul builds c without b then."""
    arrivals = [Arrival(0.0, "ann", seconds=3.0), Arrival(0.0, "ann", True), Arrival(0.0, "ann")]
    assert simulate(RIVALS["Zuul"]({}), arrivals).elapsed == 3.0
    assert simulate(RIVALS["GitHub"]({}), arrivals).elapsed == 4.0


def test_a_useless_build_is_stopped_and_its_time_counts():
    arrivals = [Arrival(0.0, bad=True), Arrival(0.0, seconds=3.0)]
    tally = simulate(RIVALS["GitHub"]({}), arrivals)
    assert (tally.probes, tally.cancelled, tally.busy, tally.elapsed) == (3, 1, 1 + 1 + 3, 4.0)


def test_prefixes_convict_the_last_change_untested():
    tally = simulate(RIVALS["prefix chain"]({"ann": 0.01}), four("d"))
    assert (tally.landed, tally.rejected, tally.probes) == (3, 1, 4)


@pytest.mark.parametrize("name", RIVALS)
def test_every_rival_ends_all_changes(name):
    traffic = Traffic(risks=(0.05, 0.3), rate=0.5, pairs=0.05, count=300, seed=3)
    tally = simulate(RIVALS[name](traffic.known_risks), traffic, 8, jitter=0.3)
    assert tally.landed + tally.rejected == 300 and tally.wronged == 0
    assert len(tally.turnaround) == tally.landed
    assert tally.longest_wait >= tally.quantile(1.0) >= tally.quantile(0.5) >= 0.7


@pytest.mark.parametrize("name", ["GitHub", "SubmitQueue", "prefix chain", "Zuul", "Batch4"])
def test_flakes_make_others_reject_good_changes(name):
    traffic = Traffic(risks=(0.0,), count=500)
    tally = simulate(RIVALS[name]({"agent-0": 0.05}), traffic, 4, flake=0.05)
    assert 0 < tally.wronged == tally.rejected


def test_the_planner_ends_all_changes():
    traffic = Traffic(risks=(0.02, 0.2), count=200, pairs=0.02, clashes=0.05)
    tally = simulate(plan, traffic, 4, Settings(), backlog=60, jitter=0.2)
    assert tally.landed + tally.rejected + tally.conflicts == 200
    assert tally.wronged == 0 and tally.conflicts > 0


def test_the_same_seed_gives_the_same_run():
    def run(seed: int) -> tuple:
        traffic = Traffic(risks=(0.1,), rate=2.0, count=200, seed=seed)
        tally = simulate(plan, traffic, 4, Settings(), flake=0.02, jitter=0.2)
        return tally.probes, tally.landed, tally.busy, list(tally.turnaround)

    assert run(1) == run(1) != run(2)


def test_an_oracle_lands_each_change_after_exactly_its_gate():
    traffic = Traffic(risks=(0.1,), rate=1.0, count=300)
    tally = simulate(RIVALS["oracle"]({}), traffic, 64)
    assert tally.quantile(0.0) == pytest.approx(1.0) == tally.quantile(1.0)


def test_a_full_queue_stays_full_and_stretches_add_up():
    simulation = Simulation(Traffic(risks=(0.1,)), RIVALS["GitHub"]({}), Conditions(slots=4, backlog=50))
    first, second = simulation.run(100), simulation.run(100)
    assert first.landed >= 100 and second.landed >= 100
    assert len(simulation.queue) == 50
    assert simulation.count.landed == first.landed + second.landed == len(simulation.trunk)


def test_a_queue_that_cannot_keep_up_is_given_up():
    simulation = Simulation(Traffic(risks=(0.1,), rate=9.0), RIVALS["serial"]({}), Conditions(slots=1))
    assert simulation.run(10_000, most_waiting=100).overrun


class Cheat:
    """Probes the whole queue, then does as told."""

    def __init__(self, *then) -> None:
        self.then = then

    def __call__(self, view, limits, now):
        chain = tuple(change.key for change in view.queued)
        if not view.finished:
            return Plan({}, () if view.running or not chain else (Start(Probe(view.next_probe, view.trunk, chain, 1, "")),))
        return Plan({}, tuple(make(view.finished[0].probe) for make in self.then))


@pytest.mark.parametrize(
    "then",
    [
        lambda probe: Land(probe, ""),  # it failed
        lambda probe: Land(Probe(probe.number, probe.base, probe.chain[:2], 1, ""), ""),  # a part that was not tested
        lambda probe: Start(Probe(probe.number, probe.base, probe.chain, 1, "")),  # a number twice
        lambda probe: Start(Probe(9, "beef", probe.chain, 1, "")),  # on a commit that trunk never was
        lambda probe: Reject(Certificate("c9/1", probe.number, "")),  # not queued
    ],
)
def test_the_rules_are_enforced(then):
    with pytest.raises(RuleBroken):
        simulate(Cheat(then), four())


def test_what_passed_does_not_land_on_a_trunk_that_moved_elsewhere():
    """a and b pass side by side on t0: when a has landed, b has not passed on it."""

    def strategy(view, limits, now):
        if view.finished:
            return Plan({}, tuple(Land(result.probe, "") for result in view.finished))
        starts = (Start(Probe(view.next_probe + n, view.trunk, (c.key,), 1, "")) for n, c in enumerate(view.queued))
        return Plan({}, () if view.running else tuple(starts))

    with pytest.raises(RuleBroken, match="not trunk with more on top"):
        simulate(strategy, four("")[:2])


def test_a_train_lands_the_rest_of_its_chain():
    """ab was staged on t0; when a has landed alone, b lands by the same probe."""

    def strategy(view, limits, now):
        if view.finished:
            return Plan({}, tuple(Land(result.probe, "") for result in view.finished))
        a, b = (change.key for change in view.queued) if len(view.queued) == 2 else ("", "")
        chains = [] if view.running or not a else [(a,), (a, b)]
        return Plan({}, tuple(Start(Probe(view.next_probe + n, view.trunk, c, 1, "")) for n, c in enumerate(chains)))

    tally = simulate(strategy, four("")[:2])
    assert (tally.landed, tally.probes, tally.elapsed) == (2, 2, 1.0)


def test_commits_are_named_by_the_literal_sequence():
    simulation = Simulation([], plan, Conditions(slots=1))
    name = simulation.name
    assert name(name("0", ["c1/1"]), ["c2/1"]) == name("0", ["c1/1", "c2/1"]) != name("0", ["c2/1", "c1/1"])


def test_a_pair_breaks_together_and_only_together():
    arrivals = [Arrival(0.0), Arrival(0.0, breaks_with=0)]
    tally = simulate(RIVALS["serial"]({}), arrivals, 1)
    assert (tally.landed, tally.rejected, tally.wronged) == (1, 1, 0)
    assert simulate(RIVALS["serial"]({}), [Arrival(0.0, bad=True), Arrival(0.0, breaks_with=0)], 1).landed == 1


def test_a_strategy_that_stands_still_is_reported():
    with pytest.raises(RuleBroken, match="nothing runs"):
        simulate(lambda view, limits, now: Plan({}), four())


def test_a_trace_is_read_as_it_was_written():
    arrivals = list(Traffic(risks=(0.1, 0.4), rate=0.1, pairs=0.2, clashes=0.2, priorities=(0, 1), count=50))
    assert read_trace(write_trace(arrivals)) == arrivals


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("[]", "an object"),
        ('{"agent": "x"}', "at"),
        ('{"at": 1, "is_bad": true}', "is_bad"),
        ("{", "line 2"),
        ('{"at": -1}', "before"),
        ('{"at": 1, "seconds": 0}', "seconds"),
        ('{"at": 1, "breaks_with": 1}', "earlier"),
    ],
)
def test_a_wrong_trace_is_refused(line, told):
    with pytest.raises(ValueError, match=told):
        read_trace(['{"at": 0}', line])


def test_verdicts_of_the_past_are_not_given_away():
    """The same chain twice costs two probes."""
    seen = []

    def strategy(view, limits, now):
        seen.extend(result.verdict for result in view.finished)
        if len(seen) == 2:
            return Plan({}, (Land(view.finished[0].probe, ""),)) if view.finished else Plan({})
        start = Start(Probe(view.next_probe, view.trunk, (view.queued[0].key,), 1, ""))
        return Plan({}, () if view.running else (start,))

    tally = simulate(strategy, [Arrival(0.0)], 1)
    assert seen == [Verdict.PASSED] * 2 and tally.probes == 2


def test_bounds_are_those_of_the_literature():
    assert [round(entropy_bound([p]), 3) for p in (0.005, 0.1, 0.3)] == [0.046, 0.521, 1.259]
    assert round(capacity(0.01), 3) == 0.960 and round(capacity(0.03), 3) == 0.903
    for p in (0.005, 0.02, 0.05, 0.1, 0.2, 0.3):
        assert 1.002 < nested_optimum(p) / entropy_bound([p]) < 1.009
    assert nested_optimum(0.39) == pytest.approx(1 / 0.61), "one by one from 38.2% on"


def test_nights_are_cut_and_a_short_traffic_is_repeated():
    arrivals = tune.without_lulls([Arrival(1e9), Arrival(1e9 + 60, breaks_with=0), Arrival(2e9)])
    assert [a.at for a in arrivals] == [0.0, 60.0, 60.0 + tune.LULL]
    again = list(tune.repeated(arrivals, 7))
    assert len(again) == 7 and again[4].breaks_with == 3
    assert [a.at for a in again] == sorted(a.at for a in again)


def test_a_chart_has_its_lines_axes_and_words():
    text = chart("A <title>", Axis("slots", log=True), Axis("time (s)"), {"one": [(1, 2), (10, 4)], "none": []})
    assert text.count("<polyline") == 1 and "A &lt;title&gt;" in text and "time (s)" in text and ">10<" in text
    with pytest.raises(ValueError, match="nothing to draw"):
        chart("empty", Axis("x"), Axis("y"), {"none": []})
