"""agentctl verify: prove the invariants from the repository alone."""

from __future__ import annotations

from agentctl.core.text.json_form import facts
from agentctl.core.text.plural import many
from agentctl.errors import Findings
from agentctl.hub.verification import prove
from agentctl.terminal.parser import Given, as_command, given


@as_command("verify", "agentctl verify\nagentctl -C /srv/hub.git verify --json")
@given
def command(given: Given) -> int:
    """Prove that nothing was lost and only tested work landed.

    From the repository alone it checks that trunk only fast-forwarded to trees that passed, that what landed is what was
    tested, that every submission ended once, that each rejection has its evidence, and
    that all work is reachable. Exit status 9 if something is broken.
    """
    counts, findings = prove(given.hub, given.seen.branch)
    grave = [f for f in findings if f.grave]
    if given.json:
        given.emit({**facts(counts), "findings": [facts(f) for f in findings]})
    for finding in findings:
        given.say(f"{'broken' if finding.grave else 'note'}: invariant {finding.invariant}: {finding.text}")
    given.say(
        f"{counts.landed} landed in {counts.moves} moves of trunk, {counts.rejected} rejected, {counts.queued} queued: "
        + ("all invariants hold" if not grave else many(len(grave), "finding"))
    )
    if grave:
        raise Findings(f"{many(len(grave), 'finding')}; first: {grave[0].text}", hint="docs/ARCHITECTURE.md lists the invariants")
    return 0
