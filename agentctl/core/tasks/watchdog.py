"""Whether a session is to be ended, judged from samples of what can be seen from outside and what its program tells."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from agentctl.core.policy.policy import Budget
from agentctl.core.queue.spending import NEARLY, Spent, nearly, over
from agentctl.core.tasks.ending import End

WITH_CHILDREN = 3
"""How many times longer silence is tolerated while child processes run: a test suite may be quiet for long."""
IDLE = 0.01
"""The share of one CPU up to which a session counts as idle.

Event loops tick while they wait for an answer that never comes.
"""
QUIET_START = 3
"""How many times longer a session may be silent at its start than later: some agents print only at their end."""
GRACE = 30.0
"""Seconds for which a program may live on after it has told its final result, if it may be silent for as long."""
REFUSALS = 3
"""How often in a row a provider may refuse a program that goes on trying: that ends no sooner by waiting."""
CIRCLES = 20
"""How often in a row an agent may do the same with the same outcome, and no change to its files, until it goes in circles."""


def interval(silence: float) -> float:
    """Return the seconds between two samples of a session that may be silent for so long."""
    return min(30.0, max(0.2, min(silence, 4 * GRACE) / 20))


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
    finished: bool = False
    """True if the program has told its final result, and nothing since."""
    waiting: bool = False
    """True if the program says that it waits for its provider."""
    context: int = 0
    """The tokens of the program's last request."""
    refused: int = 0
    """How many times in a row the provider refused the program."""
    same: int = 0
    """How many times in a row the agent has done the same with the same outcome."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a session may go on; 0 means without limit."""

    silence: float
    """Seconds in which nothing moves."""
    start: float
    """Seconds in which nothing moves at the start."""
    budget: Budget = Budget()
    context: int = 0
    """Tokens of one request."""
    timeout: float = 0.0
    """Seconds in all."""
    of_budget: str = "agents.budget.session"
    """The key of the policy that the budget is from."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """Why a session is to be ended by us."""

    end: End | None
    """How it ends then; None if it has ended well, but for its program that lives on."""
    why: str
    limit: str = ""
    """The key of the policy whose limit is met; empty if how it ends says which that is."""


def verdict(samples: Sequence[Sample], now: float, spent: Spent, patience: Patience) -> Verdict | None:
    """Return why the session is to be ended, or None. For `samples` and `now` see `stuck`."""
    if used := over(patience.budget, spent):
        return Verdict(End.SPENT, f"its budget is used up: {used}", patience.of_budget)
    if samples and samples[-1].refused >= REFUSALS:
        return Verdict(End.CRASHED, f"its provider refused it {samples[-1].refused} times, and it went on trying")
    if samples and 0 < patience.context <= samples[-1].context and not samples[-1].finished:
        full = f"its context is full: {samples[-1].context:,} of {patience.context:,} tokens"
        return Verdict(End.SPENT, full, "agents.context")
    grace = min(GRACE, patience.silence or GRACE)
    if _lives_on(samples, grace):
        return Verdict(None, f"it told its result and did not end within {grace:g} s, so it was ended")
    if samples and samples[-1].same >= CIRCLES and _without_effect(samples):
        return Verdict(End.CIRCLES, f"{samples[-1].same} times the same with the same outcome, and no edit")
    why = stuck(samples, now, patience.silence, patience.start)
    return Verdict(End.STUCK, why) if why else None


@dataclass(frozen=True, slots=True)
class Warned:
    """What an agent is told before its session is ended for it."""

    circles: bool = False
    """True if it goes in circles."""
    limits: tuple[str, ...] = ()
    """Of what most is used up, in words."""


def warned(samples: Sequence[Sample], spent: Spent, patience: Patience) -> Warned:
    """Return what to tell the agent: each part appears once that is due, and says the same as long as it is."""
    if not samples or samples[-1].finished:
        return Warned()
    last, limits = samples[-1], nearly(patience.budget, spent)
    if 0 < NEARLY * patience.context <= last.context:
        limits.append(f"{patience.context:,} tokens of context")
    if 0 < NEARLY * patience.timeout <= spent.seconds and not patience.budget.time:
        limits.append(f"{patience.timeout:.0f} s")
    return Warned(last.same >= CIRCLES // 2 and _without_effect(samples), tuple(limits))


def remembered(samples: Sequence[Sample], patience: Patience) -> list[Sample]:
    """Return the samples that a later verdict can depend on: the first, and those of the longest time that may be silent."""
    if not samples:
        return []
    since = samples[-1].time - WITH_CHILDREN * max(patience.silence, GRACE)
    old = _window(samples, since) or 0
    return [*samples[: min(1, old)], *samples[old:]]


def _lives_on(samples: Sequence[Sample], grace: float) -> bool:
    """Tell whether the program has been silent since it told its result, for `grace` seconds or more."""
    since = None
    for sample in reversed(samples):
        if not sample.finished or sample.output != samples[-1].output:
            break
        since = sample.time
    return since is not None and samples[-1].time - since >= grace


def _without_effect(samples: Sequence[Sample]) -> bool:
    """Tell whether the worktree has not changed for as long as the agent has done the same."""
    last = samples[-1]
    for before, after in zip(reversed(samples[:-1]), reversed(samples)):
        if (before.head, before.diff) != (last.head, last.diff):
            return False
        if before.same <= 1 or before.same > after.same:
            return True
    return True


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
    if any(sample.waiting or _looks(sample) != _looks(last) for sample in seen[since:]):
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
