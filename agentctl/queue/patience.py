"""When the bot gives up: what comes from the gate is no change's fault."""

from __future__ import annotations

from agentctl.core.model import Verdict
from agentctl.errors import Infrastructure
from agentctl.queue.verdicts import Judgement


class Patience:
    """Ends when the gate gives no verdict again and again."""

    def __init__(self) -> None:
        self._unclear = 0

    def hear(self, judgement: Judgement, retries: int) -> None:
        """Raises Infrastructure after more than `retries` such runs in a row."""
        self._unclear = self._unclear + 1 if judgement.verdict == Verdict.INDETERMINATE else 0
        if self._unclear > retries:
            raise Infrastructure(f"the gate gave no verdict {self._unclear} times in a row: {judgement.why}, at "
                                 f"{judgement.commit[:12]}; nobody is blamed",
                                 hint="mend it, then run this again. The gate said:\n" + judgement.log[-2000:])
