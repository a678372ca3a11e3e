"""What is tried on a red trunk, as values."""

from __future__ import annotations

from agentctl.core.queue.events import Staged
from agentctl.core.queue.model import BASELINE, Change, Probe
from agentctl.core.queue.records import Queued, Work
from agentctl.core.queue.red_trunk import chains, left, red_since, tried
from agentctl.core.queue.state import Draft, State, seen_red, with_red

TIP, GATE = "t" * 40, "gate"


def change(name: str, mends: bool = False, after: tuple[str, ...] = ()) -> Change:
    return Change(name, 1, f"h-{name}", "ann", 0, 0.0, after=after, mends=mends)


def listed(*changes: Change, most: int = 64) -> list[str]:
    """The chains, as the letters of their changes."""
    return ["".join(key[0] for key in chain) for chain in chains(changes, most)]


def run(number: int, at: float = 1.0, keys: tuple[str, ...] = (), base: str = TIP, gate: str = GATE) -> Staged:
    return Staged(Probe(number, base, keys, len(keys), "?"), base if not keys else "c" * 40, "", (), gate, at)


def state(*failed: Staged, probes: tuple[Staged, ...] = (), queue: tuple[Change, ...] = ()) -> State:
    return State(trunk=TIP, failed=failed, probes=probes, queue={c.key: Queued(c, Work(TIP)) for c in queue})


def test_who_says_that_it_mends_trunk_comes_first():
    assert listed(change("a"), change("b", mends=True), change("c")) == ["b", "a", "c"]


def test_those_who_say_so_are_tried_together_too():
    assert listed(change("a"), change("b", mends=True), change("c", mends=True)) == ["b", "c", "bc", "a"]
    assert listed(*(change(n, mends=True) for n in "abc"), most=2) == ["a", "b", "c", "ab"]


def test_a_change_is_tried_with_what_it_comes_after():
    assert listed(change("c", mends=True, after=("b",)), change("b", after=("a", "landed")), change("a")) == ["abc", "ab", "a"]
    diamond = change("d", after=("b", "c")), change("b", after=("a",)), change("c", after=("a",)), change("a")
    assert listed(*diamond)[0] == "abcd"


def test_what_waits_for_itself_is_not_tried():
    assert listed(change("a", after=("b",)), change("b", after=("a",)), change("c", after=("a",)), change("d")) == ["d"]


def test_trunk_is_red_after_more_failures_than_there_is_patience():
    once, twice = run(BASELINE, 5.0), run(BASELINE, 6.0)
    assert red_since(state(once), GATE, 1) is None
    assert red_since(state(once, twice), GATE, 1) == 5.0
    assert red_since(state(once), GATE, 0) == 5.0
    assert red_since(state(once, twice), "another gate", 1) is None
    assert red_since(state(run(BASELINE, base="o" * 40), once), GATE, 1) is None


def test_of_many_failures_the_first_and_the_last_are_kept():
    now = state(run(7, keys=("x/1",)))
    for at in range(1, 9):
        now = state(*with_red(now, run(BASELINE, float(at)), 2))
    assert [s.started for s in seen_red(now, GATE)] == [1.0, 7.0, 8.0]
    assert len(now.failed) == 4 and red_since(now, GATE, 2) == 1.0
    alone = state(*with_red(state(run(BASELINE, 1.0)), run(BASELINE, 2.0), 0))
    assert [s.started for s in alone.failed] == [1.0, 2.0]


def test_what_is_remembered_concerns_the_queue_or_trunk():
    old, new = run(BASELINE, base="o" * 40), run(BASELINE)
    of_a, of_b = run(3, keys=("a/1",)), run(4, keys=("b/1", "a/1"))
    draft = Draft(state(old, new, of_a, of_b, queue=(change("b"),)))
    draft.settle()
    assert draft.state.failed == (new, of_b)


def test_each_is_tried_once_for_each_tip():
    queue = change("a"), change("b"), change("c"), change("d")
    now = state(
        run(3, keys=("a/1",)),
        run(4, keys=("b/1",), base="o" * 40),
        run(5, keys=("c/1",), gate="other"),
        probes=(run(6, keys=("d/1",)),),
        queue=queue,
    )
    assert tried(now, GATE) == {("a/1",)}
    assert list(left(now, GATE, queue, (), 64)) == [("b/1",), ("c/1",)]


def test_what_does_not_merge_is_not_tried_together():
    queue = change("a", mends=True), change("b", mends=True)
    assert list(left(state(), GATE, queue, [("a/1", "b/1")], 64)) == [("a/1",), ("b/1",)]


def test_what_runs_on_another_trunk_is_tried_on_this_one_too():
    a = change("a")
    for base, open_ones in ((TIP, []), ("u" * 40, [("a/1",)])):
        running = run(3, keys=("a/1",), base=base)
        assert list(left(state(probes=(running,), queue=(a,)), GATE, (a,), (), 64)) == open_ones
