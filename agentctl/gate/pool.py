"""The gate runs of one bot, each in a thread of its own, and the port for where they run: here, or on a cluster."""

from __future__ import annotations

import threading
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Protocol

from agentctl.core.policy.policy import Policy
from agentctl.core.queue.events import Staged
from agentctl.gate.judging import GateRun
from agentctl.git.repository import Hub
from agentctl.hub import verdicts
from agentctl.hub.verdicts import Judgement


class Judging(Protocol):
    """One run of the gates on a commit, which another thread can stop."""

    def judge(self, hub: Hub, policy: Policy, commit: str, known: frozenset[str], base: str | None, doubted: bool) -> Judgement:
        """See `gate.judging.judge`."""

    def stop(self) -> None:
        """Let `judge` return soon, with a verdict of aborted."""


class Gates(Protocol):
    """Where gates run."""

    @property
    def room(self) -> int | None:
        """How many may run at a time; None if that is for the policy alone to say."""

    @property
    def lacking(self) -> str:
        """Why none can run now; empty if one can, be it later."""

    def begin(self) -> Judging:
        """Return a run that has not begun; several threads may call this at once."""


class Here:
    """On this machine."""

    room, lacking = None, ""

    def begin(self) -> Judging:
        return GateRun()


HERE = Here()


@dataclass(frozen=True)
class Started:
    staged: Staged
    future: Future[Judgement]
    run: Judging


@dataclass
class Pool:
    """The gate runs under way, by the number of their probe."""

    hub: Hub
    threads: ThreadPoolExecutor
    wake: threading.Event
    """Set when a run ends."""
    gates: Gates
    runs: dict[int, Started] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.runs)

    def __contains__(self, number: int) -> bool:
        return number in self.runs

    def start(self, staged: Staged, policy: Policy, doubted: bool) -> None:
        run = self.gates.begin()
        known = verdicts.passed_parts(self.hub, policy, staged.tree, staged.probe.again)
        future = self.threads.submit(run.judge, self.hub, policy, staged.commit, known, staged.probe.base, doubted)
        future.add_done_callback(lambda _: self.wake.set())
        self.runs[staged.probe.number] = Started(staged, future, run)

    def ended(self) -> list[tuple[Staged, Judgement]]:
        """Remove and return the runs that have ended; raise what a run raised."""
        over = [number for number, one in self.runs.items() if one.future.done()]
        return [(one.staged, one.future.result()) for one in map(self.runs.pop, over)]

    def stop(self, number: int) -> None:
        if number in self.runs:
            self.runs[number].run.stop()

    def close(self) -> None:
        for one in self.runs.values():
            one.run.stop()
        self.threads.shutdown(wait=True, cancel_futures=True)
