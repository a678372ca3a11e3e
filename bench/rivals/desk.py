"""What the strategies of this folder share: builds by their literal chain, and the actions of a plan."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Container
from dataclasses import dataclass

from agentctl.core.queue.model import Action, Cancel, Certificate, Change, Land, Plan, Probe, Reject, Start, Verdict, View

Chain = tuple[str, ...]


@dataclass(slots=True)
class Build:
    probe: Probe
    verdict: Verdict | None = None
    """The verdict; None while the build runs."""


class Desk:
    """Builds, running and ended, by what they have on top of trunk.

    A build stays valid while trunk moves along its chain; then it lands as a train. A build that trunk has left is
    forgotten, and cancelled if it runs.
    """

    def __init__(self) -> None:
        self.builds: dict[Chain, Build] = {}
        self._running: dict[int, Build] = {}
        self._taken = -1
        self._actions: list[Action] = []

    def open(self, view: View) -> None:
        """Take in what happened since the last plan."""
        self._view, self._actions, self._next = view, [], view.next_probe
        self.free = view.slots - len(view.running)
        for result in view.finished:
            if result.probe.number in self._running:
                self._running.pop(result.probe.number).verdict = result.verdict
        if view.landed:
            old, self.builds, n = self.builds, {}, len(view.landed)
            for chain, build in old.items():
                if chain[:n] == view.landed and len(chain) > n:
                    self.builds[chain[n:]] = build
                else:
                    self._stop(build)

    def _stop(self, build: Build) -> None:
        if build.verdict is None and build.probe.number in self._running:
            del self._running[build.probe.number]
            self._actions.append(Cancel(build.probe.number, "trunk went another way"))
            self.free += 1

    def verdict(self, chain: Chain) -> Verdict | None:
        """Return the verdict on a chain; None if it is not known, whether a build of it runs or not."""
        return self.builds[chain].verdict if chain in self.builds else None

    def keep(self, chains: Container[Chain]) -> None:
        """Stop and forget every build that is not of these chains."""
        for chain in [c for c in self.builds if c not in chains]:
            self._stop(self.builds.pop(chain))

    def drop(self, key: str) -> None:
        """Stop and forget every build with a change that is gone."""
        for chain in [c for c in self.builds if key in c]:
            self._stop(self.builds.pop(chain))

    def start(self, chain: Chain) -> None:
        """Start a build of a chain, unless there is one or no slot is free."""
        if chain not in self.builds and self.free > 0:
            build = Build(Probe(self._next, self._view.trunk, chain, len(chain), ""))
            self.builds[chain] = self._running[build.probe.number] = build
            self._actions.append(Start(build.probe))
            self._next += 1
            self.free -= 1

    def land(self, chain: Chain) -> None:
        self._actions.append(Land(self.builds[chain].probe, ""))

    def reject(self, key: str) -> None:
        self._actions.append(Reject(Certificate(key, 0, "")))

    def untaken(self, most: int) -> list[Change]:
        """Return the next changes, `most` at most, that were never given out, in order of admission."""
        queued = self._view.queued
        at = bisect_right(queued, self._taken, key=lambda change: change.seq)
        found = list(queued[at : at + most])
        if found:
            self._taken = found[-1].seq
        return found

    def plan(self) -> Plan:
        return Plan(b"", tuple(self._actions))
