"""The planner that ships beside other merge queues and beside what theory allows.

    python -m bench.simulate saturated     probes per landed change, queue always full
    python -m bench.simulate open          turnaround at half load
    python -m bench.simulate flakes        gates that fail good changes
    python -m bench.simulate agents        agents of different quality, known by name or not
    python -m bench.simulate pairs         changes that break only together
    python -m bench.simulate starvation    the longest wait of a million changes
    python -m bench.simulate decisions     real time of a decision, by queue length

Figures are means over the seeds, times in gate runs. Each figure has its ratio to a
baseline of the same run: `saturated`, `flakes`, `agents` and `pairs` to the entropy bound at
the share of bad changes that was dealt, `open` to the oracle, `decisions` to the shortest
queue. With --plot each table becomes a picture in docs/plots.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from agentctl.core.planner import Settings
from agentctl.simulation.chart import Axis, chart
from bench.bounds import entropy_bound, nested_optimum
from bench.cells import OURS, Cell, Figure, measured
from bench.rivals import RIVALS, SERIAL

RISKS = (0.005, 0.02, 0.05, 0.10, 0.20, 0.30)
EVERYBODY = (*OURS, *(name for name in RIVALS if "oracle" not in name))
PLOTS = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "docs", "plots")
GATE = 600.0
"""Seconds of a gate run, where priorities and age are weighed against it."""

BAD = Axis("share of bad changes", log=True, percent=True)


def stated_bound(figure: Figure, slots: int, span: int) -> float:
    """Return the longest wait, in gate runs, that the planner's docstring promises.

    A change is overtaken only by what arrives within `aging` times the span of priorities, and what is ahead of it, n
    changes, ends within 8n + n*n + 8 probes.
    """
    n = figure.peak
    return Settings().aging * span / GATE + (8 * n + n * n + 8) / slots


def usual_wait(figure: Figure, slots: int, span: int, risk: float) -> float:
    """Return the same with the probes that n changes usually take, 1.2 * n * H(p)."""
    entropy = entropy_bound([risk]) * (1 - risk)
    return Settings().aging * span / GATE + 1.2 * figure.peak * entropy / slots


class Report:
    """Measures cells and prints them as rows of a table, with a column for each cell of a row."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options

    def rows(
        self, title: str, columns: Sequence[str], rows: dict[str, list[Cell]], show: Callable[[Figure, Figure, Figure], str]
    ) -> dict[str, list[Figure]]:
        """Measure and print the rows of a table, and return the figures.

        `show` is given a figure, the first one of its column and the first one of its row.
        """
        cells = [cell for row in rows.values() for cell in row]
        figures = measured(cells, self.options.seeds, self.options.jobs)
        self.head(title, columns)
        found: dict[str, list[Figure]] = {}
        for name, row in rows.items():
            here = found[name] = []
            print(f"{name:24}", end="", flush=True)
            for column in range(len(row)):
                here.append(next(figures))
                top = next(iter(found.values()))[column]
                print(f" {show(here[-1], top, here[0]):>22}", end="", flush=True)
            print()
        return found

    def head(self, title: str, columns: Sequence[str]) -> None:
        print(f"\n{title}\n{'':24}" + "".join(f" {column:>22}" for column in columns))

    def line(self, name: str, values: Sequence[str]) -> None:
        print(f"{name:24}" + "".join(f" {value:>22}" for value in values), flush=True)

    def plot(self, name: str, title: str, x: Axis, y: Axis, lines: dict[str, list[tuple[float, float]]]) -> None:
        if self.options.plot:
            os.makedirs(PLOTS, exist_ok=True)
            path = os.path.join(PLOTS, name + ".svg")
            with open(path, "w") as file:
                file.write(chart(title, x, y, lines))
            print(os.path.relpath(path))

    def cell(self, strategy: str, risk: float, slots: int, **facts: Any) -> Cell:
        """Return a cell with enough landings to see 60 bad changes (200 if not --quick).

        To these come twice as many as our planner has in flight. The other strategies have nothing to learn before
        counting begins, but bors-ng has much under way.
        """
        ours, quick = strategy in OURS, self.options.quick
        flying = int(0.69 * slots / risk) if ours else 0
        landed = int((1500 + 60 / risk) if quick else (4000 + 200 / risk)) + 2 * flying
        warm = ((700 + 5 / risk) if quick else (3000 + 20 / risk)) + flying if ours else 200 + 5 / risk
        if strategy == "bors-ng":
            warm, landed = warm + 4000, 2 * landed
        plain: dict[str, Any] = {"strategy": strategy, "risks": (risk,) * 8, "slots": slots, "warm": int(warm), "landed": landed}
        return Cell(**plain | facts)

    def everybody(self, slots: int, **more: Any) -> dict[str, list[Cell]]:
        return {name: [self.cell(name, risk, slots, **more) for risk in self.options.risks] for name in self.options.strategies}


