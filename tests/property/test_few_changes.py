"""Every history of a queue of few changes: which are bad, which break together, which
conflict, which come after which, and flakes at every possible probe.

A history follows from the answers. Truths that have given the same answers so far share
one model queue, which is copied where their answers part: each history is run once.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations, product

import pytest

from agentctl.core.planner import Settings
from agentctl.core.planner.beliefs import Beliefs, odds_bad
from agentctl.core.planner.memory import load
from agentctl.core.queue.model import Change, Verdict
from agentctl.core.text.json_form import replace
from tests.property.queue_model import FOREIGN
from tests.property.test_planner import bound, change
from tests.property.watched import Watched

ORDERS = (min, max)
"""Which of the running probes ends next: the oldest, the newest."""


@dataclass(frozen=True)
class Truth:
    bad: frozenset[str]
    pairs: tuple[tuple[str, str], ...]
    """Changes that break together."""
    flakes: int = 0
    """Probes that failed and should have passed."""

    def breaks(self, tree: set[str]) -> bool:
        return not self.bad.isdisjoint(tree) or any(tree.issuperset(p) for p in self.pairs)


@dataclass(frozen=True, kw_only=True)
class Product:
    """The cases to try: all combinations of at most so many of each."""

    count: int
    pairs: int = 1
    clashes: int = 1
    flakes: int = 1
    foreign: bool = False
    """Whether somebody else may push to trunk, once, at any moment, also just before a landing."""
    stacked: bool = False
    """Whether a change may come after one before it, instead of none."""
    together: bool = True
    """Whether all are there at once; else one more arrives whenever a probe ends."""

    @property
    def keys(self) -> list[str]:
        return [f"c{n}/1" for n in range(self.count)]

    def truths(self) -> frozenset[Truth]:
        """A pair with a bad member breaks nothing that is not broken: it is left out."""
        made = set()
        for bad in map(frozenset, up_to(self.count, self.keys)):
            good = [k for k in self.keys if k not in bad]
            made |= {Truth(bad, some) for some in up_to(self.pairs, combinations(good, 2))}
        return frozenset(made)

    def queues(self) -> Iterator[tuple[list[Change], frozenset]]:
        """Changes with all their dependencies, and conflicts."""
        choices = [[(), *((f"c{m}",) for m in range(n))] if self.stacked else [()] for n in range(self.count)]
        for after in product(*choices):
            for clashing in up_to(self.clashes, combinations(self.keys, 2)):
                yield [change(n, on) for n, on in enumerate(after)], frozenset(clashing)


def up_to(most: int, among) -> list[tuple]:
    among = list(among)
    return [some for size in range(most + 1) for some in combinations(among, size)]


def histories(model: Watched, arriving: list[Change], cases: Product, following) -> Iterator[tuple[Watched, frozenset[Truth]]]:
    """Every way `model` may end, with the truths that lead to it."""
    now = arriving if cases.together else arriving[:1]
    for made in now:
        submit(model, made)
    unfinished = [(model, arriving[len(now) :], cases.truths())]
    while unfinished:
        model, arriving, truths = unfinished.pop()
        if [FOREIGN] in model.steps or not cases.foreign:
            model.take_turn()
        else:
            unfinished += [(turn, arriving, truths) for turn in pushed(model)]
        pushes = sum(step == [FOREIGN] for step in model.steps)
        assert model.probes <= bound(cases.count) * (1 + pushes + min(t.flakes for t in truths))
        if arriving and not model.running:
            submit(model, arriving[0])
            unfinished.append((model, arriving[1:], truths))
            continue
        if not model.running:
            yield model, truths
            continue
        number = following(model.running)
        tree = model.tree(model.running[number])
        good = frozenset(t for t in truths if not t.breaks(tree))
        flaked = {replace(t, flakes=t.flakes + 1) for t in good if t.flakes < cases.flakes}
        for verdict, which in ((Verdict.PASSED, good), (Verdict.FAILED, (truths - good) | flaked)):
            if which:
                turn = model.fork()
                turn.end(number, verdict)
                turn.now += 1
                if arriving:
                    submit(turn, arriving[0])
                unfinished.append((turn, arriving[1:], which))


def pushed(model: Watched) -> list[Watched]:
    """Ticks, and gives the other ways that could have gone, with a push of somebody else:
    before it, or instead of the first landing."""
    before, instead = model.fork(), model.fork()
    before.push_foreign()
    instead.take_turn(lose=lambda: [FOREIGN] not in instead.steps)
    model.take_turn()
    return [before, instead] if [FOREIGN] in instead.steps else [before]


def submit(model: Watched, made: Change) -> None:
    """As the bot admits it: not after what is on trunk, not if that left, or conflicts."""
    left = {k.split("/")[0] for k in (*model.rejected, *model.gone)}
    on_trunk = {k.split("/")[0] for k in model.landed}
    model.submit(replace(made, after=tuple(i for i in made.after if i not in on_trunk)))
    if not left.isdisjoint(made.after):
        model.withdraw(made.key)
    model.drop_conflicts()


def check(model: Watched, made: list[Change], truth: Truth) -> None:
    """That a history ended right for what was true in it."""
    landed, rejected = set(model.landed), set(model.rejected)
    assert not model.queue and landed | rejected | model.gone == {c.key for c in made}
    assert not landed & rejected and len(landed) == len(model.landed)
    assert not truth.breaks(landed)
    assert truth.flakes or [FOREIGN] in model.steps or model.probes <= 4 * len(made)
    for lost in (c for c in made if c.key in model.gone - rejected):
        conflicts = any(lost.key in pair and landed.intersection(pair) for pair in model.clashing)
        assert conflicts or any(f"{i}/1" in model.gone for i in lost.after)
    for key in rejected - truth.bad:
        mates = {k for pair in truth.pairs if key in pair for k in pair} - {key}
        assert mates & landed or truth.flakes and odds(model, key) >= 1


def odds(model: Watched, key: str) -> float:
    """What the failures that held `key` can have made of the odds that it is bad, as a
    multiple of those that a rejection asks for. A failure that held one rejected before
    is explained by that, and says nothing of `key`: the planner knows it by the members
    that it recorded, which it does of failures whose members have all stayed or landed."""
    trial, limits = model.trials[key], model.limits
    beliefs = Beliefs(load(trial.memory), limits)
    culprits = set(model.rejected[: model.rejected.index(key)])
    left = model.gone - set(model.rejected)
    against = [p for p in trial.failed if key in p.chain and (culprits.isdisjoint(p.chain) or not left.isdisjoint(p.chain))]
    risk = beliefs.risk_of_agent(f"agent-{int(key[1]) % 3}")
    return odds_bad(risk, [beliefs.flake] * len(against)) * limits.doubt / (1 - limits.doubt)


def run(cases: Product, slots: int, limits: Settings) -> tuple[int, int, int]:
    """How many cases and histories there were, and the most probes in one."""
    found = ends = most = 0
    for made, clashing in cases.queues():
        for following in ORDERS[: 1 + (slots > 1)]:
            model = Watched(slots, clashing=clashing, limits=limits)
            for end, truths in histories(model, made, cases, following):
                for truth in truths:
                    check(end, made, truth)
                found, ends, most = found + len(truths), ends + 1, max(most, end.probes)
    return found, ends, most


everywhere = pytest.mark.parametrize(("slots", "rejection"), list(product((1, 2, 3), ("strict", "inference"))))


@everywhere
@pytest.mark.parametrize("risk", (0.01, 0.1))
@pytest.mark.parametrize("count", (1, 2, 3, 4))
def test_every_history_of_few_changes_ends_right(count, risk, slots, rejection) -> None:
    run(Product(count=count, pairs=2), slots, Settings(rejection=rejection, risk=risk))


@everywhere
@pytest.mark.parametrize("together", (True, False))
def test_every_history_of_few_stacked_changes_ends_right(together, slots, rejection) -> None:
    run(Product(count=3, stacked=True, together=together), slots, Settings(rejection=rejection))


@everywhere
def test_every_history_of_few_changes_and_a_foreign_push_ends_right(slots, rejection) -> None:
    run(Product(count=3, clashes=0, foreign=True), slots, Settings(rejection=rejection, risk=0.4, doubt=0.02))


FURTHER = {
    "more conflicts": Product(count=4, pairs=2, clashes=2),
    "two flakes": Product(count=4, flakes=2),
    "five changes": Product(count=5),
    "six changes": Product(count=6, clashes=0),
    "one by one": Product(count=4, pairs=2, together=False),
    "foreign push": Product(count=4, clashes=0, foreign=True),
    "stacked": Product(count=4, clashes=0, stacked=True),
    "stacked, one by one": Product(count=4, clashes=0, stacked=True, together=False),
}
BELIEFS = {
    "usual": {},
    "careful agents": {"risk": 0.01},
    "careless agents": {"risk": 0.4},
    "hopeless agents": {"risk": 0.7},
    "one proof is enough": {"doubt": 0.45},
}


@pytest.mark.slow
@everywhere
@pytest.mark.parametrize("beliefs", BELIEFS)
@pytest.mark.parametrize("cases", FURTHER)
def test_every_history_of_some_changes_ends_right(cases, beliefs, slots, rejection) -> None:
    run(FURTHER[cases], slots, Settings(rejection=rejection, **BELIEFS[beliefs]))
