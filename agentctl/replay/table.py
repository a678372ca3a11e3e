"""The outcome of a replay, as the rows of a table."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from agentctl.messages import aligned
from agentctl.replay.replay import ReplayOutcome


@dataclass(frozen=True, slots=True)
class Row:
    label: str
    value: Callable[[ReplayOutcome], float]
    form: str = "{:,.0f}"
    ratio: bool = False
    """Whether two replays are compared by the ratio of this value."""


NUMBERS = (
    Row("tasks", lambda o: o.summary.tasks),
    Row("landed", lambda o: o.summary.landed),
    Row("rejected by the gate", lambda o: o.summary.rejected - o.summary.conflicts),
    Row("  with an injected bug", lambda o: o.injected),
    Row("rejected for a conflict", lambda o: o.summary.conflicts),
    Row("sessions put off", lambda o: o.deferred),
    Row("probes", lambda o: o.summary.probes, ratio=True),
    Row("probes per landed change", lambda o: o.summary.probes / max(1, o.summary.changes), "{:.2f}", True),
    Row("seconds", lambda o: o.summary.seconds, "{:,.0f}", True),
    Row("landed an hour", lambda o: o.summary.changes / max(o.summary.seconds, 0.001) * 3600, "{:,.0f}", True),
)
WORDS: tuple[tuple[str, Callable[[ReplayOutcome], str]], ...] = (
    ("trunk's tree is history's", lambda o: "yes" if not o.differences else f"no: {len(o.differences)} paths"),
    ("bugs rejected, proven", lambda o: "all" if not o.unseen else f"not {len(o.unseen)}"),
    ("verify", lambda o: "clean" if not o.broken else f"{len(o.broken)} findings"),
)


def lines(columns: Mapping[str, ReplayOutcome]) -> Iterator[str]:
    """Yield the lines of the table; with two columns, a third one has the second's value over the first's."""
    both = list(columns.values()) if len(columns) == 2 else []
    rows = [("", *columns, *(["ratio"] if both else []))]
    for row in NUMBERS:
        values = [row.value(o) for o in columns.values()]
        ratio = [f"{values[1] / values[0]:.2f}"] if both and row.ratio and values[0] else []
        rows.append((row.label, *(row.form.format(v) for v in values), *ratio))
    for label, word in WORDS:
        rows.append((label, *(word(o) for o in columns.values())))
    yield from aligned(rows, numbers=True)
    for name, outcome in columns.items():
        yield from _amiss(name, outcome)


def _amiss(name: str, outcome: ReplayOutcome, limit: int = 20) -> Iterator[str]:
    """Yield all that is not as it should be, but of each kind `limit` items at most; parked tasks are all there."""
    for label, found in (
        ("differs from history", outcome.differences),
        ("bug not caught", outcome.unseen),
        ("broken", outcome.broken),
    ):
        yield from (f"{name}: {label}: {item}" for item in found[:limit])
        if len(found) > limit:
            yield f"{name}: {label}: and {len(found) - limit} more"
    yield from (f"{name}: parked: {task}: {reason}" for task, reason in outcome.parked.items())
