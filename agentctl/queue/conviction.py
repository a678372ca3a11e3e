"""Rejecting a change on a certificate: with the failed run and the passed one that lacks it."""

from __future__ import annotations

from agentctl.core.ledger import Staged
from agentctl.core.model import Certificate, Verdict
from agentctl.queue import answers, verdicts
from agentctl.queue.turn import Turn


def convict(turn: Turn, certificate: Certificate) -> None:
    if certificate.change not in turn.state.queue:
        return
    staged = next(s for s in turn.state.failed if s.probe.number == certificate.failed)
    record = turn.state.queue[certificate.change]
    judgement = verdicts.lookup(turn.hub, staged.gate, staged.tree, Verdict.FAILED)
    evidence = {"probe": certificate.failed, "chain": list(staged.probe.chain), "gate": staged.gate,
                "failed": staged.tree, "passed": _without(turn, staged, record.key)}
    answer = answers.Answer({
        "certificate": certificate.reason, "step": judgement.step, "exit": judgement.exit,
        "commit": staged.commit, "base": staged.probe.base, **evidence,
        "landed": answers.landed_since(turn.hub, record.base, turn.state.trunk),
    }, log=judgement.log)
    turn.reject(record.key, "gate", f"{judgement.why} ({certificate.reason})", answer, evidence)


def _without(turn: Turn, staged: Staged, key: str) -> str:
    """The tree that passed and lacks only `key`: what is below it in the chain, or trunk."""
    keys = [k for k, _ in staged.landing]
    if keys[-1] != key:
        below = turn.state.trunk
    else:
        below = staged.landing[-2][1] if len(keys) > 1 else staged.probe.base
    return turn.hub.objects.commit(below).tree
