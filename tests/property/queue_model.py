"""A merge queue in miniature that drives `plan` and checks every action.

The model knows the truth: bad changes, pairs that break together, flakes, textual
clashes. It keeps its own history of trunk and of verdicts, and judges the planner's
actions by that history alone.
"""

from __future__ import annotations

from collections.abc import Callable
from copy import copy
from dataclasses import dataclass, field, fields

from agentctl.core.planner import Settings, plan
from agentctl.core.planner.memory import load
from agentctl.core.queue.model import Cancel, Change, Land, Plan, Probe, Reject, Result, Start, Verdict, View
from agentctl.core.text.json_form import replace

FOREIGN = "foreign"


@dataclass(frozen=True)
class Trial:
    """What was known when a change was rejected."""

    memory: bytes
    failed: tuple[Probe, ...]
    passed: tuple[Probe, ...]


@dataclass
class QueueModel:
    slots: int = 1
    bad: frozenset[str] = frozenset()
    bad_pairs: frozenset[frozenset[str]] = frozenset()
    clashing: frozenset[tuple[str, str]] = frozenset()
    revealed: set[tuple[str, str]] = field(default_factory=set)
    """The clashes that staging has met: the planner sees no others."""
    limits: Settings = Settings()
    stages: bool = True
    """Whether results name the staged commit."""
    trunk: list[str] = field(default_factory=lambda: ["t0"])
    """Commits of trunk in order."""
    steps: list[list[str]] = field(default_factory=list)
    """What each move of trunk brought: change keys, or FOREIGN."""
    queue: dict[str, Change] = field(default_factory=dict)
    memory: bytes = b""
    running: dict[int, Probe] = field(default_factory=dict)
    finished: list[Result] = field(default_factory=list)
    landed_now: list[str] = field(default_factory=list)
    failed: dict[int, Probe] = field(default_factory=dict)
    passed: dict[int, Probe] = field(default_factory=dict)
    asked: list[Probe] = field(default_factory=list)
    """Every probe as the planner wanted it; staging may leave members out."""
    landed: list[str] = field(default_factory=list)
    rejected: list[str] = field(default_factory=list)
    gone: set[str] = field(default_factory=set)
    trials: dict[str, Trial] = field(default_factory=dict)
    """By rejected change: what was known when it was rejected."""
    probes: int = 0
    now: float = 0.0
    withheld: bool = False

    def fork(self) -> QueueModel:
        """A copy that goes its own way."""
        return replace(self, **{f.name: copy(getattr(self, f.name)) for f in fields(self)})

    def submit(self, change: Change) -> None:
        self.queue[change.key] = change

    def withdraw(self, key: str) -> None:
        """Take a change out, and with it the stack that depends on it."""
        change = self.queue.pop(key, None)
        if change is None:
            return
        self.gone.add(key)
        if any(c.id == change.id for c in self.queue.values()):
            return
        for other in list(self.queue.values()):
            if change.id in other.after:
                self.withdraw(other.key)

    def supersede(self, key: str) -> None:
        change = self.queue[key]
        newer = replace(change, revision=change.revision + 1, seq=10_000 + self.probes + change.seq)
        self.submit(newer)
        self.withdraw(key)

    def push_foreign(self) -> None:
        self.trunk.append(f"x{len(self.trunk)}")
        self.steps.append([FOREIGN])

    def restart(self) -> None:
        """Killed: running probes vanish; so do verdicts that no plan has seen."""
        self.running.clear()

    def end(self, number: int, verdict: Verdict | None = None) -> None:
        """Finish a running probe with the verdict of its tree, or the one given."""
        probe = self.running.pop(number)
        if verdict is None:
            verdict = self.truth(probe)
        if verdict is Verdict.FAILED:
            self.failed[number] = probe
        if verdict is Verdict.PASSED:
            self.passed[number] = probe
        staged = f"s{number}" if self.stages else ""
        self.finished.append(Result(probe, verdict, 1.0, staged))

    def tree(self, probe: Probe) -> set[str]:
        """All changes in what a probe tests."""
        at = self.trunk.index(probe.base)
        return {k for step in self.steps[:at] for k in step}.union(probe.chain)

    def truth(self, probe: Probe) -> Verdict:
        tree = self.tree(probe)
        red = self.bad & tree or any(pair <= tree for pair in self.bad_pairs)
        return Verdict.FAILED if red else Verdict.PASSED

    def view(self) -> View:
        return View(
            trunk=self.trunk[-1],
            queued=tuple(sorted(self.queue.values(), key=lambda c: c.seq)),
            memory=self.memory,
            running=tuple(self.running.values()),
            finished=tuple(self.finished),
            clashes=frozenset(p for p in self.revealed if set(p) <= set(self.queue)),
            landed=tuple(self.landed_now),
            next_probe=self.probes + 1,
            slots=self.slots,
            withheld=self.withheld,
        )

    def take_turn(self, lose: Callable[[], bool] = lambda: False) -> None:
        """Plan and perform until no action moves anything. `lose` says whether a
        Land is lost to a foreign push."""
        while True:
            view = self.view()
            decided = plan(replace(view, memory=self.memory), self.limits, self.now)
            assert decided == plan(view, self.limits, self.now)
            self.memory = decided.memory
            self.finished, self.landed_now = [], []
            self.check_plan(decided, view)
            again = False
            for action in decided.actions:
                again |= self.perform(action, view, lose)
            self.drop_conflicts()
            if not again:
                return

    def check_plan(self, decided: Plan, view: View) -> None:
        """`decided` was planned for `view`, and nothing of it is performed yet."""
        kinds = [type(a) for a in decided.actions]
        assert kinds.count(Land) <= (0 if view.withheld else 1)
        starts = kinds.count(Start)
        assert starts + len(self.running) <= self.slots or not starts

    def perform(self, action: object, view: View, lose: Callable[[], bool]) -> bool:
        match action:
            case Start(probe):
                self.check_start(probe, view)
                self.probes += 1
                self.running[probe.number] = self.stage(probe)
                return False
            case Land(probe):
                if lose():
                    self.push_foreign()
                    return True
                self.check_land(probe)
                self.land(probe)
                return True
            case Reject(certificate):
                self.check_reject(certificate)
                self.rejected.append(certificate.change)
                verdicts = tuple(self.failed.values()), tuple(self.passed.values())
                self.trials[certificate.change] = Trial(self.memory, *verdicts)
                self.withdraw(certificate.change)
                return True
            case Cancel(number):
                assert action.reason
                del self.running[number]
                return True
        raise AssertionError(action)

    def stage(self, probe: Probe) -> Probe:
        """The probe without the members that clash with an earlier one."""
        chain: list[str] = []
        for key in probe.chain:
            met = {tuple(sorted((key, k))) for k in chain} & self.clashing
            self.revealed |= met
            if not met and self.placed(key, chain):
                chain.append(key)
        suspects = len(set(probe.asked).intersection(chain))
        return replace(probe, chain=tuple(chain), suspects=suspects)

    def placed(self, key: str, chain: list[str]) -> bool:
        done = {k.split("/")[0] for k in [*self.landed, *chain]}
        return done.issuperset(self.queue[key].after)

    def land(self, probe: Probe) -> None:
        rest = self.rest(probe)
        for key in rest:
            del self.queue[key]
        self.landed += rest
        self.landed_now = list(rest)
        self.trunk.append(f"s{probe.number}")
        self.steps.append(list(rest))

    def rest(self, probe: Probe) -> tuple[str, ...]:
        """What a probe lands: its chain without what landed on its base, literally."""
        since = tuple(k for step in self.steps[self.trunk.index(probe.base) :] for k in step)
        assert probe.chain[: len(since)] == since
        return probe.chain[len(since) :]

    def drop_conflicts(self) -> None:
        """A queued change that conflicts textually with landed work goes back."""
        for a, b in self.clashing:
            if a in self.landed:
                self.withdraw(b)
            if b in self.landed:
                self.withdraw(a)

    def check_start(self, probe: Probe, view: View) -> None:
        assert probe.number == self.probes + 1
        assert probe.base == self.trunk[-1]
        assert len(set(probe.chain)) == len(probe.chain)
        assert 0 <= probe.suspects <= len(probe.chain)
        assert set(probe.chain) <= set(self.queue)
        assert probe.suspects <= self.limits.batch
        assert any(c.isdigit() for c in probe.reason)
        members = set(probe.chain)
        assert not any(set(pair) <= members for pair in view.clashes)
        assert probe.chain
        assert len({self.queue[key].gates for key in probe.chain}) <= 1
        self.check_order(probe.chain)
        same = [p for p in self.known(view) if p.base == probe.base and set(p.chain) == members]
        self.asked.append(probe)
        if probe.again:
            assert len(probe.chain) <= 1 and not any(p.number in self.running for p in same)
        else:
            assert not same

    def known(self, view: View) -> list[Probe]:
        """What the planner knew when it saw `view`, and what it asked since."""
        staged = [*self.failed.values(), *self.passed.values(), *self.running.values()]
        new = view.next_probe
        return [p for p in staged if p.number < new] + [p for p in self.asked if p.number >= new]

    def check_order(self, chain: tuple[str, ...]) -> None:
        done = {k.split("/")[0] for k in self.landed}
        for key in chain:
            assert done.issuperset(self.queue[key].after)
            done.add(self.queue[key].id)

    def check_land(self, probe: Probe) -> None:
        assert self.passed[probe.number].chain == probe.chain
        rest = self.rest(probe)
        assert rest and set(rest) <= set(self.queue)
        assert not set(rest) & set(self.landed)
        self.check_order(rest)

    def check_reject(self, certificate: object) -> None:
        probe = self.failed[certificate.failed]
        assert certificate.change in self.queue
        assert certificate.change in probe.chain
        if self.limits.rejection == "inference":
            assert set(probe.chain) - {certificate.change} <= set(self.landed)
            return
        assert probe.chain[-1] == certificate.change
        want, have = list(probe.chain[:-1]), []
        for step in self.steps[self.trunk.index(probe.base) :]:
            if len(have) >= len(want):
                break
            have += step
        assert have == want

    def settle(self, bound: int) -> None:
        """Let everything end, oldest probe first, within `bound` more probes."""
        self.run_out(bound)
        assert not self.queue, (list(self.queue), load(self.memory))

    def run_out(self, bound: int) -> None:
        """Go on, oldest probe first, until nothing runs, within `bound` more probes."""
        last = self.probes + bound
        self.take_turn()
        while self.running:
            self.end(min(self.running))
            self.now += 1
            self.take_turn()
            assert self.probes <= last, f"{self.probes} probes, {list(self.queue)} still queued"