def ratio(figure: Figure, *_: Figure) -> str:
    return f"{figure.probes:.3f} {figure.ratio:6.2f}x"


def ratio_and_wronged(figure: Figure, *_: Figure) -> str:
    return f"{ratio(figure)} {figure.wronged:6.2%}"


def percent(values: Sequence[float]) -> list[str]:
    return [f"p={100 * value:g}%" for value in values]


def points(xs: Sequence[float], figures: Sequence[Figure], what: str) -> list[tuple[float, float]]:
    return [(x, getattr(figure, what)) for x, figure in zip(xs, figures) if not figure.unstable]


def saturated(report: Report) -> None:
    risks = report.options.risks
    for slots in report.options.slots:
        found = report.rows(
            f"probes per landed change, queue always full, K={slots}", percent(risks), report.everybody(slots), ratio
        )
        bounds = {"entropy bound": [entropy_bound([p]) for p in risks], "nested optimum": [nested_optimum(p) for p in risks]}
        for name, values in bounds.items():
            report.line(name, [f"{v:.3f} {v / entropy_bound([p]):6.3f}x" for v, p in zip(values, risks)])
        lines = {name: points(risks, row, "probes") for name, row in found.items()}
        lines["entropy bound"] = list(zip(risks, bounds["entropy bound"]))
        report.plot(
            f"saturated-{slots}",
            f"Cost of a landed change, queue always full, {slots} slots",
            BAD,
            Axis("probes per landed change", log=True),
            lines,
        )


def turnaround(figure: Figure, oracle: Figure, _: Figure) -> str:
    if figure.unstable:
        return "unstable"
    return f"{figure.half:.2f} / {figure.most:.2f} {figure.most / oracle.most:5.2f}x"


def open_load(report: Report) -> None:
    risks = report.options.risks
    for slots in (k for k in report.options.slots if k > 1):
        rows = report.everybody(slots, load=report.options.load, warm=500, landed=1500 if report.options.quick else 5000)
        rows = {name: row for name, row in rows.items() if name not in SERIAL}
        first = {"oracle": [replace(cell, strategy="oracle") for cell in next(iter(rows.values()))]}
        title = f"turnaround P50 / P95 in gate runs, {report.options.load:g} arrivals per slot and gate run, K={slots}"
        found = report.rows(title, percent(risks), first | rows, turnaround)
        for what, name in (("half", "P50"), ("most", "P95")):
            report.plot(
                f"open-{slots}-{name}",
                f"Turnaround {name}, {report.options.load:g} arrivals a slot, {slots} slots",
                BAD,
                Axis("gate runs", log=True),
                {n: points(risks, row, what) for n, row in found.items()},
            )


def flakes(report: Report) -> None:
    risks = [risk for risk in report.options.risks if risk < 0.25]
    for flake in (0.01, 0.03):
        for slots in report.options.slots:
            rows = {name: [report.cell(name, risk, slots, flake=flake) for risk in risks] for name in report.options.strategies}
            found = report.rows(
                f"probes per landed change, ratio to H/C(f), good ones rejected; flakes {flake:.0%}, K={slots}",
                percent(risks),
                rows,
                ratio_and_wronged,
            )
            report.plot(
                f"flakes-{100 * flake:g}-{slots}",
                f"Good changes sent back, flakes {flake:.0%}, {slots} slots",
                BAD,
                Axis("good changes rejected per landed one", log=True, percent=True),
                {n: points(risks, row, "wronged") for n, row in found.items()},
            )


MIXES = {
    "one of 8 is bad": (0.5,) + (0.02,) * 7,
    "half and half": (0.02,) * 4 + (0.25,) * 4,
    "all different": (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.4),
    "all alike": (0.1,) * 8,
}


