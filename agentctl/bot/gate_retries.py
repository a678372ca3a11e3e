"""When the bot gives up: the gate gives no verdict again and again, and no change is at fault."""

from __future__ import annotations

from collections import Counter

from agentctl.core.queue.model import Verdict
from agentctl.errors import Infrastructure
from agentctl.hub.verdicts import Judgement


class Retries:
    """A count of runs without a verdict, after too many of which the bot gives up if the gate gives none for trunk either."""

    def __init__(self) -> None:
        self._row = 0
        """The number of runs without a verdict in a row."""
        self._unclear: Counter[str] = Counter()
        """The number of runs without a verdict, by tree."""
        self._doubted: set[str] = set()
        self.hopeless: Infrastructure | None = None
        """The error with which the bot is to end, once the turn that heard of it is recorded; None if it goes on."""

    def doubts(self, tree: str, retries: int) -> bool:
        """Tell whether a run of `tree` without a verdict is to be followed by a run on the trunk below."""
        if max(self._row, self._unclear[tree]) < retries:
            return False
        self._doubted.add(tree)
        return True

    def hear(self, judgement: Judgement, retries: int) -> None:
        """Count a run; too many that had no verdict are hopeless.

        Too many are more than `retries` runs, in a row or of one tree, if `doubts` has been true for the tree.
        """
        if judgement.verdict != Verdict.INDETERMINATE:
            self._row = 0
            self._unclear.pop(judgement.tree, None)
            self._doubted.discard(judgement.tree)
            return
        self._row += 1
        self._unclear[judgement.tree] += 1
        times = max(self._row, self._unclear[judgement.tree])
        if times > retries and judgement.tree in self._doubted:
            self.hopeless = Infrastructure(
                f"the gate gave no verdict {times} times in a row: {judgement.why}, at {judgement.commit[:12]}; nobody is blamed",
                hint="mend it, then run this again. The gate said:\n" + judgement.log[-2000:],
            )
