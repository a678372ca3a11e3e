"""Step two: what the evidence allows to reject and to land.

Certificates are literal: beliefs only decide how many of them are asked for.
"""

from __future__ import annotations

from agentctl.core.planner.beliefs import odds_bad
from agentctl.core.planner.memory import FailedProbe, Landable, LastLand, Memory
from agentctl.core.planner.planning import Planning
from agentctl.core.planner.update import count
from agentctl.core.queue.model import Certificate, Land, Probe, Reject

AUDIT = 10
"""One conviction in so many is checked."""


def judge(turn: Planning) -> None:
    for key, (number, reason) in turn.mem.rejected.items():
        turn.actions.append(Reject(Certificate(key, number, reason)))
    for key, proofs in certificates(turn).items():
        if convicted(turn, key, proofs) and not audit(turn, key, proofs):
            reject(turn, key, proofs)
    turn.settle_green()
    if not turn.view.withheld:
        land(turn)


def certificates(turn: Planning) -> dict[str, list[FailedProbe]]:
    """The failed probes that prove a queued change bad, by its key; none against one
    that passed on trunk as it is, and is about to land."""
    landing = {k for p in turn.mem.passed for k in turn.rest(p) or ()}
    found: dict[str, list[FailedProbe]] = {}
    for failure in turn.mem.failures:
        culprit = accused(turn.mem, failure, turn.limits.rejection)
        if culprit in turn.queue and culprit not in landing:
            found.setdefault(culprit, []).append(failure)
    return found


def accused(mem: Memory, failure: FailedProbe, rejection: str) -> str | None:
    """The change against which `failure` is a certificate, if any.

    Strict: the last of the chain, if what is before it is literally what landed on
    the base, up to a tip of trunk, with nothing else between. Inference: the one
    member left that is not on trunk.
    """
    if not failure.doubted and on_trunk(mem, failure.base, failure.chain[:-1]):
        return failure.chain[-1]
    if rejection == "inference" and len(failure.open) == 1 < len(failure.chain):
        return failure.open[0]
    return None


def on_trunk(mem: Memory, base: str, chain: tuple[str, ...]) -> bool:
    """True if trunk was `base` and then, literally, `base` with `chain` on top."""
    at = next((i for i in reversed(range(len(mem.tips))) if mem.tips[i].commit == base), None)
    if at is None:
        return False
    landed: tuple[str, ...] = ()
    for tip in mem.tips[at + 1 :]:
        if len(landed) >= len(chain) or tip.chain is None:
            break
        landed += tip.chain
    return landed == chain


def explained(turn: Planning, key: str, proofs: list[FailedProbe]) -> dict[int, float]:
    """The failures that only `key` explains: those of its own, and those of chains whose
    others are proven by now; with the probability that it suffered them although it is good."""
    alts: dict[int, float] = {}
    for segment in turn.mem.segments:
        if segment.items == [key]:
            alts.update({n: max(alt, turn.beliefs.flake) for n, alt in segment.evidence})
    proven = {key, *turn.mem.green}
    alone = (f for f in turn.mem.failures if key in f.open and proven.issuperset(f.open))
    alts.update((f.number, turn.beliefs.flake) for f in (*alone, *proofs))
    return alts


def audit(turn: Planning, key: str, proofs: list[FailedProbe]) -> bool:
    """True if `key` shall have a second look although one proof convicts it.

    A good change that a flake rejects is never seen to land, so without audits the
    flake rate is learned too low. One conviction in ten is audited; while no flake
    was ever seen, one in twenty after ten audits, one in thirty after twenty, and so
    on. What an audit finds stands for all that were not audited.
    """
    mem = turn.mem
    if key in mem.audited or len(proofs) > 1:
        return len(proofs) == 1
    mem.convictions += 1
    lone = any(s.items == [key] for s in mem.segments) and turn.alone(key)
    if mem.convictions < mem.audit_at or not lone:
        return False
    mem.audits += 1
    proofs[0].weight = AUDIT
    mem.audit_at = mem.convictions + AUDIT * (1 if mem.flakes else 1 + mem.audits // AUDIT)
    mem.audited.append(key)
    return True


def convicted(turn: Planning, key: str, proofs: list[FailedProbe]) -> bool:
    doubt, alts = turn.limits.doubt, explained(turn, key, proofs)
    return odds_bad(turn.risk(key), tuple(alts.values())) >= (1 - doubt) / doubt


def reject(turn: Planning, key: str, proofs: list[FailedProbe]) -> None:
    """Evidence that held `key` is explained by it: its mates are free again."""
    mem, agent, proof = turn.mem, turn.queue[key].agent, proofs[-1]
    alts = explained(turn, key, proofs).values()
    odds = odds_bad(turn.risk(key), tuple(alts))
    reason = (
        f"probe {proof.number} failed with it on {proof.base[:12]}"
        f"{f' and {len(proof.chain) - 1} changes' if len(proof.chain) > 1 else ''},"
        f" which is green on trunk without it; {odds:.0f} to 1 that it is bad"
        f" after {len(alts)} failures that only it explains; {turn.beliefs.record(agent)}"
    )
    mem.rejected[key] = (proof.number, reason)
    mem.culprits.append(key)
    turn.actions.append(Reject(Certificate(key, proof.number, reason)))
    count(mem, agent, rejected=1)
    mem.broken += key in mem.distrusted
    turn.remove(key)
    told = {f.number for f in mem.failures if key in f.open}
    for segment in mem.segments:
        segment.evidence = [(n, alt) for n, alt in segment.evidence if n not in told]
    mem.segments = [s for s in mem.segments if s.evidence and key not in s.items]
    mem.failures = [f for f in mem.failures if f.number not in told]


def land(turn: Planning) -> None:
    """Land the passed probe that brings most: what of its chain is not on trunk yet
    must still be queued, its dependencies in order."""
    chains = [(rest, passed) for passed in turn.mem.passed if (rest := turn.rest(passed))]
    chains.sort(key=lambda found: (-len(found[0]), found[1].number))
    fits = (found for found in chains if turn.compose((), found[0], clashing=True) == found[0])
    rest, best = next(fits, ((), None))
    if best is None:
        return
    agents = tuple(turn.queue[k].agent for k in rest)
    turn.mem.landing = LastLand(turn.view.trunk, rest, agents, best.staged)
    turn.actions.append(Land(as_probe(best), reason_to_land(best, rest, turn.mem.green)))


def as_probe(passed: Landable) -> Probe:
    return Probe(passed.number, passed.base, passed.chain, passed.suspects, passed.reason)


def reason_to_land(best: Landable, rest: tuple[str, ...], green: list[str]) -> str:
    left = len(set(green).difference(rest))
    ahead = len(best.chain) - len(rest)
    text = f"probe {best.number} passed on trunk with {len(rest)} changes"
    text += f" more than the {ahead} that landed before" if ahead else ""
    return text + (f"; {left} green ones wait for the next" if left else "")
