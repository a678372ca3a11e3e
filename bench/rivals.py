"""What the planner is compared with, on the same kind of traffic, without flakes."""

from __future__ import annotations

import random
from math import log2


def entropy_bound(p: float) -> float:
    """Fewest probes per landed change that any procedure can reach."""
    return (-p * log2(p) - (1 - p) * log2(1 - p)) / (1 - p)


def one_by_one(p: float) -> float:
    return 1 / (1 - p)


def halving(p: float, changes: int = 20_000, seed: int = 1) -> float:
    """Halving without inference, in the manner of bors-ng: both halves of a failing
    batch are tested, though a passing first half tells that the second fails. In its
    favour the batch size is the best power of two for p."""
    dice = random.Random(seed)
    bad = [dice.random() < p for _ in range(changes)]
    landed = changes - sum(bad)
    return min(halving_probes(bad, 2**k) for k in range(10)) / landed


def halving_probes(bad: list[bool], size: int) -> int:
    todo = [bad[i : i + size] for i in range(0, len(bad), size)]
    probes = 0
    while todo:
        batch = todo.pop()
        probes += 1
        if any(batch) and len(batch) > 1:
            middle = len(batch) // 2
            todo += [batch[:middle], batch[middle:]]
    return probes
