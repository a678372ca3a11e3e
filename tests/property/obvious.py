"""What may be decided, told slowly from the complete history of a hub.

Nothing here is remembered from one plan to the next and nothing is believed: each
question goes through all tips of trunk, all verdicts and all that left the queue again.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from agentctl.core.queue.model import Change, Probe
from tests.property.queue_model import FOREIGN


@dataclass(frozen=True)
class History:
    """All that ever happened to a hub."""

    trunk: tuple[str, ...]
    """Every commit that trunk was at."""
    steps: tuple[tuple[str, ...], ...]
    """What each move of trunk brought: change keys, or FOREIGN."""
    failed: tuple[Probe, ...]
    passed: tuple[Probe, ...]
    queued: tuple[Change, ...]
    inference: bool = False

    @property
    def queue(self) -> dict[str, Change]:
        return {c.key: c for c in self.queued}

    @property
    def landed(self) -> set[str]:
        return {key for step in self.steps for key in step} - {FOREIGN}

    def moves(self, base: str) -> tuple[tuple[str, ...], ...]:
        """What each move of trunk brought since it was at `base`."""
        return self.steps[self.trunk.index(base) :]

    def rest(self, probe: Probe) -> tuple[str, ...] | None:
        """What is left to land of a chain that trunk has followed so far; else None."""
        since = sum(self.moves(probe.base), ())
        return probe.chain[len(since) :] if probe.chain[: len(since)] == since else None

    def ordered(self, chain: Iterable[str]) -> bool:
        """Whether all of `chain` are queued, each after what it comes after."""
        done = {key.split("/")[0] for key in self.landed}
        for key in chain:
            change = self.queue.get(key)
            if change is None or not done.issuperset(change.after):
                return False
            done.add(change.id)
        return True

    def may_land(self) -> list[Probe]:
        """Passed probes that bring something and may land as trunk is, the longest first."""
        able = [p for p in self.passed if (rest := self.rest(p)) and self.ordered(rest)]
        return sorted(able, key=lambda p: (-len(self.rest(p) or ()), p.number))

    def waiting(self, probe: Probe) -> set[str] | None:
        """Members that are not on trunk, all of them queued; None if one has left, and
        the failure may be explained by it."""
        left = set(probe.chain) - self.landed
        return left if left <= self.queue.keys() else None

    def failures(self) -> dict[int, set[str]]:
        """By failed probe that can still accuse: whom."""
        left = {p.number: self.waiting(p) for p in self.failed if p.chain}
        return {number: accused for number, accused in left.items() if accused}

    def flakes(self) -> set[int]:
        """Failed probes all of whose members landed after all."""
        return {p.number for p in self.failed if p.chain and self.waiting(p) == set()}

    def literal(self, probe: Probe) -> bool:
        """Whether trunk was where `probe` was without its last change."""
        have: tuple[str, ...] = ()
        for step in self.moves(probe.base):
            if len(have) >= len(probe.chain) - 1 or step == (FOREIGN,):
                break
            have += step
        return have == probe.chain[:-1]

    def certificates(self) -> dict[str, set[int]]:
        """By queued change: the failed probes that prove it bad."""
        found: dict[str, set[int]] = {}
        for probe in self.failed:
            if probe.chain and self.literal(probe):
                found.setdefault(probe.chain[-1], set()).add(probe.number)
            left = self.waiting(probe)
            if self.inference and left and len(left) == 1 < len(probe.chain):
                found.setdefault(*left, set()).add(probe.number)
        return {key: numbers for key, numbers in found.items() if key in self.queue}

    def proven(self, distrusted: Collection[str]) -> set[str]:
        """Queued changes that passed, with what they come after, and that no failure of
        nothing but such changes disputes, nor beliefs; nor what they come after.

        What comes after a disputed change has to pass again, even if that one lands after all."""
        ever = {key for probe in self.passed for key in probe.chain}
        disputed = {key for probe in self.failed if ever.issuperset(probe.chain) for key in probe.chain}
        good = self.tested(exactly=True).difference(distrusted, disputed)
        on_trunk = {key.split("/")[0] for key in self.landed - disputed}
        while loose := {k for k in good if not on_trunk.union(g.split("/")[0] for g in good).issuperset(self.queue[k].after)}:
            good -= loose
        return good

    def tested(self, exactly: bool = False) -> set[str]:
        """Queued changes that passed after all that they come after, or any revision of it that
        is queued or on trunk; if `exactly`, the very one."""
        good: set[str] = set()
        for probe in self.passed:
            for at, key in enumerate(probe.chain):
                if key in self.queue and self.placed(key, probe.chain[:at], exactly):
                    good.add(key)
        return good

    def placed(self, key: str, before: tuple[str, ...], exactly: bool) -> bool:
        on_trunk = {k.split("/")[0] for k in self.landed}
        for name in self.queue[key].after:
            mates = [k for k in before if k.split("/")[0] == name]
            left = [k for k in mates if k in self.queue or k in self.landed]
            if exactly and mates and not left:
                return False
            queued = [k for k in self.queue if k.split("/")[0] == name]
            if name not in on_trunk and not (left if exactly else queued):
                return False
            if exactly and not all(k in self.landed or self.placed(k, before[: before.index(k)], True) for k in left):
                return False
        return True
