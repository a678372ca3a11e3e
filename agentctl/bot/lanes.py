"""Lanes: changes that different gates judge do not wait for each other.

Which gates judge a change follows from the paths that the gates name in the policy. What the planner does with lanes is
in `core.planner.choose`.
"""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass, field

from agentctl.bot.stage import Built, Stager
from agentctl.bot.turn import Turn
from agentctl.core import refnames
from agentctl.core.policy.policy import Policy, in_parts, parts
from agentctl.core.queue.events import Follows, Regated, Staged
from agentctl.core.queue.model import Probe, Result, Verdict
from agentctl.core.text import json_form
from agentctl.git.repository import Hub
from agentctl.hub import marks, verdicts


def judged_by(hub: Hub, policy: Policy, base: str, head: str) -> tuple[str, ...] | None:
    """Return the gates that have something new to judge between two commits, or None.

    None means that all changes are of one lane: the policy has no gate, or one that names no paths. Raises ObjectError.
    """
    if not all(gate.paths for gate in policy.gates) or not policy.gates:
        return None
    old, new = (hub.objects.commit(commit).tree for commit in (base, head))
    return tuple(
        name
        for part in parts(policy)
        for name in part.gates
        if hub.objects.part(old, part.paths) != hub.objects.part(new, part.paths)
    )


def assign(turn: Turn, policy: Policy) -> None:
    """Record for each queued change by which gates of the given policy it is judged."""
    for key, record in list(turn.state.queue.items()):
        gates = judged_by(turn.hub, policy, record.base, record.change.head)
        if gates != record.change.gates:
            turn.happen(Regated(key, gates))


@dataclass(frozen=True, slots=True)
class _Compared:
    """A probe as it is on the present trunk, and what its gates have to do there."""

    probe: Probe
    built: Built
    holds: bool
    """True if the tree on the present trunk is known to pass."""
    same: tuple[float, ...]
    """For each gate that has to judge there what it judges now: how many seconds it takes, as far as known."""
    left: float
    """How many seconds the other gates take there, as far as known."""


@dataclass
class Follower:
    """What finds, among the probes whose base trunk has left for changes of other lanes, those that follow trunk.

    A probe follows trunk if gates have to judge on the present trunk what they judge, or judged, on the old one. Failures
    stay on their old base, because a certificate names the very trees that were tested.

    It remembers what it computed, and nothing else: a new one gives the same answers.
    """

    hub: Hub
    _known: dict[int, tuple[object, _Compared]] = field(default_factory=dict)
    """By number of the probe: what it was compared with, and the outcome."""

    def holding(self, turn: Turn, policy: Policy, stager: Stager, wanted: Container[str]) -> tuple[Result, ...]:
        """Return the passed probes that hold on the present trunk too, as they are there, and record that they do.

        `wanted` has the keys of the changes that may land.
        """
        found: list[Result] = []
        for passed in turn.state.passed if in_parts(policy) else ():
            seen = self._compare(turn, policy, stager, wanted, passed)
            if seen and seen.holds:
                staged = Staged(seen.probe, seen.built.commit, seen.built.tree, seen.built.landing, passed.gate, passed.started)
                turn.happen(Follows(seen.probe.number, seen.probe.base, staged))
                found.append(Result(seen.probe, Verdict.PASSED, staged=staged.commit))
        return tuple(found)

    def running(self, turn: Turn, policy: Policy, stager: Stager, wanted: Container[str]) -> tuple[Probe, ...]:
        """Return the running probes that follow trunk, as if they had begun there.

        It has to save time: the gates that judge the same there take at least as long as those that would be left to run.
        A running gate takes at least as long as it has run so far.
        """
        found: list[Probe] = []
        for staged in turn.state.probes if in_parts(policy) else ():
            seen = self._compare(turn, policy, stager, wanted, staged)
            if seen and seen.same and sum(max(usual, turn.now - staged.started) for usual in seen.same) >= seen.left:
                found.append(seen.probe)
        running = {staged.probe.number for staged in (*turn.state.probes, *turn.state.passed)}
        self._known = {number: known for number, known in self._known.items() if number in running}
        return tuple(found)

    def _compare(self, turn: Turn, policy: Policy, stager: Stager, wanted: Container[str], staged: Staged) -> _Compared | None:
        """Compare a probe with itself on the present trunk.

        None if trunk is on the way from its base to the commit that was tested, if none of its changes may land, or if
        they conflict with trunk.
        """
        trunk, probe = turn.state.trunk, staged.probe
        chain = tuple(key for key in probe.chain if key in wanted)
        if not chain or trunk == probe.base or any(trunk == commit for _, commit in staged.landing):
            return None
        inputs = trunk, chain, staged.commit, policy, marks.tip(self.hub, refnames.VERDICTS), self.hub.objects.store.era
        if probe.number not in self._known or self._known[probe.number][0] != inputs:
            built = stager.chain(trunk, turn.members(chain))
            suspects = sum(key in probe.asked for key in chain)
            moved = json_form.replace(probe, base=trunk, chain=chain, suspects=suspects)
            holds = not built.conflicts and verdicts.passed(self.hub, policy, built.commit, turn.now) is not None
            self._known[probe.number] = inputs, _Compared(moved, built, holds, *self._gates(policy, trunk, staged, built))
        seen = self._known[probe.number][1]
        return None if seen.built.conflicts else seen

    def _gates(self, policy: Policy, trunk: str, staged: Staged, built: Built) -> tuple[tuple[float, ...], float]:
        """Return (`_Compared.same`, `_Compared.left`). How long a gate takes is known from its run on trunk."""
        hub = self.hub
        done = verdicts.passed_parts(hub, policy, staged.tree), verdicts.passed_parts(hub, policy, built.tree)
        same: list[float] = []
        left = 0.0
        before = hub.objects.commit(trunk).tree
        for p in parts(policy):
            ran, ours, new = (hub.objects.part(tree, p.paths) for tree in (before, staged.tree, built.tree))
            known = verdicts.lookup(hub, p.fingerprint, ran, Verdict.PASSED)
            seconds = known.seconds if known else 0.0
            if p.fingerprint not in done[0] and ours == new:
                same.append(seconds)
            elif p.fingerprint not in done[1]:
                left += seconds
        return tuple(same), left
