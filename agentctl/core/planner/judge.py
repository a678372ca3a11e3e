"""Step two: which changes the evidence allows to reject, and which to land.

Certificates are literal: beliefs only decide how many of them are asked for.
"""

from __future__ import annotations

from typing import NamedTuple

from agentctl.core.planner.beliefs import odds_bad
from agentctl.core.planner.memory import FailedProbe, Landable, LastLand, Memory, Rejection
from agentctl.core.planner.planning import Planning
from agentctl.core.planner.update import count
from agentctl.core.queue.model import Certificate, Land, Probe, Reject
from agentctl.core.text.plural import many

AUDIT = 10
"""Number of convictions on one certificate of which one is checked by a second look.

Higher: fewer probes. Lower: the flake rate is learned sooner."""


def judge(turn: Planning) -> None:
    """Reject what is proven bad, ask again for rejections that were not carried out, and land what passed on trunk."""
    for key, rejection in turn.mem.rejected.items():
        turn.actions.append(Reject(Certificate(key, rejection.failed, rejection.reason)))
    for key, certificates in find_certificates(turn).items():
        if convicted(turn, key, certificates) and not audit(turn, key, certificates):
            reject(turn, key, certificates)
    turn.settle_green()
    if not turn.view.withheld:
        land(turn)


def find_certificates(turn: Planning) -> dict[str, list[FailedProbe]]:
    """Return the certificates against queued changes, by key of the change.

    There is none against a change that passed on trunk as it is and is about to land.
    """
    landing = {k for p in turn.mem.passed for k in turn.rest(p) or ()}
    found: dict[str, list[FailedProbe]] = {}
    for failure in turn.mem.failures:
        culprit = accused(turn.mem, failure, turn.limits.rejection)
        if culprit in turn.queue and culprit not in landing:
            found.setdefault(culprit, []).append(failure)
    return found


def accused(mem: Memory, failure: FailedProbe, rejection: str) -> str | None:
    """Return the change against which `failure` is a certificate, or None.

    Strict: the last of the chain, if the changes before it are literally what landed on the base, up to a tip that
    trunk had at some time, with nothing else in between; not if the change passed by itself or with others (`doubted`).
    Inference: also the only member that is not on trunk. For example, a, b, c failed on t0, and trunk is t0 with a and
    b on top: this is a certificate against c. If trunk is t0 with b and a on top it is one only by inference.
    """
    if not failure.doubted and on_trunk(mem, failure.base, failure.chain[:-1]):
        return failure.chain[-1]
    if rejection == "inference" and len(failure.open) == 1 < len(failure.chain):
        return failure.open[0]
    return None


def on_trunk(mem: Memory, base: str, chain: tuple[str, ...]) -> bool:
    """Tell whether trunk was `base` and then, literally, `base` with `chain` on top."""
    at = next((i for i in reversed(range(len(mem.tips))) if mem.tips[i].commit == base), None)
    if at is None:
        return False
    landed: tuple[str, ...] = ()
    for tip in mem.tips[at + 1 :]:
        if len(landed) >= len(chain) or tip.chain is None:
            break
        landed += tip.chain
    return landed == chain


def explained(turn: Planning, key: str, certificates: list[FailedProbe]) -> dict[int, float]:
    """Return the failures put down to `key`, by number of the probe: the probability that it fails although `key` is good.

    These are `certificates`; the failures of chains whose other members are on trunk or green by now; and, if `key` is
    the only suspect left of a segment, the failures that accuse the segment. Suspects that left the segment unproven may
    explain these last ones too: their probability is higher for it.
    """
    alts: dict[int, float] = {}
    for segment in turn.mem.segments:
        if segment.items == [key]:
            alts.update({failed.number: max(failed.alt, turn.beliefs.flake) for failed in segment.evidence})
    proven = {key, *turn.mem.green}
    alone = (f for f in turn.mem.failures if key in f.open and proven.issuperset(f.open))
    alts.update((f.number, turn.beliefs.flake) for f in (*alone, *certificates))
    return alts


