"""Gates on a cluster. A worker that is lost in the middle of one says nothing of the change: the gate runs once more elsewhere."""

from __future__ import annotations

import time
from dataclasses import dataclass

from agentctl import __version__
from agentctl.cluster import at_worker
from agentctl.cluster.engine import Engine, Lost, NotBegun, SchedulerLost, Unwanted
from agentctl.cluster.orders import GATES, Address, GateOrder
from agentctl.core.policy.policy import Policy, fingerprint
from agentctl.core.queue.model import Verdict
from agentctl.gate.judging import GateRun
from agentctl.git.repository import Hub
from agentctl.hub import foreign
from agentctl.hub.verdicts import Judgement

LOSSES = 3
"""Workers that may be lost while they run the same gate, before that counts as no accident."""


def address_of(hub: Hub, trunk: str) -> Address:
    """Return a hub as workers reach it: a remote as this station does, a hub of this repository by its path."""
    return Address(hub.station.remote.url if hub.station else hub.git_dir, trunk, __version__)


@dataclass
class RemoteGates:
    engine: Engine

    @property
    def room(self) -> int:
        return self.engine.room(GATES)

    @property
    def lacking(self) -> str:
        return self.engine.lacking(GATES)

    def begin(self) -> RemoteGate:
        return RemoteGate(self.engine)


@dataclass
class RemoteGate:
    engine: Engine
    stopped: bool = False

    def judge(self, hub: Hub, policy: Policy, commit: str, known: frozenset[str], base: str | None, doubted: bool) -> Judgement:
        """See `gate.judging.judge`."""
        if not policy.gates:
            return GateRun().judge(hub, policy, commit, known, base, doubted)
        begun = time.time()

        def none(verdict: Verdict, why: str) -> Judgement:
            tree, seconds = hub.objects.commit(commit).tree, round(time.time() - begun, 3)
            return Judgement(verdict, tree, commit, fingerprint(policy), seconds, begun, why=why)

        landed = foreign.tip(hub, policy.trunk)
        order = GateOrder(
            address_of(hub, policy.trunk),
            policy,
            commit,
            known,
            base,
            doubted,
            landed,
            hub.pack([commit, *([base] if base else [])], [landed]),
        )
        lost = []
        while True:
            try:
                judgement = self.engine.carry_out(at_worker.judge, order, GATES, lambda: not self.stopped)
                assert isinstance(judgement, Judgement)
                return judgement
            except Unwanted:
                return none(Verdict.ABORTED, "stopped")
            except (NotBegun, SchedulerLost):
                continue
            except Lost as error:
                lost.append(error.message)
                if len(lost) >= LOSSES:
                    return none(Verdict.INDETERMINATE, f"the machine failed us: {'; '.join(lost)}")
            except Exception as error:
                return none(Verdict.INDETERMINATE, f"the machine failed us: a worker says: {error}")

    def stop(self) -> None:
        self.stopped = True
