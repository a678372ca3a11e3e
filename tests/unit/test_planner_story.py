"""One queue from its first plan to its last: the planner explained by an example.

Read it from top to bottom. It needs no knowledge of group testing; the theory is in the docstring of
`agentctl.core.planner`, and the words (chain, suspect, green, ride, bet, certificate) are in docs/ARCHITECTURE.md.

The setting. Twelve changes, a to l, wait in the queue. All are by one agent, ann, of whom nothing is known. Two gate runs
(probes) fit at the same time, one a slot. A gate run says only "passed" or "failed" of all the changes in its chain
together. Two things will go wrong, and the planner is told of neither:

- j is bad: every chain that holds it fails;
- probe 1 fails although all its changes are good: a flake.

The policy is the default: a change of an unknown agent is bad with 10%; a change is rejected only when the odds are at
least 249 to 1 that it is bad (`doubt` = 0.4%), and only on a failed chain whose other changes are literally on trunk.

How to read a step. `queue.passed(3)` and `queue.failed(3)` are what the planner is told: how probe 3 ended. `queue.plan()`
asks the real planner for a plan, performs what it decides, as the bot would, and asks again while that moved something. It
returns all decisions, one a line, with the reasons that the planner gives. Chains are written as the letters of their
changes, in order. Trunk begins at the commit t0; the landing of probe 3 brings it to the commit t3.
"""

from __future__ import annotations

from agentctl.core.planner import Settings, plan
from agentctl.core.planner.memory import load
from agentctl.core.queue.model import Action, Cancel, Change, Land, Reject, Result, Start, Verdict, View
from agentctl.core.text.json_form import replace

GATE = 60.0
"""Seconds that a gate run takes. The two slots end in turn, one every half of that."""


def letters(keys: tuple[str, ...]) -> str:
    return "".join(key[0] for key in keys)


def in_words(action: Action) -> str:
    """The decision as a line of the transcript."""
    match action:
        case Start(probe):
            return f"probe {probe.number}: {letters(probe.chain)} on {probe.base}: {probe.reason}"
        case Land(probe, reason):
            return f"land probe {probe.number}: {reason}"
        case Reject(certificate):
            return f"reject {certificate.change[0]}: {certificate.reason}"
        case Cancel(number, reason):
            return f"stop probe {number}: {reason}"


class Queue:
    """What the bot does around the planner: it shows a view, and performs what is decided."""

    def __init__(self, names: str, slots: int) -> None:
        self.now = 0.0
        queued = tuple(Change(name, 1, f"head-{name}", "ann", seq, 0.0) for seq, name in enumerate(names))
        self.view = View("t0", queued, slots=slots)

    def passed(self, number: int) -> None:
        self._end(number, Verdict.PASSED)

    def failed(self, number: int) -> None:
        self._end(number, Verdict.FAILED)

    def _end(self, number: int, verdict: Verdict) -> None:
        self.now += GATE / 2
        probe = next(p for p in self.view.running if p.number == number)
        result = Result(probe, verdict, GATE, staged=f"t{number}")
        self._stop(number)
        self.view = replace(self.view, finished=(result,))

    def _stop(self, number: int) -> None:
        self.view = replace(self.view, running=tuple(p for p in self.view.running if p.number != number))

    def plan(self) -> list[str]:
        """Plan and perform until nothing moves; every decision, in order, in words."""
        decided: list[str] = []
        while True:
            made = plan(self.view, Settings(), self.now)
            self.view = replace(self.view, memory=made.memory, finished=(), landed=())
            decided += map(in_words, made.actions)
            for action in made.actions:
                self._perform(action)
            if all(isinstance(action, Start) for action in made.actions):
                return decided

    def _perform(self, action: Action) -> None:
        match action:
            case Start(probe):
                self.view = replace(self.view, running=(*self.view.running, probe), next_probe=probe.number + 1)
            case Land(probe):
                queued = {change.key for change in self.view.queued}
                rest = tuple(key for key in probe.chain if key in queued)
                self._leave(*rest)
                self.view = replace(self.view, trunk=f"t{probe.number}", landed=rest)
            case Reject(certificate):
                self._leave(certificate.change)
            case Cancel(number):
                self._stop(number)

    def _leave(self, *keys: str) -> None:
        self.view = replace(self.view, queued=tuple(change for change in self.view.queued if change.key not in keys))

    @property
    def waiting(self) -> str:
        return letters(tuple(change.key for change in self.view.queued))


