"""The forecast of a replay without running it: the history's commits are the traffic of a simulated queue."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from agentctl.core.planner import Settings
from agentctl.core.queue.model import Verdict
from agentctl.errors import Infrastructure
from agentctl.git.objects import CommitInfo
from agentctl.replay import history
from agentctl.replay.prepare import GateTrials
from agentctl.simulation import tune
from agentctl.simulation.traffic import Arrival


@dataclass(frozen=True, slots=True)
class Asked:
    bad: float
    """Share of the commits that are handed in with a bug, and rejected for good."""
    limit: int | None
    seed: int
    agents: int
    slots: int
    batch: int | None
    gate_seconds: float | None
    """Seconds of a gate run; None: as long as the gate takes on the last commit."""


@dataclass(frozen=True, slots=True)
class Forecast:
    arrivals: list[Arrival]
    now: tune.Setting
    """The setting that was asked for; the outcomes have it too."""
    outcomes: Iterator[tune.Forecast]
    """One for each setting, simulated when it is taken."""


def forecast(tried: GateTrials, words: str, asked: Asked, slots: Sequence[int], batches: Sequence[int]) -> Forecast:
    """Return what other slots and batch limits would do.

    Raises Infrastructure if the gate gives no verdict.
    """
    _, commits = history.commits_of(tried.hub, words)
    commits = commits[: asked.limit]
    seconds = asked.gate_seconds or measured(tried, commits[-1])
    arrivals = traffic(len(commits), asked, seconds)
    now = tune.Setting(asked.slots, asked.batch or tried.policy.queue.batch)
    settings = sorted({*tune.settings(slots, batches), now}, key=lambda s: (s.slots, s.batch))
    return Forecast(
        arrivals, now, (tune.outcome(arrivals, s, Settings(), backlog=asked.agents, seed=asked.seed) for s in settings)
    )


def traffic(count: int, asked: Asked, seconds: float) -> list[Arrival]:
    """Return a change for each commit, given to the agents in turn; which are bad is drawn as in a replay."""
    bad = set(history.drawn(count, asked.seed)[: round(asked.bad * count)])
    return [Arrival(0.0, f"agent-{n % asked.agents + 1}", n in bad, seconds) for n in range(count)]


def measured(tried: GateTrials, commit: CommitInfo) -> float:
    """Run the gate once on a commit, and return the seconds that it took."""
    judgement = tried.judge(commit.tree)
    if judgement.verdict not in (Verdict.PASSED, Verdict.FAILED):
        raise Infrastructure(
            f"the gate gives no verdict of {commit.oid[:12]}: {judgement.why}",
            hint="look at what it prints:\n" + judgement.log[-2000:],
        )
    return max(judgement.seconds, 0.001)
