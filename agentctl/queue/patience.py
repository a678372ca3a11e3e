"""When the bot gives up: what comes from the gate is no change's fault."""

from __future__ import annotations

from agentctl.core.model import Probe, Verdict
from agentctl.errors import Infrastructure
from agentctl.queue.verdicts import Judgement

BASELINE = 0
"""Number of the run that tests trunk itself."""


class Patience:
    """Ends when the gate gives no verdict, or none but red on trunk itself, again and again."""

    def __init__(self) -> None:
        self._unclear = 0

    def hear(self, probe: Probe, judgement: Judgement, retries: int) -> None:
        """Raises Infrastructure after more than `retries` such runs in a row."""
        red = probe.number == BASELINE and judgement.verdict == Verdict.FAILED
        self._unclear = self._unclear + 1 if red or judgement.verdict == Verdict.INDETERMINATE else 0
        if self._unclear <= retries and judgement.exit not in ((126, 127) if red else ()):
            return
        what = f"the gate gave no verdict {self._unclear} times in a row"
        if red:
            what = "the gate command cannot be run" if judgement.exit in (126, 127) else "trunk itself is red"
        raise Infrastructure(f"{what}: {judgement.why}, at {judgement.commit[:12]}; nobody is blamed",
                             hint="mend it, then run this again. The gate said:\n" + judgement.log[-2000:])
