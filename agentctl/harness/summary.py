"""The outcome of a run of fleet and bot, in numbers."""

from __future__ import annotations

from dataclasses import dataclass

from agentctl.core.queue.spending import Spent
from agentctl.core.text.plural import many
from agentctl.messages import ago


@dataclass(frozen=True)
class Summary:
    tasks: int
    """All of the run but those for reviews."""
    landed: int
    parked: int
    changes: int
    rejected: int
    conflicts: int
    probes: int
    known: int
    seconds: float
    paused: float = 0.0
    """Seconds in which the fleet started nothing, or only one session as a try."""
    pauses: int = 0
    done: int = 0
    """Tasks that are done without a change: a planner's, or closed by hand."""
    blocked: int = 0
    """Tasks that wait for one that is parked or cannot be read, or whose change waits for such a review."""
    reviews: int = 0
    """Tasks to review a change."""
    reviewed: int = 0
    """Those of them that are done."""
    unreviewed: str = ""
    """Which changes wait for reviews that are parked, and what to do; empty if none does."""
    why_paused: str = ""
    """Why the fleet paused: if for several reasons, how long for each; and the words of the agents' program the last time."""
    sessions: int = 0
    spent: Spent = Spent()
    """What the sessions used up."""
    over_budget: str = ""
    """Why the run ended before its tasks did; empty if it did not."""
    unpublished: str = ""
    """Why trunk is not published; empty if it is, or need not be."""
    elsewhere: bool = False
    """True if the bot worked at another station: what it landed and tested is not counted here."""

    @property
    def complete(self) -> bool:
        """True if every task has come to its end, and trunk is where it belongs."""
        return self.landed + self.done == self.tasks and self.reviewed == self.reviews and not self.unpublished

    @property
    def lines(self) -> list[str]:
        per = f"{self.probes / self.changes:.2f}" if self.changes else "-"
        rate = f"{self.changes / self.seconds * 3600:,.0f}" if self.seconds else "-"
        held = f" in {self.pauses} pauses" if self.pauses > 1 else ""
        queue = [
            f"changes     {self.changes} landed, {self.rejected} rejected, {self.conflicts} of them for a conflict",
            f"probes      {self.probes} run, {self.known} known by tree; {per} for each landed change",
        ]
        return [
            f"tasks       {self.landed} of {self.tasks} landed"
            + (f", {self.done} done without a change" if self.done else "")
            + f", {self.parked} parked"
            + (f", {self.blocked} blocked" if self.blocked else ""),
            *([f"reviews     {self.reviewed} of {self.reviews} done"] if self.reviews else []),
            *([f"approvals   {self.unreviewed}"] if self.unreviewed else []),
            *(["changes     tested and landed by the bot at another station: agentctl queue --all"] if self.elsewhere else queue),
            f"time        {self.seconds:.1f} s" + ("" if self.elsewhere else f"; {rate} landed an hour"),
            *([f"spent       {self.spent} in {many(self.sessions, 'session')}"] if str(self.spent) else []),
            *([f"ended       {self.over_budget}"] if self.over_budget else []),
            *([f"publish     {self.unpublished}"] if self.unpublished else []),
            *([f"paused      {ago(0.0, self.paused)}{held}: {self.why_paused}"] if self.pauses else []),
        ]
