"""The gate runs of one bot, each in a thread of its own."""

from __future__ import annotations

import threading
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

from agentctl.core.policy.policy import Policy
from agentctl.core.queue.events import Staged
from agentctl.engine.runner import Runner
from agentctl.gate import judging
from agentctl.git.repository import Hub
from agentctl.hub import verdicts
from agentctl.hub.verdicts import Judgement


@dataclass(frozen=True)
class Started:
    staged: Staged
    future: Future[Judgement]
    runs: judging.GateRun


@dataclass
class Pool:
    """The gate runs under way, by the number of their probe."""

    hub: Hub
    threads: ThreadPoolExecutor
    wake: threading.Event
    """Set when a run ends."""
    runner: Runner
    runs: dict[int, Started] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.runs)

    def __contains__(self, number: int) -> bool:
        return number in self.runs

    def start(self, staged: Staged, policy: Policy, doubted: bool) -> None:
        runs = judging.GateRun(self.runner)
        known = verdicts.passed_parts(self.hub, policy, staged.tree, staged.probe.again)
        future = self.threads.submit(judging.judge, self.hub, policy, runs, staged.commit, known, staged.probe.base, doubted)
        future.add_done_callback(lambda _: self.wake.set())
        self.runs[staged.probe.number] = Started(staged, future, runs)

    def ended(self) -> list[tuple[Staged, Judgement]]:
        """Remove and return the runs that have ended; raise what a run raised."""
        over = [number for number, run in self.runs.items() if run.future.done()]
        return [(run.staged, run.future.result()) for run in map(self.runs.pop, over)]

    def stop(self, number: int) -> None:
        if number in self.runs:
            self.runs[number].runs.stop()

    def close(self) -> None:
        for run in self.runs.values():
            run.runs.stop()
        self.threads.shutdown(wait=True, cancel_futures=True)
