"""Whether a session is stuck, judged from samples of what can be seen from outside."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

WITH_CHILDREN = 3
"""How many times longer silence is tolerated while child processes run: a test suite may be quiet for long."""
IDLE = 0.01
"""The share of one CPU up to which a session counts as idle.

Event loops tick while they wait for an answer that never comes.
"""


@dataclass(frozen=True, slots=True)
class Sample:
    time: float
    """The seconds of a clock that does not run while the machine is suspended."""
    output: int
    """The bytes that the session has written since its start."""
    head: str
    diff: str
    """A fingerprint of the worktree's changes."""
    cpu: float
    """The seconds of CPU that the process tree has used since its start."""
    processes: int
    """The number of processes in the tree, the session's own included."""


def stuck(samples: Sequence[Sample], now: float, silence: float, start_limit: float) -> str | None:
    """Return why a session is stuck, in words and numbers, or None.

    It is stuck when nothing has moved for `silence` seconds: output, HEAD, the worktree's changes, CPU time and the
    number of processes. While it has child processes the limit is three times as long. Before its first output, commit
    or edit only `start_limit` counts, whatever its CPU does. A limit of 0 means no limit.

    `samples` are in order of time and should begin with the session's start. Only the time that they cover is judged:
    time in which nobody looked is not silence.
    """
    seen = [sample for sample in samples if sample.time <= now]
    if not seen:
        return None
    if _said_nothing(seen):
        return _stuck_at_start(seen, start_limit)
    return _fallen_silent(seen, silence)


def _said_nothing(seen: Sequence[Sample]) -> bool:
    first = seen[0]
    return all(s.output == 0 and (s.head, s.diff) == (first.head, first.diff) for s in seen)


def _stuck_at_start(seen: Sequence[Sample], limit: float) -> str | None:
    waited = seen[-1].time - seen[0].time
    if limit <= 0 or waited < limit:
        return None
    return f"no output, commit or edit in the first {waited:.0f} s (limit {limit:g} s)"


def _fallen_silent(seen: Sequence[Sample], silence: float) -> str | None:
    last = seen[-1]
    children = last.processes - 1
    limit = silence * WITH_CHILDREN if children > 0 else silence
    since = _window(seen, last.time - limit)
    if limit <= 0 or since is None:
        return None
    first, waited = seen[since], last.time - seen[since].time
    if any(_looks(sample) != _looks(last) for sample in seen[since:]):
        return None
    if last.cpu - first.cpu > IDLE * waited:
        return None
    while_children = f" while {children} child processes run" if children > 0 else ""
    return f"no output, commit, edit or CPU time for {waited:.0f} s{while_children} (limit {limit:g} s)"


def _window(seen: Sequence[Sample], begin: float) -> int | None:
    """Return the index of the last sample at or before `begin`, or None."""
    return max((i for i, sample in enumerate(seen) if sample.time <= begin), default=None)


def _looks(sample: Sample) -> tuple[int, str, str, int]:
    return sample.output, sample.head, sample.diff, sample.processes
