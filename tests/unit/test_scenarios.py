"""Imagined worlds: how many of them say what, and where trunk ends in each."""

from __future__ import annotations

import pytest

from agentctl.core.planner import Settings
from agentctl.core.planner.memory import Evidence, FailedProbe, Memory, Segment, Tip
from agentctl.core.planner.planning import Planning
from agentctl.core.planner.scenarios import ALL, DIGITS, WORLDS, Place, Tracks, Worlds, chance_all_good, happens, quantum
from agentctl.core.queue.model import Change, View

A, B, C = "a/1", "b/1", "c/1"


def turn(names: str = "abc", **memory) -> Planning:
    queued = tuple(Change(name, 1, f"h-{name}", "ann", n, float(n)) for n, name in enumerate(names))
    return Planning(View("t0", queued), Settings(), Memory(**{"tips": [Tip("t0", None)], **memory}), 0.0)


def accused(*keys: str, alt: float = 0.0) -> Segment:
    return Segment(list(keys), [Evidence(1, alt)])


def share(worlds: int) -> float:
    return worlds.bit_count() / WORLDS


NEAR = 0.04
"""Two and a half standard deviations of the share of 1024 worlds, at even odds."""


@pytest.mark.parametrize("probability", [0.0, 0.01, 0.25, 0.5, 0.9, 1.0])
def test_an_event_happens_in_its_share_of_the_worlds(probability):
    happened = happens("event", quantum(probability))
    assert share(happened) == pytest.approx(probability, abs=NEAR)
    assert (happened == ALL) == (probability == 1) and (happened == 0) == (probability == 0)


def test_a_likelier_event_happens_wherever_a_less_likely_one_of_its_name_does():
    rare, often = happens("event", quantum(0.2)), happens("event", quantum(0.7))
    assert rare & ~often == 0 and happens("other", quantum(0.2)) != rare


def test_a_probability_has_steps_and_ends():
    assert (quantum(-1.0), quantum(0.5), quantum(7.0)) == (0, 1 << DIGITS - 1, 1 << DIGITS)


def test_a_green_change_is_good_everywhere_and_any_other_by_its_risk():
    at = turn("ab", green=[A])
    worlds = Worlds(at)
    assert worlds.good[A] == ALL
    assert worlds.chance(worlds.good[B]) == pytest.approx(1 - at.risk(B), abs=NEAR)
    assert worlds.pass_in((A, B)) == worlds.good[B] and worlds.pass_in((A, "left/1")) == 0


def test_of_two_suspects_one_is_bad_in_every_world():
    at = turn("ab", segments=[accused(A, B)])
    worlds, risk = Worlds(at), at.risk(A)
    assert worlds.pass_in((A, B)) == 0
    # The first is the first bad one with risk of risk + (1 - risk) * risk; behind it the second has its own risk.
    first = risk / (risk + (1 - risk) * risk)
    assert worlds.chance(ALL & ~worlds.good[A]) == pytest.approx(first, abs=NEAR)
    assert worlds.chance(ALL & ~worlds.good[B]) == pytest.approx((1 - first) + first * risk, abs=NEAR)


def test_the_last_suspect_is_bad_where_all_before_it_are_good():
    worlds = Worlds(turn("abc", segments=[accused(A, B, C)]))
    assert worlds.good[A] & worlds.good[B] & worlds.good[C] == 0
    assert worlds.good[A] & worlds.good[B]


def test_all_suspects_are_good_as_often_as_the_failure_has_another_cause():
    at = turn("ab", segments=[accused(A, B, alt=0.5)])
    bad = at.together((A, B))
    chance = (1 - bad) * 0.5 / (bad + (1 - bad) * 0.5)
    assert chance_all_good(at, at.mem.segments[0]) == pytest.approx(chance)
    assert share(Worlds(at).pass_in((A, B))) == pytest.approx(chance, abs=NEAR)


