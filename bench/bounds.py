"""What no procedure can beat, and what the best nested procedure reaches.

Sources: M. Sobel and P. Groll 1959 (the nested procedure); P. Ungar 1960; M. Aldridge, O. Johnson and J. Scarlett
2019 (a survey); the capacity of the Z-channel.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from math import ceil, log, log2


def uncertainty(p: float) -> float:
    """Return how many bits of uncertainty there are in whether a change is bad."""
    return -p * log2(p) - (1 - p) * log2(1 - p) if 0 < p < 1 else 0.0


def entropy_bound(risks: Sequence[float], flake: float = 0.0) -> float:
    """Return the fewest probes per landed change that any procedure can reach.

    The procedure knows the risks, and gates fail good changes with probability `flake`.
    """
    bits = sum(map(uncertainty, risks)) / len(risks)
    good = 1 - sum(risks) / len(risks)
    return bits / good / capacity(flake)


def capacity(flake: float) -> float:
    """Return the most bits that a probe can yield if it fails with probability `flake` although it should pass."""
    return log2(1 + (1 - flake) * flake ** (flake / (1 - flake))) if flake else 1.0


@cache
def nested_optimum(p: float) -> float:
    """Return the probes per landed change of the best nested procedure, exactly, by dynamic programming.

    The procedure probes groups of m changes. When a group fails, `search[m]` more probes find its first bad change;
    the changes behind that one count as never tested. Of each group, the changes up to the first bad one are settled,
    or all m if none is bad.
    """
    q, most = 1 - p, 2 * ceil(log(2 - p) / -log(1 - p)) + 2
    search = [0.0, 0.0]
    for m in range(2, most + 1):
        fails = 1 - q**m
        search.append(1 + min(((1 - q**k) * search[k] + (q**k - q**m) * search[m - k]) / fails for k in range(1, m)))
    cost = min((1 + (1 - q**m) * search[m]) / ((1 - q**m) / p) for m in range(1, most + 1))
    return cost / q
