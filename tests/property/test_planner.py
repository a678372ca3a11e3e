"""What must hold whatever happens to the queue."""

from __future__ import annotations

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agentctl.core.planner import Settings
from agentctl.core.queue.model import Change, Verdict
from agentctl.core.text.json_form import replace
from tests.property.watched import Watched

quiet = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
EVENTS = ("end", "submit", "withdraw", "supersede", "foreign", "restart", "indeterminate", "abort", "pause")


def change(number: int, after: tuple[str, ...] = (), priority: int = 0) -> Change:
    agent = f"agent-{number % 3}"
    return Change(f"c{number}", 1, f"h{number}", agent, number, float(number), priority=priority, after=after)


def bound(changes: int) -> int:
    """Probes that n changes may need at most, as the planner's docstring states it."""
    return 8 * changes + changes * changes + 8


@st.composite
def changes(draw, most: int = 12) -> list[Change]:
    lanes = draw(st.sampled_from(((None,), (("a",), ("b",), ("a", "b"), ()))))
    made = []
    for number in range(draw(st.integers(1, most))):
        before = [c.id for c in made]
        after = draw(st.lists(st.sampled_from(before), max_size=2, unique=True)) if before else []
        if not draw(st.booleans()):
            after = []
        at = change(number, tuple(after), draw(st.sampled_from((0, 0, 0, 1, 5))))
        made.append(replace(at, gates=draw(st.sampled_from(lanes))))
    return made


def pairs_of(keys: list[str]) -> st.SearchStrategy:
    some = st.lists(st.sampled_from(keys), min_size=2, max_size=2, unique=True)
    return st.frozensets(some.map(lambda p: tuple(sorted(p))), max_size=3)


@st.composite
def models(draw, pairs: bool = True):
    made = draw(changes())
    keys = [f"{c.id}/{r}" for c in made for r in (1, 2)]
    bad = draw(st.frozensets(st.sampled_from(keys), max_size=len(keys) // 2))
    broken = draw(pairs_of(keys)) if pairs else frozenset()
    limits = Settings(
        batch=draw(st.sampled_from((2, 4, 64))),
        rejection=draw(st.sampled_from(("strict", "inference"))),
        risk=draw(st.sampled_from((0.01, 0.1, 0.4))),
        doubt=draw(st.sampled_from((0.02, 0.45))),
    )
    model = Watched(
        slots=draw(st.integers(1, 5)),
        bad=bad,
        bad_pairs=frozenset(frozenset(p) for p in broken),
        clashing=draw(pairs_of(keys)),
        limits=limits,
        stages=draw(st.booleans()),
    )
    return model, made


def happen(model: Watched, event: str, data: st.DataObject, waiting: list[Change]) -> None:
    pick = lambda among: data.draw(st.sampled_from(sorted(among)))  # noqa: E731
    if event == "submit" and waiting:
        later = waiting.pop(0)
        landed = {k.split("/")[0] for k in model.landed}
        left = tuple(i for i in later.after if i not in landed)
        if {c.id for c in model.queue.values()}.issuperset(left):
            model.submit(replace(later, after=left))
    elif event in ("withdraw", "supersede") and model.queue:
        getattr(model, event)(pick(model.queue))
    elif event == "foreign":
        model.push_foreign()
    elif event == "restart":
        model.restart()
    elif event == "pause":
        model.withheld = not model.withheld
    elif model.running and event in ("end", "indeterminate", "abort"):
        verdict = {"indeterminate": Verdict.INDETERMINATE, "abort": Verdict.ABORTED}.get(event)
        model.end(pick(model.running), verdict)


def live(model: Watched, made: list[Change], data: st.DataObject, flakes: bool = False) -> None:
    waiting = list(made)
    while waiting and data.draw(st.booleans()):
        happen(model, "submit", data, waiting)
    for _ in range(data.draw(st.integers(0, 30))):
        event = data.draw(st.sampled_from(EVENTS + ("end",) * 6))
        fragile = sorted(n for n, probe in model.running.items() if probe.chain)
        if flakes and fragile and data.draw(st.integers(0, 5)) == 0:
            model.end(data.draw(st.sampled_from(fragile)), Verdict.FAILED)
        happen(model, event, data, waiting)
        model.now += data.draw(st.sampled_from((0.0, 1.0, 5000.0)))
        if data.draw(st.booleans()):
            model.take_turn(lose=lambda: data.draw(st.integers(0, 9)) == 0)
    while waiting:
        happen(model, "submit", data, waiting)
    if model.withheld:
        # All is tested that can be, and then it is quiet.
        model.run_out(2 * bound(len(made)))
        model.withheld = False


@quiet
@given(models(), st.data())
def test_every_change_ends_and_every_action_is_sound(drawn, data) -> None:
    model, made = drawn
    live(model, made, data)
    model.settle(bound(len(made)))
    assert len(set(model.landed)) == len(model.landed)
    assert not model.bad.intersection(model.landed)
    assert not set(model.landed) & set(model.rejected)


@quiet
@given(models(pairs=False), st.data())
def test_no_good_change_is_rejected_without_flakes_and_bad_pairs(drawn, data) -> None:
    model, made = drawn
    live(model, made, data)
    model.settle(bound(len(made)))
    assert model.bad.issuperset(model.rejected)


@quiet
@given(models(), st.data())
def test_flakes_delay_but_never_stop_the_queue(drawn, data) -> None:
    model, made = drawn
    live(model, made, data, flakes=True)
    model.settle(2 * bound(len(made)))
    assert not model.bad.intersection(model.landed)


def test_what_landed_since_narrows_an_old_failure() -> None:
    """c0 failed on top of c2, which landed, and with c1, which comes after it."""
    model = Watched(slots=3, bad=frozenset({"c0/1"}), limits=Settings(batch=2, risk=0.01))
    for made in (change(0, priority=1), change(1, after=("c0",)), change(2)):
        model.submit(made)
    model.settle(bound(3))
    assert model.landed == ["c2/1"] and model.rejected == ["c0/1"]


class Script:
    """Draws what it is told, in order."""

    def __init__(self, *values: object) -> None:
        self.values = iter(values)

    def draw(self, strategy: object) -> object:
        return next(self.values)


def test_what_comes_after_a_disputed_change_passes_again_once_that_has_landed() -> None:
    made = [change(n, ("c3", "c7") if n == 8 else (), 1 if n in (6, 8) else 0) for n in range(12)]
    limits = Settings(batch=2, rejection="strict", risk=0.4, doubt=0.02)
    model = Watched(slots=3, bad_pairs=frozenset({frozenset({"c1/1", "c2/1"})}), limits=limits)
    live(model, made, Script(True, False, 2, "end", 0.0, True, "end", 1, 5000.0, False))
    model.settle(bound(len(made)))
    assert "c8/1" in model.landed and len(model.rejected) == 1
