"""A model queue that holds each plan, and the memory with it, against complete history.

The planner remembers a little from plan to plan; `obvious.py` reads all history again.
Both must come to the same decisions wherever these do not depend on what is believed.
"""

from __future__ import annotations

from dataclasses import dataclass

from agentctl.core.planner.beliefs import Beliefs, odds_bad
from agentctl.core.planner.judge import AUDIT
from agentctl.core.planner.memory import Memory, load
from agentctl.core.queue.model import Cancel, Certificate, Land, Plan, Reject, View
from agentctl.core.text.json_form import replace
from tests.property.obvious import History
from tests.property.queue_model import QueueModel


@dataclass
class Watched(QueueModel):
    def history(self) -> History:
        return History(
            tuple(self.trunk),
            tuple(map(tuple, self.steps)),
            tuple(self.failed.values()),
            tuple(self.passed.values()),
            tuple(self.queue.values()),
            self.limits.rejection == "inference",
        )

    def check_plan(self, decided: Plan, view: View) -> None:
        super().check_plan(decided, view)
        now = self.history()
        rejects = [a.certificate for a in decided.actions if isinstance(a, Reject)]
        compare_rejects(now, rejects)
        gone = {certificate.change for certificate in rejects}
        then = replace(now, queued=tuple(c for c in now.queued if c.key not in gone))
        self.compare_evidence(then, load(decided.memory), gone.union(self.rejected))
        if not rejects:
            self.compare_proofs(now, load(decided.memory))
        compare_lands(then, decided, view.withheld)
        compare_green(then, load(decided.memory))
        compare_failures(then, load(decided.memory), {r.probe.number for r in view.finished})
        compare_segments(then, load(decided.memory), settled=not rejects)
        compare_cancels(then, decided, view, gone.union(self.rejected))

    def compare_evidence(self, then: History, memory: Memory, rejected: set[str]) -> None:
        """What a rejected change explains counts against nobody, as far as its members
        are remembered; and no less is left open than one who may be it as well."""
        probes, beliefs = {p.number: p for p in then.failed}, Beliefs(memory, self.limits)
        passed = {key for probe in then.passed for key in probe.chain}
        for items, evidence in ((segment.items, segment.evidence) for segment in memory.segments):
            for number, alt in evidence:
                chain = set(probes[number].chain)
                assert chain.isdisjoint(rejected) or chain & self.gone - rejected
                others = (then.waiting(probes[number]) or set()) - passed.union(items)
                risks = (min(self.limits.risk, beliefs.risk(then.queue[key])) for key in others)
                assert all(2 * alt >= risk for risk in risks)

    def compare_proofs(self, now: History, memory: Memory) -> None:
        """Nobody stays who never passed, against whom enough failures are proof."""
        beliefs, limits = Beliefs(memory, self.limits), self.limits
        passed = {key for probe in now.passed for key in probe.chain}
        for key, proofs in now.certificates().items():
            odds = odds_bad(beliefs.risk(now.queue[key]), [beliefs.flake] * len(proofs))
            assert key in passed.union(memory.audited) or odds < (1 - limits.doubt) / limits.doubt


def compare_rejects(now: History, rejects: list[Certificate]) -> None:
    proofs = now.certificates()
    able = {key for probe in now.may_land() for key in now.rest(probe) or ()}
    for certificate in rejects:
        assert certificate.failed in proofs[certificate.change]
        assert certificate.change not in able, "what may land is not rejected"


def compare_lands(then: History, decided: Plan, withheld: bool) -> None:
    lands = [a.probe.number for a in decided.actions if isinstance(a, Land)]
    assert lands == ([] if withheld else [probe.number for probe in then.may_land()[:1]])


def compare_green(then: History, memory: Memory) -> None:
    """What passed is green until it fails with others that passed, or until that is likely."""
    green = set(memory.green)
    assert then.proven(memory.distrusted) <= green <= then.tested()


def compare_failures(then: History, memory: Memory, new: set[int]) -> None:
    remembered = {failure.number: set(failure.open) for failure in memory.failures if failure.open}
    assert remembered == then.failures()
    flakes = len(then.flakes() - new)
    assert flakes <= memory.flakes <= flakes + (AUDIT - 1) * memory.audits


def compare_segments(then: History, memory: Memory, settled: bool) -> None:
    """Each suspect is in the chain of each failure that accuses it; none is suspected
    twice, and none that is proven and trusted. No failure is forgotten."""
    chains = {p.number: set(p.chain) for p in then.failed}
    suspects = [key for segment in memory.segments for key in segment.items]
    assert len(set(suspects)) == len(suspects)
    proven = then.proven(memory.distrusted)
    assert not proven.union(memory.green).intersection(suspects)
    assert then.queue.keys() >= set(suspects)
    for items, evidence in ((segment.items, segment.evidence) for segment in memory.segments):
        assert items and evidence
        for number, alt in evidence:
            assert chains[number].issuperset(items) and 0 < alt < 1
    for accused in then.failures().values() if settled else ():
        assert accused.intersection(suspects) or accused.intersection(memory.green)


def compare_cancels(then: History, decided: Plan, view: View, rejected: set[str]) -> None:
    """Only what can neither land nor teach is stopped: nothing is unknown in it, it holds a
    rejected change, or all suspects of a failed probe and others besides."""
    running = {p.number: p for p in view.running}
    suspects = [set(segment.items) for segment in load(decided.memory).segments]
    for probe in (running[a.number] for a in decided.actions if isinstance(a, Cancel)):
        unknown = then.queue.keys() & set(probe.asked) - then.tested()
        useful = unknown or (rest := then.rest(probe)) and then.queue.keys() >= set(rest)
        doomed = any(items.issubset(probe.chain) and not items.issuperset(probe.asked) for items in suspects)
        assert doomed or not useful or rejected.intersection(probe.chain)
