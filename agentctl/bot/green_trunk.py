"""Whether trunk is green, and what the bot does while it is not (see `core.queue.red_trunk`)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from agentctl.bot.turn import Turn
from agentctl.core import notices
from agentctl.core.planner import Settings, in_order
from agentctl.core.policy.policy import Policy, fingerprint
from agentctl.core.queue import events, red_trunk
from agentctl.core.queue.events import Staged
from agentctl.core.queue.model import BASELINE, Change, Probe
from agentctl.core.queue.state import seen_red
from agentctl.errors import Infrastructure
from agentctl.git.repository import Hub
from agentctl.hub import verdicts
from agentctl.hub.red_trunk import Red, red

RETEST = 900.0
"""Seconds after which a red trunk is tested again although it has not moved.

The failure may have been the machine's fault, and the machine may be mended by now.
"""


class Green:
    """What one bot knows of whether trunk is green, by the gate in force."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._gate = ""
        self._proven: set[str] = set()
        self._looked = ""
        """The tip that this bot itself has seen fail; a tip that only the ledger calls red is tested once more."""
        self.red: Red | None = None
        self.was = False
        """True if trunk was green once."""
        self._stuck = False
        """True if nothing is left to be tried."""
        self._said: tuple[str, bool] = "", False

    @property
    def refusal(self) -> Infrastructure | None:
        """The error that trunk is red and nothing in the queue mends it, or None."""
        return self.red.stuck if self.red and self._stuck else None

    @property
    def hopeless(self) -> Infrastructure | None:
        """The same error if the gate's program is missing, else None.

        Whoever waited for a change that mends trunk would then most likely wait for the machine to be mended.
        """
        return self.refusal if self.red and self.red.missing else None

    def proven(self, policy: Policy, commit: str, now: float) -> bool:
        """Tell whether the commit's tree is known to pass."""
        if (gate := fingerprint(policy)) != self._gate:
            self._gate, self._proven = gate, set()
        if commit not in self._proven and verdicts.passed(self._hub, policy, commit, now):
            self._proven.add(commit)
        return commit in self._proven

    def failed(self, turn: Turn, run: Staged, policy: Policy) -> None:
        """Record that trunk's own tree has failed, unless trunk has moved since."""
        if run.commit == turn.state.trunk:
            self._looked = run.commit
            turn.happen(events.TrunkFailed(run, policy.queue.retries))

    def look(self, turn: Turn, policy: Policy) -> bool:
        """Tell whether trunk is red, and have its own tree tested if that is due."""
        state, gate = turn.state, fingerprint(policy)
        seen, looked = seen_red(state, gate), self._looked == state.trunk
        due = len(seen) <= policy.queue.retries or not looked or turn.now >= seen[-1].started + RETEST
        if due and not any(s.probe.number == BASELINE for s in state.probes):
            probe = Probe(BASELINE, state.trunk, (), 0, "is trunk itself green?")
            tree = self._hub.objects.commit(state.trunk).tree
            turn.happen(events.ProbeBegun(Staged(probe, state.trunk, tree, (), gate, turn.now)))
        self._forget(turn, policy)
        self._stuck = False
        self.red = red(self._hub, policy, turn.state) if looked else None
        return bool(self.red)

    def tries(
        self, turn: Turn, policy: Policy, queued: tuple[Change, ...], clashes: Iterable[tuple[str, str]]
    ) -> Iterator[Probe]:
        """Yield the probes that may mend trunk, as long as there is a free slot."""
        limits = Settings(batch=policy.queue.batch)
        for chain in red_trunk.left(turn.state, fingerprint(policy), in_order(queued, limits), clashes, limits.batch):
            if sum(s.probe.number != BASELINE for s in turn.state.probes) >= policy.queue.slots:
                return
            if turn.state.queue.keys() >= set(chain):
                yield Probe(turn.state.next_probe, turn.state.trunk, chain, len(chain), "does it mend trunk, which is red?")

    def tell(self, turn: Turn) -> None:
        """Tell those who wait for a green trunk that it is red: once, and once more when nothing is left to try."""
        if not self.red:
            return
        self._stuck = all(s.probe.number == BASELINE for s in turn.state.probes)
        said = self.red.tip, self._stuck
        if said != self._said:
            turn.notice(
                notices.TrunkRed(
                    self.red.stuck.message
                    if self._stuck
                    else f"{self.red.text}; what is queued is tried on it, first what was submitted with --mends-trunk"
                )
            )
        self._said = said

    def over(self, turn: Turn, policy: Policy) -> list[int]:
        """Note that trunk is green, and return the numbers of the probes that have no meaning now.

        These were to mend trunk: their base is not known to pass.
        """
        self.red, self.was = None, True
        self._forget(turn, policy)
        return [
            s.probe.number
            for s in turn.state.probes
            if s.probe.number != BASELINE and not self.proven(policy, s.probe.base, turn.now)
        ]

    def _forget(self, turn: Turn, policy: Policy) -> None:
        """Forget the failures on earlier tips of trunk that were red: they are no change's fault."""
        red = {
            s.probe.base
            for s in turn.state.failed
            if s.probe.base != turn.state.trunk and not self.proven(policy, s.probe.base, turn.now)
        }
        if red:
            turn.happen(events.Forgotten(tuple(sorted(red))))