def agents(report: Report) -> None:
    for slots in report.options.slots:

        def row(strategy: str, hidden: bool) -> list[Cell]:
            return [report.cell(strategy, 0.1, slots, risks=mix, hidden=hidden) for mix in MIXES.values()]

        rows = {name: row(name, False) for name in OURS}
        rows |= {f"{name}, unnamed": row(name, True) for name in OURS}
        rows |= {name: row(name, False) for name in report.options.strategies if name not in OURS}
        report.rows(f"probes per landed change, agents of different quality, K={slots}", list(MIXES), rows, ratio)
        report.line("entropy bound", [f"{entropy_bound(mix):.3f}   1.00x" for mix in MIXES.values()])


def pairs(report: Report) -> None:
    shares = (0.0, 0.005, 0.02, 0.05)
    for slots in report.options.slots:
        rows = {name: [report.cell(name, 0.05, slots, pairs=share) for share in shares] for name in report.options.strategies}
        found = report.rows(
            f"probes per landed change, p=5%, so many break with one of the 50 before, K={slots}",
            [f"{share:.1%}" for share in shares],
            rows,
            ratio_and_wronged,
        )
        report.plot(
            f"pairs-{slots}",
            f"Changes that break only together, {slots} slots",
            Axis("share of them", percent=True),
            Axis("probes per landed change", log=True),
            {n: points(shares, row, "probes") for n, row in found.items()},
        )


def starvation(report: Report) -> None:
    count, slots, risk, levels = (20_000 if report.options.quick else 1_000_000), 16, 0.05, (0, 0, 0, 1, 2)
    loads = (1.5, 2.5)
    rows = {
        name: [
            Cell(
                strategy=name,
                risks=(risk,) * 8,
                slots=slots,
                load=load,
                seconds=GATE,
                priorities=levels,
                warm=0,
                landed=int(count * (1 - risk)),
            )
            for load in loads
        ]
        for name in OURS
    }

    def show(figure: Figure, *_: Figure) -> str:
        span = max(levels) - min(levels)
        usual, bound = usual_wait(figure, slots, span, risk), stated_bound(figure, slots, span)
        return f"{figure.longest:.1f} {usual:.1f} {bound:,.0f} {figure.longest / bound:.4f}x" + " grows" * figure.unstable

    report.rows(
        f"longest wait of {count:,} changes in gate runs, the usual and the stated bound and the ratio to it;"
        f" K={slots}, p={risk:.0%}, priorities",
        [f"load {load:g}" for load in loads],
        rows,
        show,
    )


def decision(figure: Figure, _: Figure, shortest: Figure) -> str:
    return f"{figure.decision:.2f} <{figure.longest_decision:.1f} {figure.decision / shortest.decision:5.1f}x"


def decisions(report: Report) -> None:
    lengths = (100, 1000, 10_000) if report.options.quick else (100, 300, 1000, 3000, 10_000, 30_000)
    for name in OURS:
        rows = {
            f"K={slots}": [
                Cell(
                    strategy=name,
                    risks=(0.05,) * 8,
                    slots=slots,
                    backlog=length,
                    warm=100,
                    landed=200 if report.options.quick else 1000,
                )
                for length in lengths
            ]
            for slots in report.options.slots
        }
        found = report.rows(
            f"{name}: a decision in ms, the longest, and the mean's ratio to the shortest queue",
            [f"{length:,} queued" for length in lengths],
            rows,
            decision,
        )
        report.plot(
            f"decisions-{name.split()[-1]}",
            f"Time of a decision ({name})",
            Axis("changes in the queue", log=True),
            Axis("milliseconds", log=True),
            {n: points(lengths, row, "decision") for n, row in found.items()},
        )


REPORTS = {
    "saturated": saturated,
    "open": open_load,
    "flakes": flakes,
    "agents": agents,
    "pairs": pairs,
    "starvation": starvation,
    "decisions": decisions,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("report", choices=REPORTS)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1])
    parser.add_argument("--slots", type=int, nargs="+", default=None, help="1 4 16 64; with --quick 16")
    parser.add_argument("--risks", type=float, nargs="+", default=list(RISKS))
    parser.add_argument("--strategies", nargs="+", choices=EVERYBODY, default=list(EVERYBODY))
    parser.add_argument("--load", type=float, default=0.5, help="arrivals per slot and gate run, for open")
    parser.add_argument("--quick", action="store_true", help="fewer changes: a minute or so")
    parser.add_argument("--plot", action="store_true", help="draw docs/plots/*.svg")
    parser.add_argument("--jobs", type=int, default=2)
    options = parser.parse_args()
    options.slots = options.slots or ([16] if options.quick else [1, 4, 16, 64])
    REPORTS[options.report](Report(options))


if __name__ == "__main__":
    main()
