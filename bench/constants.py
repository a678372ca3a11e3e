"""Sweep the tuned constants of the planner, each by itself, on a few small simulated cells.

    python -m bench.constants                      all constants (6 minutes with --jobs 1)
    python -m bench.constants CROWD PRICE          these two
    python -m bench.constants --list               which there are, their values, and what they are tried on

Each row is one value of one constant on one cell: probes for each landed change, the turnaround that 95% of the landed
changes stay within (in gate times) and good changes rejected for each landed one. The ratios are to the shipped value on the
same traffic in the same run; its row has a star. Cells have the sizes of `bench/simulate.py --quick`, so with one seed
a few percent of the probes and a tenth of the turnaround may be chance: repeat it with more --seeds.

What a constant means and trades is in its docstring. Limits that are not tuned (how many tips and failures are remembered,
the first guess of a gate time) are left out, and so is what the policy sets, except for the doubt.
"""

from __future__ import annotations

import argparse
import multiprocessing
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib import import_module
from statistics import fmean
from typing import Any

from agentctl.core.planner import Settings
from agentctl.core.planner.beliefs import BetaPrior
from agentctl.core.planner.scenarios import Tracks, dice, happens
from bench.cells import Cell, Figure, measure
from bench.simulate import MIXES, Report

FILES = ("beliefs", "bets", "choose", "judge", "planning", "scenarios", "update")
MODULES = tuple(import_module(f"agentctl.core.planner.{name}") for name in FILES)

DOUBT = "doubt"
"""No constant but a setting, which a cell has."""


def cells() -> dict[str, Cell]:
    """Return the cells by name: 16 slots, strict proof, and p = 5% where nothing else is said."""
    report = Report(argparse.Namespace(quick=True))

    def cell(risk: float = 0.05, **facts: Any) -> Cell:
        return report.cell("ours, strict", risk, 16, **facts)

    return {
        "full": cell(),
        "flakes": cell(0.10, flake=0.01),
        "agents": cell(0.10, risks=MIXES["one of 8 is bad"]),
        "pairs": cell(pairs=0.02),
        "half": cell(load=0.5, warm=500, landed=1500),
        "busy": cell(load=0.9, warm=500, landed=1500),
        "busy10": cell(0.10, load=0.9, warm=500, landed=1500),
    }


CELLS = {
    "full": "queue always full",
    "flakes": "queue always full, p = 10%, 1% flakes",
    "agents": "queue always full, one of 8 agents is bad with 50%, the others with 2%",
    "pairs": "queue always full, 2% of the changes break with another one",
    "half": "half load",
    "busy": "nine tenths load",
    "busy10": "nine tenths load, p = 10%",
}


@dataclass(frozen=True)
class Constant:
    """A constant, other values to try, and the cells in which it matters."""

    name: str
    values: tuple[object, ...]
    cells: tuple[str, ...]

    @property
    def shipped(self) -> object:
        """The value in the code."""
        if self.name == DOUBT:
            return Settings().doubt
        return next(getattr(holder, self.attribute) for holder in self.holders())

    @property
    def attribute(self) -> str:
        """The name of the attribute that has the value."""
        return self.name.rpartition(".")[2]

    def holders(self) -> list[object]:
        """Return what has the constant as an attribute: a class, or the modules that define or import it."""
        if self.name == "Tracks.MOST":
            return [Tracks]
        return [module for module in MODULES if hasattr(module, self.name)]


OPEN, FULL = ("half", "busy", "busy10"), ("full", "flakes")

TUNED = (
    Constant("CROWD", (0.7, 1.0, 2.0), OPEN),
    Constant("UNRIDDEN", (1, 4), ("full", "pairs")),
    Constant("CULPRITS", (2.0, 8.0), OPEN),
    Constant("LIKELIEST", (3, 12), OPEN),
    Constant("LEAST", (0.2, 0.5), OPEN),
    Constant("PROOF", (0.4, 0.8), OPEN),
    Constant("PROOF_FIRST", (0.8, 1.6), ("busy10",)),
    Constant("PRICE", (0.14, 0.42), OPEN),
    Constant("AGE", (0.1, 0.5), OPEN),
    Constant("STEPS", (4, 16), OPEN),
    Constant("LONG_WAIT", (8.0, 32.0), ("busy", "busy10")),
    Constant("WORLDS", (512, 2048), OPEN),
    Constant("DIGITS", (8, 16), OPEN),
    Constant("ENOUGH", (10, 160), ("busy10",)),
    Constant("NEXT_TO_NONE", (0.02, 0.1), ("busy", "busy10")),
    Constant("Tracks.MOST", (12, 48), OPEN),
    Constant("FLAKE_PRIOR", (BetaPrior(1.0, 99.0), BetaPrior(1.0, 999.0)), FULL),
    Constant("FLAKE_FLOOR", (0.0001, 0.001), FULL),
    Constant("FLAKE_CEILING", (0.1, 0.4), ("flakes",)),
    Constant("COMMON_PRIOR", (10.0, 40.0), ("full", "agents")),
    Constant("RISK_FLOOR", (0.0002, 0.005), ("full", "agents")),
    Constant("RISK_CEILING", (0.8, 0.99), ("agents",)),
    Constant("LEAST_WEIGHT", (4.0, 16.0), ("full", "agents")),
    Constant("LIKENESS", (1.0, 4.0), ("full", "agents")),
    Constant("LAST_SUSPECTS", (2, 3, 6), FULL),
    Constant("LIKE", (1.5, 6.0), ("agents",)),
    Constant("FORGET", (64, 256), ("full", "agents")),
    Constant("BREAK_PRIOR", (BetaPrior(0.2, 400.0), BetaPrior(0.2, 4000.0)), ("full", "pairs")),
    Constant("STAGGER", (0.15, 0.6), ("pairs",)),
    Constant("BARE", (0.1, 0.5), ("pairs",)),
    Constant("SURE", (0.6, 0.95), ("pairs",)),
    Constant("AUDIT", (5, 20), FULL),
    Constant("GATE_MEMORY", (3, 30), ("busy",)),
    Constant(DOUBT, (0.001, 0.015), ("full", "flakes")),
)
BY_NAME = {constant.name: constant for constant in TUNED}


