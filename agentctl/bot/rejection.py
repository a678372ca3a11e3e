"""The rejection of a change on a certificate: a failed probe, and a passed one that lacks the change."""

from __future__ import annotations

from agentctl.bot.turn import Turn
from agentctl.core.queue.answer import Facts
from agentctl.core.queue.events import Replanned, Staged
from agentctl.core.queue.model import Certificate, Verdict
from agentctl.core.queue.records import GateFailed
from agentctl.core.text.json_form import facts
from agentctl.hub import landed, outbox, verdicts


def convict(turn: Turn, certificate: Certificate, gate: str) -> None:
    """Reject a change by a failed and a passed verdict of the gate in force.

    If there is no such pair, the change is tested anew. There is none, for example, if what failed was judged by a gate
    that a landing has changed.
    """
    if certificate.change not in turn.state.queue:
        return
    staged = next((s for s in turn.state.failed if s.probe.number == certificate.failed), None)
    record = turn.state.queue[certificate.change]
    judgement = verdicts.lookup(turn.hub, gate, staged.tree, Verdict.FAILED) if staged and staged.gate == gate else None
    passed = _without(turn, staged, record.key) if staged and judgement else ""
    if not (staged and judgement and passed):
        turn.happen(Replanned(f"what failed with {record.key} is not evidence of the gate in force", failures=True))
        return
    reason = GateFailed(certificate.failed, staged.probe.chain, staged.gate, staged.tree, passed)
    answer = outbox.Answer(
        Facts(
            certificate=certificate.reason,
            step=judgement.step,
            exit=judgement.exit,
            commit=staged.commit,
            base=staged.probe.base,
            **facts(reason),
            landed=landed.since(turn.hub, record.base, turn.state.trunk),
        ),
        log=judgement.log,
    )
    turn.reject(record.key, reason, f"{judgement.why} ({certificate.reason})", answer)


def _without(turn: Turn, staged: Staged, key: str) -> str:
    """Return a tree that lacks `key` and passed the gate by which `staged` failed; empty if there is none.

    If `key` is the last change of the chain, the tree below it is tried first. Then trunk's tree is tried, which holds
    the other changes by now, and then that of the base on which all were put.
    """
    keys = [k for k, _ in staged.landing]
    below = [staged.landing[-2][1] if len(keys) > 1 else staged.probe.base] if keys[-1] == key else []
    objects = turn.hub.objects
    there = (oid for oid in (*below, turn.state.trunk, staged.probe.base) if objects.exists(oid))
    trees = (objects.commit(oid).tree for oid in there)
    return next((t for t in trees if verdicts.lookup(turn.hub, staged.gate, t, Verdict.PASSED)), "")