def audit(turn: Planning, key: str, certificates: list[FailedProbe]) -> bool:
    """Count a conviction on one certificate, and return whether it is audited: `key` then waits for a second look.

    With more certificates than one it is neither counted nor audited. The one may convict together with other failures
    (`explained`). A change that waits for its audit already is not counted again.

    A good change that a flake rejects is never seen to land, so without audits the flake rate is learned too low. One
    conviction in ten (AUDIT) is audited; while no flake was ever seen, one in twenty after ten audits, one in thirty after
    twenty, and so on. A flake that an audit finds counts AUDIT times, for those that were not audited; no more than that
    where one in twenty or thirty is audited.
    """
    mem = turn.mem
    if len(certificates) > 1:
        return False
    if key in mem.audited:
        return True
    mem.convictions += 1
    due = mem.convictions >= mem.audit_at
    lone_suspect = any(s.items == [key] for s in mem.segments)
    if not (due and lone_suspect and turn.alone(key)):
        return False
    mem.audits += 1
    mem.audited.append(key)
    certificates[0].weight = AUDIT
    one_in = AUDIT if mem.flakes else AUDIT * (1 + mem.audits // AUDIT)
    mem.audit_at = mem.convictions + one_in
    return True


def convicted(turn: Planning, key: str, certificates: list[FailedProbe]) -> bool:
    """Tell whether the odds that `key` is bad are high enough to reject it."""
    doubt, alts = turn.limits.doubt, explained(turn, key, certificates)
    return odds_bad(turn.risk(key), tuple(alts.values())) >= (1 - doubt) / doubt


def reject(turn: Planning, key: str, certificates: list[FailedProbe]) -> None:
    """Reject `key`; the failures of chains that held it are explained by it, so its mates are free again."""
    mem, agent, certificate = turn.mem, turn.queue[key].agent, certificates[-1]
    alts = explained(turn, key, certificates).values()
    odds = odds_bad(turn.risk(key), tuple(alts))
    reason = (
        f"probe {certificate.number} failed with it on {certificate.base[:12]}"
        f"{' and ' + many(len(certificate.chain) - 1, 'change') if len(certificate.chain) > 1 else ''},"
        f" which is green on trunk without it; {odds:.0f} to 1 that it is bad"
        f" after {many(len(alts), 'failure')} that only it explains; {turn.beliefs.history(agent)}"
    )
    mem.rejected[key] = Rejection(certificate.number, reason)
    mem.culprits.append(key)
    turn.actions.append(Reject(Certificate(key, certificate.number, reason)))
    count(mem, agent, rejected=1)
    mem.broken += key in mem.distrusted
    turn.remove(key)
    told = {f.number for f in mem.failures if key in f.open}
    for segment in mem.segments:
        segment.evidence = [failed for failed in segment.evidence if failed.number not in told]
    mem.segments = [s for s in mem.segments if s.evidence and key not in s.items]
    mem.failures = [f for f in mem.failures if f.number not in told]


class Candidate(NamedTuple):
    """A passed probe that may land, and what of its chain is not on trunk yet."""

    rest: tuple[str, ...]
    probe: Landable


def land(turn: Planning) -> None:
    """Land the passed probe that lands most changes.

    All of its chain that is not on trunk yet must still be queued, and its dependencies in order.
    """
    chains = [Candidate(rest, passed) for passed in turn.mem.passed if (rest := turn.rest(passed))]
    chains.sort(key=lambda one: (-len(one.rest), one.probe.number))
    fits = (one for one in chains if turn.compose((), one.rest, clashing=True) == one.rest)
    if (found := next(fits, None)) is None:
        return
    rest, best = found
    agents = tuple(turn.queue[k].agent for k in rest)
    turn.mem.landing = LastLand(turn.view.trunk, rest, agents, best.staged)
    turn.actions.append(Land(as_probe(best), reason_to_land(best, rest, turn.mem.green)))


def as_probe(passed: Landable) -> Probe:
    """Return the probe as the bot knows it."""
    return Probe(passed.number, passed.base, passed.chain, passed.suspects, passed.reason)


def reason_to_land(best: Landable, rest: tuple[str, ...], green: list[str]) -> str:
    """Return in words what lands, what of the chain landed before, and what waits."""
    left = len(set(green).difference(rest))
    ahead = len(best.chain) - len(rest)
    text = f"probe {best.number} passed on trunk with {many(len(rest), 'change')}"
    text += f" more than the {ahead} that landed before" if ahead else ""
    return text + (f"; {many(left, 'green one')} left for the next" if left else "")
