"""A red trunk, as the ledger and the verdicts describe it."""

from __future__ import annotations

from dataclasses import dataclass

from agentctl.core.policy.policy import Policy, fingerprint
from agentctl.core.queue import red_trunk
from agentctl.core.queue.model import Verdict
from agentctl.core.queue.state import State, seen_red
from agentctl.core.text.plural import many
from agentctl.errors import Infrastructure
from agentctl.git.repository import Hub
from agentctl.hub import verdicts
from agentctl.messages import clock


@dataclass(frozen=True, slots=True)
class Red:
    tip: str
    since: float
    why: str
    """What the gate says of trunk."""
    log: str
    tried: int
    """The number of chains that were tried on it; none of them mends it."""
    exit: int | None = None

    @property
    def missing(self) -> bool:
        """True if the gate's program cannot be run: trunk has lost it, or the machine has."""
        return self.exit in (126, 127)

    @property
    def text(self) -> str:
        what = "the gate command cannot be run" if self.missing else "trunk itself is red"
        return f"{what} since {clock(self.since)}: {self.why}, at {self.tip[:12]}"

    @property
    def tries(self) -> str:
        return f"{many(self.tried, 'change')} tried on it, and none mends it" if self.tried else "nothing tried on it mends it"

    @property
    def stuck(self) -> Infrastructure:
        """The error which says that nothing in the queue mends trunk."""
        return Infrastructure(
            f"{self.text}; {self.tries}; nobody is blamed",
            hint="agentctl submit --mends-trunk, with what mends it. The gate said:\n" + self.log[-2000:],
        )


def red(hub: Hub, policy: Policy, state: State) -> Red | None:
    """Return what the ledger says of a red trunk; None if trunk is not red."""
    gate = fingerprint(policy)
    since = red_trunk.red_since(state, gate, policy.queue.retries)
    if since is None:
        return None
    run = seen_red(state, gate)[-1]
    said = verdicts.lookup(hub, gate, run.tree, Verdict.FAILED)
    done = len(red_trunk.tried(state, gate))
    return Red(state.trunk, since, said.why, said.log, done, said.exit) if said else Red(state.trunk, since, "", "", done)