def test_another_cause_that_is_next_to_none_is_left_out():
    # 5% of the probability that some suspect is bad, or this, is where it begins to count.
    at = turn("ab")
    bad = at.together((A, B))
    edge = 0.05 * bad / (1 - 0.05) / (1 - bad)
    assert chance_all_good(at, accused(A, B, alt=edge * 1.01)) == pytest.approx(0.05, rel=0.02)
    assert chance_all_good(at, accused(A, B, alt=edge * 0.99)) == 0.0


def test_a_failure_that_accuses_no_segment_is_agreed_with():
    # a and b failed together, and no segment holds that: in no world seen are both good, unless the gate flaked.
    worlds = Worlds(turn("ab", failures=[FailedProbe(1, "t0", (A, B), [A, B])]))
    flaked = happens("flake 1", quantum(turn().beliefs.flake))
    assert worlds.seen == flaked | ALL & ~worlds.pass_in((A, B))
    assert worlds.count == worlds.seen.bit_count() < WORLDS
    assert worlds.chance(worlds.good[A]) < share(worlds.good[A])


def test_a_failure_in_the_odds_of_its_suspects_counts_once():
    assert Worlds(turn("ab", failures=[FailedProbe(1, "t0", (A, B), [A, B])], segments=[accused(A, B)])).seen == ALL


def test_a_failure_that_hardly_a_world_agrees_with_is_passed_over():
    # Green changes are good in all worlds, so their common failure would leave those alone in which the gate flaked.
    worlds = Worlds(turn("ab", green=[A, B], failures=[FailedProbe(1, "t0", (A, B), [A, B])]))
    assert worlds.seen == ALL


def tracks(*running: tuple[str, ...]) -> tuple[Worlds, Tracks]:
    worlds = Worlds(turn("abc"))
    found = Tracks(worlds)
    for chain in running:
        found.run(chain)
    return worlds, found


def test_trunk_is_where_the_probe_that_passes_brings_it():
    worlds, found = tracks((A,))
    assert found.places == [Place((A,), worlds.good[A]), Place((), ALL & ~worlds.good[A])]


def test_a_train_lands_where_its_beginning_does():
    worlds, found = tracks((A,), (A, B))
    both, first = worlds.pass_in((A, B)), worlds.good[A]
    assert found.places == [Place((A, B), both), *by_size(Place((A,), first & ~both), Place((), ALL & ~first))]
    assert sum(place.worlds for place in found.places) == ALL


def by_size(*places: Place) -> list[Place]:
    return sorted(places, key=lambda place: -place.worlds.bit_count())


def test_of_two_rivals_the_first_lands_and_the_other_where_that_fails():
    worlds, found = tracks((A,), (B,))
    assert {place.landed: place.worlds for place in found.places} == {
        (A,): worlds.good[A],
        (B,): worlds.good[B] & ~worlds.good[A],
        (): ALL & ~worlds.good[A] & ~worlds.good[B],
    }
    assert found.places == by_size(*found.places)


def test_what_has_been_passed_by_lands_no_more():
    worlds, found = tracks((A, B), (A,))
    assert {place.landed: place.worlds for place in found.places} == {
        (A, B): worlds.pass_in((A, B)),
        (A,): worlds.good[A] & ~worlds.good[B],
        (): ALL & ~worlds.good[A],
    }


def test_the_likeliest_places_are_kept():
    names = [f"{n:02}" for n in range(Tracks.MOST + 6)]
    queued = tuple(Change(name, 1, name, "ann", n, 0.0) for n, name in enumerate(names))
    # Each behind all before it: trunk may end at any of them.
    found = Tracks(Worlds(Planning(View("t0", queued), Settings(), Memory(tips=[Tip("t0", None)]), 0.0)))
    for end in range(1, len(names) + 1):
        found.run(tuple(f"{name}/1" for name in names[:end]))
    assert len(found.places) == Tracks.MOST
    sizes = [place.worlds.bit_count() for place in found.places]
    assert sizes == sorted(sizes, reverse=True)
