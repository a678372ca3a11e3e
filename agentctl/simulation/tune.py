"""Forecasts of other settings of the queue for a given traffic: the planner that ships is simulated."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from math import isfinite

from agentctl.core.planner import Settings, plan
from agentctl.core.text.json_form import replace
from agentctl.messages import aligned
from agentctl.simulation.chart import Axis, chart
from agentctl.simulation.simulator import Conditions, Simulation
from agentctl.simulation.traffic import Arrival

LULL = 3600.0
"""A longer gap between arrivals, in seconds, counts as this one: nights say nothing about the queue."""


@dataclass(frozen=True, slots=True)
class Setting:
    slots: int
    batch: int
    """The most changes in one probe."""


@dataclass(frozen=True, slots=True)
class Forecast:
    """The outcome of one setting."""

    slots: int
    batch: int
    landed: int
    rejected: int
    landed_an_hour: float
    half: float
    most: float
    """`half` and `most`: the seconds from admission to landing that 50% and 95% of the landed changes stay within."""
    gate_hours: float
    """Gate hours for each 100 landed changes."""
    probes: float
    """Probes for each landed change."""


def without_lulls(arrivals: Iterable[Arrival]) -> list[Arrival]:
    """Return the arrivals with the first one at 0, and with no gap above `LULL`."""
    found: list[Arrival] = []
    at, last = 0.0, None
    for arrival in arrivals:
        at += 0.0 if last is None else min(LULL, arrival.at - last)
        last = arrival.at
        found.append(replace(arrival, at=at))
    return found


def repeated(arrivals: Sequence[Arrival], changes: int) -> Iterator[Arrival]:
    """Yield `changes` arrivals: the traffic over and over, with one mean gap between the rounds."""
    length = len(arrivals)
    span = arrivals[-1].at - arrivals[0].at
    span += span / (length - 1) if length > 1 else arrivals[0].seconds
    for number in range(changes):
        turn, index = divmod(number, length)
        arrival = arrivals[index]
        shift = turn * length
        yield replace(
            arrival,
            at=arrival.at + turn * span,
            breaks_with=None if arrival.breaks_with is None else arrival.breaks_with + shift,
            clashes_with=None if arrival.clashes_with is None else arrival.clashes_with + shift,
        )


def outcome(
    arrivals: Iterable[Arrival], setting: Setting, limits: Settings, flake: float = 0.0, backlog: int | None = None, seed: int = 1
) -> Forecast:
    """Simulate one setting.

    With `backlog`, so many changes are always queued, whatever the times of arrival.
    """
    conditions = Conditions(slots=setting.slots, backlog=backlog, flake=flake, seed=seed)
    tally = Simulation(arrivals, plan, conditions, replace(limits, batch=setting.batch)).run()
    landed = max(1, tally.landed)
    return Forecast(
        setting.slots,
        setting.batch,
        tally.landed,
        tally.rejected,
        3600 * tally.landed / max(tally.elapsed, 1e-9),
        tally.quantile(0.5),
        tally.quantile(0.95),
        100 * tally.busy / landed / 3600,
        tally.probes / landed,
    )


HEAD = ("slots", "batch", "landed/h", "P50", "P95", "gate h/100", "probes/landed")


def lines(outcomes: Iterable[Forecast], now: Setting | None = None) -> Iterator[str]:
    """Yield the lines of the table; the setting that is in force has a star."""
    rows = [(" ", *HEAD)]
    for o in outcomes:
        star = "*" if (o.slots, o.batch) == (now and now.slots, now and now.batch) else " "
        rows.append(
            (
                star,
                str(o.slots),
                str(o.batch),
                f"{o.landed_an_hour:,.1f}",
                span(o.half),
                span(o.most),
                f"{o.gate_hours:,.2f}",
                f"{o.probes:.2f}",
            )
        )
    yield from aligned(rows, numbers=True)


def span(seconds: float) -> str:
    """Return a time in the unit that suits it."""
    if not isfinite(seconds):
        return "-"
    for unit, size in (("h", 3600.0), ("m", 60.0)):
        if seconds >= 2 * size:
            return f"{seconds / size:,.1f}{unit}"
    return f"{seconds:.1f}s"


def plot(outcomes: Sequence[Forecast], title: str) -> str:
    """Draw turnaround against slots as SVG, with two lines (P50 and P95) for each batch limit."""
    batches = dict.fromkeys(o.batch for o in outcomes)
    drawn = {
        f"{what}, batch {batch}": [(float(o.slots), getattr(o, name)) for o in outcomes if o.batch == batch and isfinite(o.half)]
        for what, name in (("P50", "half"), ("P95", "most"))
        for batch in batches
    }
    return chart(title, Axis("slots", log=True), Axis("seconds from admission to landing", log=True), drawn)


def settings(slots: Sequence[int], batches: Sequence[int]) -> list[Setting]:
    return [Setting(k, batch) for k in slots for batch in batches]