def test_twelve_changes_two_slots_one_culprit_and_one_flake() -> None:
    queue = Queue("abcdefghijkl", slots=2)

    # 1. TWELVE CHANGES ARE QUEUED. Nothing is known, both slots are free.
    #
    # A gate run teaches most if "passed" and "failed" are equally likely. Each change is good with 90%, so seven of them
    # pass together with 0.9 ** 7 = 48%, and that is the nearest to an even bet. So the first slot tests a to g at once. The
    # second slot tests what is left, five changes: 59%. The two chains share no change, so both answers are news.
    assert queue.plan() == [
        "probe 1: abcdefg on t0: first probe of 7 of 12 waiting: 48% to pass; ann is new, 10% assumed",
        "probe 2: hijkl on t0: first probe of 5 of 5 waiting: 59% to pass; ann is new, 10% assumed",
    ]

    # 2. PROBE 1 FAILS. (It is the flake: a to g are all good. The planner cannot know that.)
    #
    # At least one of the seven is bad, or the gate flaked. They are now a segment: suspects that are searched as one.
    # Which is the first bad one? The planner tests the first three, which again is an even bet: 48%.
    queue.failed(1)
    assert queue.plan() == ["probe 3: abc on t0: probes 3 of 7 suspects of probe 1: 48% to pass; ann is new, 10% assumed"]

    # 3. PROBE 2 FAILS, as j is in it. The five are a second segment, and get a search of their own: each slot has one.
    queue.failed(2)
    assert queue.plan() == ["probe 4: hi on t0: probes 2 of 5 suspects of probe 2: 54% to pass; ann is new, 10% assumed"]

    # 4. PROBE 3 PASSES. It was built on trunk as it stands, so that very tree has passed, and a, b and c land.
    #
    # The culprit of probe 1, if there is one, is one of d to g. That these four fail together is known, so they are not
    # tested together again. Two of them would be the most even bet. But a change is rejected only after a failed probe in
    # which all others are on trunk, and a suspect that fails alone has given that proof. So the last four suspects
    # are tested one by one from the front: d. Ann's risk fell as three of her changes landed, so d passes with 72%.
    queue.passed(3)
    assert queue.plan() == [
        "land probe 3: probe 3 passed on trunk with 3 changes",
        "probe 5: d on t3: probes 1 of 4 suspects of probe 1: 72% to pass; ann failed 0 of 3",
    ]

    # 5. PROBE 4 PASSES, but too late to land: h and i passed on t0, and trunk is at t3. They are green now: good as far as
    # is known, and not suspects any more, but their tree with a, b and c was never tested.
    #
    # Of the suspects of probe 2 these are left: j, k and l. The first of them is tested. It is tested without h and i: its
    # failure on trunk alone would be proof at once, and would not hold up the green ones.
    queue.passed(4)
    assert queue.plan() == ["probe 6: j on t3: probes 1 of 3 suspects of probe 2: 64% to pass; ann failed 0 of 3"]

    # 6. PROBE 5 PASSES: d lands. The search of probe 1's suspects goes on with e.
    queue.passed(5)
    assert queue.plan() == [
        "land probe 5: probe 5 passed on trunk with 1 change; 2 green ones left for the next",
        "probe 7: e on t5: probes 1 of 3 suspects of probe 1: 64% to pass; ann failed 0 of 4",
    ]

    # 7. PROBE 6 FAILS: j failed alone on t3, which was trunk. That is a certificate, and yet j is not rejected.
    #
    # Gates flake: 0.33% is assumed until something else is seen. Bayes says 166 to 1 that j is bad, and 249 to 1 is asked
    # for. Probe 2 weighs little in this: k or l may explain its failure as well as j.
    #
    # A second run of j is not started either. j is parked: it would get only a slot that nothing else needs. For k and l
    # have to be tested anyway, and if they pass, only j can explain why probe 2 failed.
    #
    # What was said against k and l is explained by j. So they count as untested again, with the risk of any change of ann
    # (86% to pass), and their next probe is called a first one, although both failed in probe 2. The green h and i ride in
    # front of them: if the chain passes on trunk it lands all four.
    queue.failed(6)
    assert queue.plan() == [
        "probe 8: hikl on t5: first probe of 2 of 2 waiting: 86% to pass; ann failed 0 of 4; 2 green ones along"
    ]

    # 8. PROBE 7 PASSES: e lands, f is next. If f passes too, g is the only suspect left of probe 1.
    queue.passed(7)
    assert queue.plan() == [
        "land probe 7: probe 7 passed on trunk with 1 change; 2 green ones left for the next",
        "probe 9: f on t7: probes 1 of 2 suspects of probe 1: 49% to pass; ann failed 0 of 5",
    ]

    # 9. PROBE 8 PASSES, on t5, while trunk is at t7: h, i, k and l are green.
    #
    # So all that failed in probe 2 are green but j. The failures of two probes, 2 and 6, are explained by j alone: 6645
    # to 1. j is rejected, and the certificate is probe 6. The second failure has not cost a probe.
    #
    # Only g is neither green nor in a probe, and a slot is free, so the planner need not save probes any more. It bets: f,
    # which is being tested, fails in 52% of the imagined worlds. Trunk then stays at t7: this is what the 52% in the reason
    # are. There g is probably good, as f explains why probe 1 failed. So the chain "g and the green ones on t7" lands five
    # changes in 49% of all worlds. Changes that have waited longer count more, by now twice. So this is worth
    # 5 * 2 * 49% = 4.89 changes that have just come.
    queue.passed(8)
    assert queue.plan() == [
        "reject j: probe 6 failed with it on t3, which is green on trunk without it; 6645 to 1 that it is bad"
        " after 2 failures that only it explains; ann failed 0 of 5",
        "probe 10: ghikl on t7: lands 5 if trunk gets there, 52%; worth 4.89 changes",
    ]

    # 10. PROBE 9 PASSES: f lands, and the bet is lost. Trunk has left t7. And g is now the only suspect of probe 1, so that
    # a chain with g would probably fail. Probe 10 is stopped, and its slot is free. Its reason names "a probe that failed
    # since". That is probe 1: it failed before probe 10 began, but only since then are all its suspects in probe 10.
    #
    # All others of probe 1 are now on trunk in the order in which it tested them, so it is a certificate against g by
    # itself. Odds of 42 to 1 are not enough. No mate is left to wait for, so g has a second look, alone.
    #
    # The other slot bets once more. That g is good has a probability of 2%, and below 5% bets take it for bad in every
    # imagined world: in none of them does probe 11 move trunk ("100%"). So probe 12 tests the four green ones without g.
    queue.passed(9)
    assert queue.plan() == [
        "land probe 9: probe 9 passed on trunk with 1 change; 4 green ones left for the next",
        "stop probe 10: it is bound to fail: it holds all suspects of a probe that failed since",
        "probe 11: g on t9: second look after 1 failure; ann failed 1 of 7",
        "probe 12: hikl on t9: lands 4 if trunk gets there, 100%; worth 8.50 changes",
    ]

    # 11. PROBE 11 PASSES: g is good, and lands. A belief was wrong, and no harm is done, as beliefs only choose probes.
    #
    # All seven changes of probe 1 have landed, so its failure was a flake. It is counted: from now on the planner
    # takes 1.1% for the rate of flakes, and asks for more proof.
    #
    # Probe 12 can neither land (trunk has left t9) nor teach (its four changes are green): it is stopped, and the same
    # four changes are tested on trunk as it stands.
    queue.passed(11)
    assert queue.plan() == [
        "land probe 11: probe 11 passed on trunk with 1 change; 4 green ones left for the next",
        "stop probe 12: all changes it asks about are proven, gone or held back",
        "probe 13: hikl on t11: lands 4 if trunk gets there, 100%; worth 9.00 changes",
    ]
    assert load(queue.view.memory).flakes == 1

    # 12. PROBE 13 PASSES, and lands the rest. The queue is empty, and the planner asks nothing more.
    queue.passed(13)
    assert queue.plan() == ["land probe 13: probe 13 passed on trunk with 4 changes"]
    assert queue.waiting == ""

    # THE END. Eleven changes landed. j was rejected after two failures that only it explains, one of them a
    # certificate. g was not rejected, although there was a certificate against it. That took 13 probes, two of which
    # were stopped. Testing one by one takes about as many in a queue this short, but it has no second failure for
    # anything. What testing together saves in long queues is in docs/MEASUREMENTS.md.
    assert load(queue.view.memory).agents == {"ann": (11, 1)}
