"""Lanes: changes that different gates judge do not wait for each other.

Which gates judge a change follows from the paths that the gates name in the policy. What the planner does with lanes is
in `core.planner.choose`.
"""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass, field

from agentctl.bot.stage import Built, Stager
from agentctl.bot.turn import Turn
from agentctl.core.policy.policy import Policy, in_parts, parts
from agentctl.core.queue.events import Follows, Regated, Staged
from agentctl.core.queue.model import Probe, Result, Verdict
from agentctl.core.text import json_form
from agentctl.core.text.json_form import replace
from agentctl.git.repository import Hub
from agentctl.hub import verdicts


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


@dataclass
class Followed:
    """What is known of the probes that follow trunk, by probe number."""

    open: dict[int, Result] = field(default_factory=dict)
    """The results of probes that passed and have not landed."""
    shown: dict[int, Probe] = field(default_factory=dict)
    """The probes that run, as the planner is told of them."""
    tried: dict[int, str] = field(default_factory=dict)
    """The trunk on which each probe was last built."""


@dataclass
class Following:
    """The probes whose base trunk has left because changes of another lane landed.

    Such a probe follows trunk if gates have to judge on the present trunk what they judge, or judged, on the old one.
    Then the planner is told of the probe as if it had begun on the present trunk.

    Failures stay on their old base, because a certificate names the very trees that were tested.
    """

    turn: Turn
    policy: Policy
    stager: Stager
    wanted: Container[str]
    """The keys of the changes that may land."""
    memory: Followed

    def results(self, found: list[Result]) -> list[Result]:
        """Return the results `found` and, moved to the present trunk, the passed ones that hold there too."""
        if not in_parts(self.policy):
            return found
        open_, fresh = self.memory.open, {r.probe.number: r for r in found}
        self.memory.tried = {
            n: trunk for n, trunk in self.memory.tried.items() if n not in fresh and (n in open_ or n in self.memory.shown)
        }
        open_ |= {n: r for n, r in fresh.items() if r.verdict is Verdict.PASSED and r.probe.chain}
        for number, result in list(open_.items()):
            if not any(key in self.wanted for key in result.probe.chain):
                del open_[number]
            elif self._new(number, result.probe):
                probe, built = self._built(result.probe)
                # A train stays as it is if trunk is on the way to it: the same commit is built again.
                if (
                    not built.conflicts
                    and built.commit != result.staged
                    and verdicts.passed(self.turn.hub, self.policy, built.commit, self.turn.now)
                ):
                    took = result.seconds if number in fresh else 0.0
                    open_[number] = fresh[number] = replace(result, probe=probe, seconds=took, staged=built.commit)
                    self.turn.happen(Follows(number, probe.base))
        return list(fresh.values())

    def running(self, staged: list[Staged]) -> list[Probe]:
        """Return the probes that run, as the planner is told of them."""
        if not in_parts(self.policy):
            return [s.probe for s in staged]
        shown = self.memory.shown
        for s in staged:
            if self._new(s.probe.number, shown.get(s.probe.number, s.probe)):
                probe, built = self._built(s.probe)
                shown[s.probe.number] = probe if not built.conflicts and self._lasts(built, s) else s.probe
        self.memory.shown = {s.probe.number: shown.get(s.probe.number, s.probe) for s in staged}
        return list(self.memory.shown.values())

    def _new(self, number: int, probe: Probe) -> bool:
        """Tell whether the present trunk is new to a probe, and note that the probe is built on it."""
        trunk = self.turn.state.trunk
        if not probe.chain or trunk in (probe.base, self.memory.tried.get(number)):
            return False
        self.memory.tried[number] = trunk
        return True

    def _built(self, probe: Probe) -> tuple[Probe, Built]:
        """Build on the present trunk those changes of a probe that may land; return (moved probe, what was built)."""
        chain = tuple(key for key in probe.chain if key in self.wanted)
        built = self.stager.chain(self.turn.state.trunk, self.turn.members(chain))
        suspects = sum(key in probe.asked for key in chain)
        return json_form.replace(probe, base=self.turn.state.trunk, chain=chain, suspects=suspects), built

    def _lasts(self, built: Built, staged: Staged) -> bool:
        """Tell whether it saves time to show a running probe as if it had begun on the present trunk.

        It does if the gates that run and judge the same in `built` take at least as long as those that would be left to
        run there. How long a gate takes is known from its run on trunk; a running gate takes at least as long as it has
        run so far.
        """
        if built.commit == staged.commit:
            return False
        hub, policy = self.turn.hub, self.policy
        done = verdicts.passed_parts(hub, policy, staged.tree), verdicts.passed_parts(hub, policy, built.tree)
        same: list[float] = []
        left: list[float] = []
        trunk = hub.objects.commit(self.turn.state.trunk).tree
        for p in parts(policy):
            ran, ours, new = (hub.objects.part(tree, p.paths) for tree in (trunk, staged.tree, built.tree))
            known = verdicts.lookup(hub, p.fingerprint, ran, Verdict.PASSED)
            seconds = known.seconds if known else 0.0
            if p.fingerprint not in done[0] and ours == new:
                same.append(max(seconds, self.turn.now - staged.started))
            elif p.fingerprint not in done[1]:
                left.append(seconds)
        return bool(same) and sum(same) >= sum(left)
