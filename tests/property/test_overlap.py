"""Globs that meet, and tasks that keep apart, against what one finds by trying."""

from itertools import islice, product

from hypothesis import given
from hypothesis import strategies as st

from agentctl.core.tasks.overlap import PATIENCE, Scene, Waiting, apart, declares, shared
from agentctl.core.text.globs import LONGEST, Crowd, matches, meet

COMPONENTS = ["".join(letters) for n in (1, 2, 3) for letters in product("ab", repeat=n)]
PATHS = ["/".join(parts) for n in (1, 2, 3) for parts in product(COMPONENTS[:6], repeat=n)]
"""Every path up to three components of one or two letters."""
EXACT = st.sampled_from(["a", "b", "ab", "a*", "*b", "*", "**", "a?"])
ROUGH = st.one_of(EXACT, st.sampled_from(["[ab]", "[!a]", "[a", "?[b]", "*[a]*"]))


def globs(words):
    return st.lists(words, min_size=1, max_size=3).map("/".join)


@given(one=globs(ROUGH), other=globs(ROUGH))
def test_globs_that_match_one_path_meet(one, other):
    if any(matches(one, path) and matches(other, path) for path in PATHS):
        assert meet(one, other)
    assert meet(one, other) == meet(other, one)


@given(one=globs(EXACT), other=globs(EXACT))
def test_without_sets_globs_meet_only_where_a_path_matches_both(one, other):
    if meet(one, other) and "**" not in one + other:
        assert any(matches(one, path) and matches(other, path) for path in PATHS)


LONG = st.just("a" * (LONGEST + 1))


@given(one=globs(ROUGH) | LONG, crowd=st.lists(globs(ROUGH) | LONG, max_size=6))
def test_a_glob_meets_a_crowd_if_it_meets_a_member(one, crowd):
    assert Crowd(crowd).meets(one) == any(meet(one, other) for other in crowd)


WAITING = st.lists(
    st.tuples(st.integers(0, 1), st.sampled_from([(), ("src",), ("src/x",), ("docs/**",), ("src", "docs")])), max_size=8
).map(lambda listed: [Waiting(f"t{n}", (rank,), float(n), paths) for n, (rank, paths) in enumerate(sorted(listed))])
UNDER_WAY = st.lists(st.sampled_from([("src/**",), ("docs/x",), ()]), max_size=3)


@given(waiting=WAITING, under_way=UNDER_WAY, most=st.integers(0, 9))
def test_no_agent_is_without_work_and_no_rank_is_passed(waiting, under_way, most):
    chosen = list(islice(apart(waiting, Scene(tuple(under_way))), most))
    assert len(chosen) == len(set(chosen)) == min(most, len(waiting))
    rank = {w.id: w.rank for w in waiting}
    assert [rank[name] for name in chosen] == sorted(rank.values())[: len(chosen)]


@given(waiting=WAITING, under_way=UNDER_WAY)
def test_a_task_that_may_overlap_starts_only_if_none_of_its_rank_is_apart(waiting, under_way):
    busy = [glob for declared in under_way for glob in declared]
    for name in islice(apart(waiting, Scene(tuple(under_way))), 1):
        first = next(w for w in waiting if w.id == name)
        if shared(first.declared, busy):
            assert first == waiting[0]
            assert all(shared(w.declared, busy) for w in waiting if w.rank == first.rank)


@given(under_way=UNDER_WAY.filter(lambda listed: ("src/**",) in listed), later=st.integers(1, 50))
def test_new_tasks_do_not_hold_one_back_for_ever(under_way, later):
    """Each time that an agent is free, a new task is there that is apart from all."""
    old, turns = Waiting("old", (0,), 0.0, ("src",)), 0
    while True:
        new = Waiting(f"new{turns}", (0,), turns * PATIENCE / later, ())
        if next(apart([old, new], Scene(tuple(under_way)))) == "old":
            break
        turns += 1
    assert turns <= later + 1


@given(waiting=WAITING, under_way=UNDER_WAY, most=st.integers(0, 9))
def test_who_declares_a_frozen_file_is_alone_with_it(waiting, under_way, most):
    crowded = ("src/x", "docs/y")
    chosen = list(islice(apart(waiting, Scene(tuple(under_way), crowded)), most))
    declared = {w.id: w.declared for w in waiting}
    busy = [glob for paths in under_way for glob in paths]
    for name in chosen:
        assert not any(declares(busy, path) and declares(declared[name], path) for path in crowded)
        busy += declared[name]
    # Who does not start although there is room waits for one that is being worked on.
    if len(chosen) < most:
        for name in declared.keys() - set(chosen):
            assert any(declares(busy, path) and declares(declared[name], path) for path in crowded)
