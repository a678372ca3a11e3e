"""Rejecting a change on a certificate: with the failed run and the passed one that lacks it."""

from __future__ import annotations

from agentctl.bot.turn import Turn
from agentctl.core.queue.events import Replanned, Staged
from agentctl.core.queue.model import Certificate, Verdict
from agentctl.core.queue.records import GateFailed
from agentctl.core.text.json_form import facts
from agentctl.hub import landed, outbox, verdicts


def convict(turn: Turn, certificate: Certificate, gate: str) -> None:
    """Reject by a pair of verdicts of the gate in force. Where there is none, as when what
    failed was judged by a gate that a landing has changed, the change is tested anew."""
    if certificate.change not in turn.state.queue:
        return
    staged = next((s for s in turn.state.failed if s.probe.number == certificate.failed), None)
    record = turn.state.queue[certificate.change]
    judgement = verdicts.lookup(turn.hub, gate, staged.tree, Verdict.FAILED) if staged and staged.gate == gate else None
    passed = _without(turn, staged, record.key) if staged and judgement else ""
    if not (staged and judgement and passed):
        turn.happen(Replanned(f"what failed with {record.key} is no evidence of the gate in force", failures=True))
        return
    reason = GateFailed(certificate.failed, staged.probe.chain, staged.gate, staged.tree, passed)
    answer = outbox.Answer(
        {
            "certificate": certificate.reason,
            "step": judgement.step,
            "exit": judgement.exit,
            "commit": staged.commit,
            "base": staged.probe.base,
            **facts(reason),
            "landed": landed.since(turn.hub, record.base, turn.state.trunk),
        },
        log=judgement.log,
    )
    turn.reject(record.key, reason, f"{judgement.why} ({certificate.reason})", answer)


def _without(turn: Turn, staged: Staged, key: str) -> str:
    """A tree that lacks `key` and passed the gate by which `staged` failed: what is below it in
    the chain, if it is the last there; else trunk, which holds the others by now, or the base
    that all were put on. Empty if none of them did."""
    keys = [k for k, _ in staged.landing]
    below = [staged.landing[-2][1] if len(keys) > 1 else staged.probe.base] if keys[-1] == key else []
    objects = turn.hub.objects
    there = (oid for oid in (*below, turn.state.trunk, staged.probe.base) if objects.exists(oid))
    trees = (objects.commit(oid).tree for oid in there)
    return next((t for t in trees if verdicts.lookup(turn.hub, staged.gate, t, Verdict.PASSED)), "")
