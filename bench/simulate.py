"""Probes per landed change when the queue is always full, beside the theoretical bound.

    python -m bench.simulate                      the table, some 30 seconds
    python -m bench.simulate --flake 0.01         with gates that fail now and then
    python -m bench.simulate --pairs 0.01         with changes that break only together
    python -m bench.simulate --rejection inference
    python -m bench.simulate --load 0.5           turnaround at half load instead

Gate runs take one unit of time, eight agents are equally good, priors and flake rate
are learned. Ratios are to the bound at the share of bad changes that the seed dealt.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from math import log2

from agentctl.core.planner import Limits
from bench.engine import Simulation, World
from bench.rivals import entropy_bound, halving, one_by_one

RISKS = (0.005, 0.02, 0.05, 0.10, 0.20, 0.30)


@dataclass(frozen=True)
class Figure:
    probes: float
    ratio: float
    wronged: float
    """Good changes rejected, as a share of the landed ones."""


def capacity(flake: float) -> float:
    """Bits that a probe yields at most if a good chain fails with probability `flake`."""
    return log2(1 + (1 - flake) * flake ** (flake / (1 - flake))) if flake else 1.0


def saturated(risk: float, slots: int, options: argparse.Namespace) -> Figure:
    group = int(0.69 / risk) + 1
    world = World(
        risks=(risk,) * 8,
        slots=slots,
        seed=options.seed,
        flake=options.flake,
        jitter=options.jitter,
        pairs=options.pairs,
        waiting=min(4 * slots * group, 1500),
        limits=Limits(batch=options.batch, rejection=options.rejection),
    )
    simulation = Simulation(world)
    simulation.run(1500)
    probes, before = simulation.probes, dict(simulation.done)
    simulation.run(options.changes if risk > 0.03 else 3 * options.changes)
    probes = simulation.probes - probes
    landed, rejected, wronged = (
        simulation.done[k] - before[k] for k in ("landed", "rejected", "wronged")
    )
    dealt = (rejected - wronged) / (landed + rejected)
    bound = entropy_bound(dealt) / capacity(options.flake) if dealt else 0.0
    return Figure(probes / landed, probes / landed / bound, wronged / landed)


def table(options: argparse.Namespace) -> None:
    slots = options.slots
    print(f"{'bad':>6} {'bound':>6}", *(f"{f'K={k}':>14}" for k in slots), end="")
    print(f" {'halving':>8} {'one by one':>11}   good ones rejected")
    for risk in RISKS:
        figures = [saturated(risk, k, options) for k in slots]
        cells = (f"{f.probes:6.3f} ({f.ratio:4.2f}x)" for f in figures)
        print(f"{risk:6.1%} {entropy_bound(risk):6.3f}", *(f"{c:>14}" for c in cells), end="")
        wrong = " ".join(f"{f.wronged:.2%}" for f in figures)
        print(f" {halving(risk):8.3f} {one_by_one(risk):11.3f}   {wrong}", flush=True)


def turnaround(options: argparse.Namespace) -> None:
    print(f"{'bad':>6}", *(f"{f'K={k}':>24}" for k in options.slots if k > 1))
    for risk in RISKS:
        cells = []
        for slots in (k for k in options.slots if k > 1):
            world = World(
                risks=(risk,) * 8,
                slots=slots,
                seed=options.seed,
                flake=options.flake,
                jitter=options.jitter,
                pairs=options.pairs,
                rate=options.load * slots,
                limits=Limits(batch=options.batch, rejection=options.rejection),
            )
            simulation = Simulation(world)
            simulation.run(300)
            simulation.turnaround.clear()
            simulation.run(options.changes // 3)
            times = sorted(simulation.turnaround)
            half, most = times[len(times) // 2], times[len(times) * 95 // 100]
            cells.append(f"P50 {half:.2f} P95 {most:.2f}")
        print(f"{risk:6.1%}", *(f"{c:>24}" for c in cells), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--slots", type=int, nargs="+", default=[1, 4, 16])
    parser.add_argument("--rejection", choices=("strict", "inference"), default="strict")
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--flake", type=float, default=0.0)
    parser.add_argument("--jitter", type=float, default=0.0)
    parser.add_argument("--pairs", type=float, default=0.0)
    parser.add_argument("--load", type=float)
    parser.add_argument("--changes", type=int, default=6000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    report = table if options.load is None else turnaround
    report(options)


if __name__ == "__main__":
    main()
