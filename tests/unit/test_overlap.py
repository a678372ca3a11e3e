"""Which work gets into each other's way, and which tasks start first."""

import pytest

from agentctl.core.tasks import overlap
from agentctl.core.tasks.dispatch import Rules, dispatch
from agentctl.core.tasks.overlap import (
    AHEAD,
    CROWDED,
    PATIENCE,
    Branch,
    Heat,
    Overlap,
    Scene,
    Waiting,
    apart,
    common,
    hot,
    overlaps,
)
from agentctl.core.tasks.task import Status, Task
from agentctl.core.text.globs import meet


@pytest.mark.parametrize(
    ("one", "other", "may"),
    [
        ("a.py", "a.py", True),
        ("a.py", "b.py", False),
        ("src/**", "src/deep/er/x.py", True),
        ("src/**", "src", True),
        ("src/**", "test/**", False),
        ("**/Makefile", "src/*", True),
        ("**/Makefile", "src/*.py", False),
        ("a*c", "*b*", True),
        ("a*c", "b*", False),
        ("a*c", "*d", False),
        ("*", "a/b", False),
        ("?", "ab", False),
        ("[ab]x", "cx", False),
        ("[!ab]x", "cx", True),
        ("a/**/z", "a/z", True),
        ("a/**/z", "**/y", False),
        # Two sets are taken to share a character.
        ("[ab]", "[cd]", True),
        # A glob is looked into up to a length.
        ("a" * 300, "b", True),
    ],
)
def test_globs_that_may_meet(one, other, may):
    assert meet(one, other) is may is meet(other, one)


def test_long_globs_with_many_stars_are_compared():
    assert not meet("*a" * 128, "*b" * 128)
    assert not meet("**/a/" * 40 + "x", "**/b/" * 40 + "y")


def test_a_declared_path_stands_for_what_is_below_it():
    assert overlap.declares(("src/parser",), "src/parser/lexer.py")
    assert overlap.declares(("./src/",), "src/x")
    assert not overlap.declares(("src/parser",), "src/parser.py")
    assert overlap.shared(("src/parser",), ("src/parser/lexer.py",)) == ("src/parser",)
    assert overlap.shared(("src/*.py", "docs/**"), ("src/a.c", "docs/x.md")) == ("docs/**",)


def test_branches_overlap_in_what_they_touch_then_in_what_they_declare():
    ann = Branch("ann", frozenset(("a.py", "b.py")), ("src/**",))
    bob = Branch("bob", frozenset(("b.py", "src/x.py")))
    cleo = Branch("cleo", declared=("src/x.py",))
    dan = Branch("dan", frozenset(("z.py",)))
    assert common(ann, bob) == ("b.py", "src/x.py")
    assert common(bob, cleo) == ("src/x.py",)
    assert common(ann, cleo) == ("src/**",)
    assert common(ann, dan) == ()
    found = overlaps([ann, bob, cleo, dan])
    assert found["bob"] == (Overlap("ann", ("b.py", "src/x.py")), Overlap("cleo", ("src/x.py",)))
    assert found["dan"] == ()


def test_a_hot_file_is_touched_by_many_and_fought_for_lately():
    branches = [Branch(name, frozenset(("hot.py", name))) for name in ("ann", "bob")]
    conflicts = [("hot.py",), ("hot.py", "warm.py"), ("cold.py",), *[("old.py",)] * 3]
    assert hot(branches, conflicts) == [Heat("hot.py", ("ann", "bob"), 2), Heat("old.py", (), 3)]


def started(tasks, under_way=(), agents=("ann",), crowded=(), **statuses):
    known = {t.id: t for t in tasks}
    where = {name: statuses.get(name, Status.READY) for name in known}
    return [name for name, _ in dispatch(known, where, agents, "t1", Rules(3), 5.0, scene=Scene(tuple(under_way), crowded)).start]


def a_task(name, *paths, **facts):
    return Task(name, name, "do " + name, paths=paths, **facts)


def test_of_one_priority_the_task_apart_from_others_starts():
    first, second = a_task("first", "src/parser/**"), a_task("second", "docs/**")
    assert started([first, second]) == ["first"]
    assert started([first, second], [("src/**",)]) == ["second"]
    # What starts in the same turn counts, too.
    alike = [a_task("a", "src/x"), a_task("b", "src/x/y"), a_task("c", "docs"), a_task("d")]
    assert started(alike, agents=("ann", "bob", "cleo")) == ["a", "c", "d"]


def test_priority_goes_before_being_apart():
    assert started([a_task("urgent", "src", priority=1), a_task("other", "docs")], [("src",)]) == ["urgent"]


def test_if_all_may_overlap_they_start():
    assert started([a_task("a", "src"), a_task("b", "src")], [("src",)], ("ann", "bob")) == ["a", "b"]


def test_a_task_is_passed_over_only_by_those_of_its_time():
    early = Waiting("early", (0,), 1.0, ("src",))
    for name, created in (("soon", PATIENCE + 1), ("late", PATIENCE + 2)):
        other = Waiting(name, (0,), created, ("docs",))
        assert next(apart([early, other], Scene((("src",),)))) == ("soon" if name == "soon" else "early")


def test_only_so_many_tasks_are_looked_at():
    alike = [Waiting(f"t{n}", (0,), 1.0, ("src",)) for n in range(AHEAD)]
    assert next(apart([*alike, Waiting("far", (0,), 1.0, ("docs",))], Scene((("src",),)))) == "t0"


def test_of_a_frozen_file_one_task_at_a_time_is_worked_on():
    one, two, other = a_task("one", "src/hot.py"), a_task("two", "src/**"), a_task("other", "src/cold.py")
    crowded, both = ("src/hot.py",), ("ann", "bob")
    # Without it, the two would start side by side if there is nothing else to do.
    assert started([one, two], agents=both) == ["one", "two"]
    assert started([one, two], agents=both, crowded=crowded) == ["one"]
    assert started([one, two, other], [("src/hot.py",)], both, crowded) == ["other"]
    assert started([two], agents=both, crowded=crowded) == ["two"]
    # Not even by its priority does one start.
    assert started([a_task("urgent", "src", priority=9)], [("src/hot.py",)], crowded=crowded) == []


def test_a_file_is_frozen_after_many_conflicts():
    conflicts = [("hot.py", "hot.py")] * CROWDED + [("warm.py",)] * (CROWDED - 1)
    assert overlap.crowded(conflicts) == {"hot.py": CROWDED}


def test_no_more_tasks_start_than_there_is_room_for():
    known = {name: a_task(name) for name in "abc"}
    where = dict.fromkeys(known, Status.READY)
    for room, count in ((0, 0), (2, 2), (9, 3), (None, 3)):
        plan = dispatch(known, where, ("ann", "bob", "cleo"), "t1", Rules(3), 5.0, most=room)
        assert len(plan.start) == count