@dataclass(frozen=True)
class Trial:
    """One simulation: `name` has `value`; the shipped one if `name` is empty."""

    cell: Cell
    name: str = ""
    value: Any = None


@contextmanager
def holding(constant: Constant, value: Any) -> Iterator[None]:
    """Give a constant another value for a while, wherever it was imported."""
    before = constant.shipped
    _set(constant, value)
    try:
        yield
    finally:
        _set(constant, before)


def _set(constant: Constant, value: Any) -> None:
    for holder in constant.holders():
        setattr(holder, constant.attribute, value)
    if constant.name == "WORLDS":
        _set(Constant("ALL", (), ()), (1 << value) - 1)
    if constant.name in ("WORLDS", "DIGITS"):
        dice.cache_clear()
        happens.cache_clear()


def tried(trial: Trial) -> Figure:
    """Simulate a trial."""
    if not trial.name:
        return measure(trial.cell)
    if trial.name == DOUBT:
        return measure(replace(trial.cell, doubt=trial.value))
    with holding(BY_NAME[trial.name], trial.value):
        return measure(trial.cell)


@dataclass(frozen=True)
class Means:
    """Of the figures of a trial, over the seeds."""

    probes: float
    turnaround: float
    wronged: float

    @classmethod
    def of(cls, figures: Sequence[Figure]) -> Means:
        """Return the means of some figures."""
        return cls(fmean(f.probes for f in figures), fmean(f.most for f in figures), fmean(f.wronged for f in figures))


def sweep(constants: Sequence[Constant], only: Sequence[str], seeds: Sequence[int], jobs: int) -> Iterator[tuple[Trial, Means]]:
    """Yield the means of each trial: first the shipped values on each cell, then constant by constant, cell by cell."""
    known = {name: cell for name, cell in cells().items() if name in only}
    used = [name for name in known if any(name in constant.cells for constant in constants)]
    trials = [Trial(known[name]) for name in used]
    trials += [Trial(known[name], c.name, value) for c in constants for name in c.cells if name in known for value in c.values]
    runs = [replace(trial, cell=replace(trial.cell, seed=seed)) for trial in trials for seed in seeds]
    with multiprocessing.Pool(jobs) as pool:
        figures = pool.imap(tried, runs)
        for trial in trials:
            yield trial, Means.of([next(figures) for _ in seeds])


def shown(value: object) -> str:
    """Return a value as it stands in the table."""
    return f"{value.hits:g}:{value.misses:g}" if isinstance(value, BetaPrior) else f"{value:g}"


def row(constant: str, value: str, cell: str, here: Means, shipped: Means) -> str:
    """Return one line of the table."""
    probes = f"{here.probes:8.3f} {here.probes / shipped.probes:6.3f}x"
    turnaround = f"{here.turnaround:8.2f} {here.turnaround / shipped.turnaround:6.3f}x"
    return f"{constant:14} {value:>12} {cell:8} {probes} {turnaround} {here.wronged:8.2%}"


def report(options: argparse.Namespace) -> None:
    """Measure, and print the table, each row as soon as it is known."""
    constants = [BY_NAME[name] for name in options.constants or BY_NAME]
    names = {cell: name for name, cell in cells().items()}
    print(
        f"{'constant':14} {'value':>12} {'cell':8} {'probes':>8} {'ratio':>7} {'P95':>8} {'ratio':>7} {'wronged':>8}", flush=True
    )
    shipped: dict[str, Means] = {}
    above: tuple[str, str] | None = None
    for trial, means in sweep(constants, options.cells, options.seeds, options.jobs):
        cell = names[trial.cell]
        if not trial.name:
            shipped[cell] = means
            continue
        if above != (trial.name, cell):
            above = trial.name, cell
            print(row(trial.name, shown(BY_NAME[trial.name].shipped) + " *", cell, shipped[cell], shipped[cell]))
        print(row(trial.name, shown(trial.value), cell, means, shipped[cell]), flush=True)


def main() -> None:
    """Parse the command line and print the table."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.constants", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("constants", nargs="*", metavar="CONSTANT", help="only these; see --list")
    parser.add_argument("--list", action="store_true", help="list the constants and the cells")
    parser.add_argument("--cells", nargs="+", choices=CELLS, default=list(CELLS), help="only on these")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1], help="of the traffic; figures are means over them")
    parser.add_argument("--jobs", type=int, default=2, help="simulations at the same time")
    options = parser.parse_args()
    if unknown := [name for name in options.constants if name not in BY_NAME]:
        parser.error(f"no constant {unknown[0]}; --list names them")
    if options.list:
        for constant in TUNED:
            others = ", ".join(map(shown, constant.values))
            print(f"{constant.name:14} {shown(constant.shipped):>10}   tried: {others}; on {', '.join(constant.cells)}")
        print("\nCells, 16 slots and p = 5%, unless it says otherwise:")
        for name, what in CELLS.items():
            print(f"{name:14} {what}")
        return
    report(options)


if __name__ == "__main__":
    main()
