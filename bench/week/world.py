"""A seeded world: what tasks are like, how long sessions take, what goes wrong, and what the provider does meanwhile.

Times are seconds of the virtual clock. The world knows why everything happens; what the fleet makes of it is judged by
this knowledge.
"""

from __future__ import annotations

import bisect
import random
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cache
from pathlib import Path

from agentctl.core.tasks.ending import End
from agentctl.core.tasks.failure import Kind

HOUR, DAY = 3600.0, 86400.0
MORNING = 1_764_547_200.0
"""The world begins on a Monday at midnight, UTC."""
TIMEOUT = 1800.0
"""The time limit of a session, as the policy has it if it says nothing."""
RECORDED = Path(__file__).parents[2] / "tests/unit/last_words.txt"


class Nature(StrEnum):
    """What a task is like, whoever works on it."""

    PLAIN = "plain"
    HOPELESS = "its agent crashes each time"
    LARGE = "it never ends in time"
    LONG = "it never fits into the context"
    WRONG = "whatever is handed in fails the gate"
    REFUSED = "its agent gives up after a rejection"
    POISON = "its agent prints each time that the provider is overloaded"
    EARLY = "it says once that trunk is not ready"


NATURES = {
    Nature.HOPELESS: 0.003,
    Nature.LARGE: 0.002,
    Nature.LONG: 0.001,
    Nature.WRONG: 0.004,
    Nature.REFUSED: 0.003,
    Nature.POISON: 0.00005,
    Nature.EARLY: 0.01,
}
SPOILT = frozenset(NATURES) - {Nature.EARLY}
"""The natures for which a task may be parked."""


class Cause(StrEnum):
    """Why a session went as it did."""

    GOOD = "good work"
    SLOW_TESTS = "good work, with slow tests"
    LATE = "good work, without a word until its end"
    THOUGHT = "good work, with long silences"
    CRASH = "a crash of its own"
    EMPTY = "nothing done"
    HANG_AT_START = "it hangs before its first output"
    HANG = "it hangs half-way"
    HANG_CHILD = "it hangs with a child"
    HANG_AT_END = "it hangs after its result"
    CIRCLES = "it goes in circles"
    ENDLESS = "it prints without end"
    TASK = "its task is like that"
    PROVIDER = "the provider"
    STOPPED = "the supervisor was killed"


HEALTHY = frozenset({Cause.GOOD, Cause.SLOW_TESTS, Cause.LATE, Cause.THOUGHT, Cause.EMPTY, Cause.HANG_AT_END})
"""Those whose work is not to be cut off; where the program lives on after it, the program is."""
HANGS = frozenset({Cause.HANG_AT_START, Cause.HANG, Cause.HANG_CHILD, Cause.HANG_AT_END})
CHARGED = frozenset({Cause.CRASH, Cause.EMPTY, Cause.TASK})
"""The causes for which a session may be charged to its task, apart from a rejection."""
SHARES = {
    Cause.SLOW_TESTS: 0.05,
    Cause.LATE: 0.02,
    Cause.THOUGHT: 0.05,
    Cause.CRASH: 0.02,
    Cause.EMPTY: 0.01,
    Cause.HANG_AT_START: 0.003,
    Cause.HANG: 0.005,
    Cause.HANG_CHILD: 0.002,
    Cause.HANG_AT_END: 0.005,
    Cause.CIRCLES: 0.003,
    Cause.ENDLESS: 0.001,
}
REJECTED = 0.08
"""The share of changes that the queue rejects: bad ones and conflicts."""


@dataclass(frozen=True, slots=True)
class Outage:
    begin: float
    end: float
    kind: Kind | None
    """What the provider makes the programs say; None if it does not answer at all."""


@dataclass(frozen=True, slots=True)
class Words:
    end: End | None
    text: str
    kind: Kind


@cache
def recorded() -> dict[Kind, tuple[Words, ...]]:
    """Return what real programs printed at their end, by what it means."""
    found: dict[Kind, list[Words]] = {}
    for part in ("\n" + RECORDED.read_text()).split("\n==== ")[1:]:
        heading, _, said = part.partition("\n")
        _, how, *status, kind, _ = heading.split()
        end = End.TIMEOUT if how == "timeout" else None if status == ["0"] else End.CRASHED
        found.setdefault(Kind[kind], []).append(Words(end, said, Kind[kind]))
    return {kind: tuple(listed) for kind, listed in found.items()}


OWN = (
    "Traceback (most recent call last):\n  File \"tool.py\", line 401, in edit\nKeyError: 'colour'\n",
    "I made the client wait at a rate limit.\nFAILED tests/test_client.py::test_429 - AssertionError: 200 != 429\nexit status 3\n",
    "half of it is written\n",
    "Segmentation fault (core dumped)\n",
    '{"type":"assistant","message":{"content":[{"type":"text","text":"The server answers 503, so I retry."}]}}\n',
)
"""What programs print that crash by the fault of nobody but themselves."""
DONE = (
    '{"type":"result","subtype":"success","is_error":false,"result":"It is done.","num_turns":7}\n',
    "I made the client wait when the server answers with status 429, and added a test for it.\nDone.\n",
    "The tests cover 401 and 403 as well, and a connection refused.\n3 passed\n",
)
SILENT_START = ("", "I read the code first.\n")

Segment = tuple[str, float]
"""What a session does for how many seconds.

act, tests, wait (for the model, or for nothing), mute (not a word yet), retry (its program says so), circle, finished.
"""


@dataclass(slots=True)
class Course:
    """How a session would go if nobody ended it from outside."""

    cause: Cause
    segments: list[Segment]
    seconds: float
    """Its length; infinite if it does not end by itself."""
    end: End | None = None
    reason: str = "exited"
    tail: str = DONE[0]
    committed: bool = True
    dirty: bool = False
    weathered: bool = False
    """True if the provider had a part in it."""

    @property
    def begun(self) -> bool:
        """True if the provider answers it at its start."""
        return self.segments[0][0] not in ("mute", "retry")

    def answered(self, after: float) -> bool | None:
        """Tell as `Heard.answered` does what its program has told after so many seconds."""
        told = None
        for what, seconds in self.segments:
            told = told if what == "mute" else what != "retry"
            after -= seconds
            if after < 0:
                break
        return told


@dataclass
class World:
    seed: int
    days: float
    outages: list[Outage] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.rnd = random.Random(self.seed)
        self.outages = self.outages or self._weather()
        self._begins = [outage.begin for outage in self.outages]

    def _weather(self) -> list[Outage]:
        """Return the outages: a key that expires each night, storms of a quarter of an hour, some hours without a provider."""
        rnd, found, end = self.rnd, [], MORNING + self.days * DAY
        for day in range(max(1, int(self.days))):
            night = MORNING + day * DAY + 2 * HOUR
            found.append(Outage(night, night + 2400, Kind.KEY))
            for _ in range(3):
                begin = MORNING + day * DAY + rnd.uniform(4, 23) * HOUR
                found.append(Outage(begin, begin + rnd.uniform(300, 1800), rnd.choice((Kind.RATE, Kind.RATE, Kind.OVERLOAD))))
        for kind, hours in ((Kind.OVERLOAD, 3.0), (Kind.NETWORK, 1.5), (None, 2.0)):
            begin = MORNING + rnd.uniform(0.1, 0.9) * self.days * DAY
            found.append(Outage(begin, begin + hours * HOUR * min(1.0, self.days), kind))
        apart: list[Outage] = []
        for outage in sorted(found, key=lambda one: one.begin):
            if outage.end < end and (not apart or outage.begin > apart[-1].end + HOUR):
                apart.append(outage)
        return apart

    def outage(self, now: float) -> Outage | None:
        """Return the outage at a time, or the next one."""
        n = max(0, bisect.bisect_right(self._begins, now) - 1)
        return next((one for one in self.outages[n : n + 2] if one.end > now), None)

    def nature(self) -> Nature:
        return self._drawn(NATURES) or Nature.PLAIN

    def _drawn(self, shares: dict[Nature, float] | dict[Cause, float]):  # type: ignore[no-untyped-def]
        drawn = self.rnd.random()
        for name, share in shares.items():
            drawn -= share
            if drawn < 0:
                return name
        return None

    # sessions

    def course(self, nature: Nature, tried: int, now: float) -> Course:
        """Return how a session goes that begins now, the provider's doings included."""
        made = self._of_task(nature, tried) or self._by_chance()
        return self._weathered(made, now)

    def _length(self) -> float:
        return min(1400.0, self.rnd.lognormvariate(6.3, 0.6))

    def _of_task(self, nature: Nature, tried: int) -> Course | None:
        rnd = self.rnd
        match nature:
            case Nature.HOPELESS:
                seconds = self._length() / 2
                return Course(
                    Cause.TASK, [("act", seconds)], seconds, End.CRASHED, tail=rnd.choice(OWN), committed=False, dirty=True
                )
            case Nature.LARGE:
                return Course(Cause.TASK, [("act", float("inf"))], float("inf"), tail=DONE[1], committed=False, dirty=True)
            case Nature.LONG:
                said = rnd.choice([words for words in recorded()[Kind.CONTEXT] if words.end == End.CRASHED])
                return Course(Cause.TASK, [("act", 900.0)], 900.0, End.CRASHED, tail=said.text, committed=False, dirty=True)
            case Nature.POISON:
                return Course(Cause.TASK, [("act", 60.0)], 60.0, End.CRASHED, tail="API Error: 529 Overloaded\n", committed=False)
            case Nature.EARLY if not tried:
                return Course(Cause.TASK, [("act", 40.0)], 40.0, End.DEFERRED, tail="not yet\n", committed=False)
        return None

    def _by_chance(self) -> Course:
        rnd, length, never = self.rnd, self._length(), float("inf")
        cause = self._drawn(SHARES) or Cause.GOOD
        match cause:
            case Cause.SLOW_TESTS:
                tests = rnd.uniform(300, 1500)
                length = min(length, 1780 - tests - 60)
                return Course(cause, [("act", length / 2), ("tests", tests), ("act", length / 2)], length + tests)
            case Cause.LATE:
                length = min(length, 1700.0)
                return Course(cause, [("mute", length)], length)
            case Cause.THOUGHT:
                return Course(cause, [("act", length / 2), ("wait", 540.0), ("act", length / 4)], length * 0.75 + 540)
            case Cause.CRASH:
                seconds = length * rnd.random()
                return Course(
                    cause,
                    [("act", seconds)],
                    seconds,
                    End.CRASHED,
                    tail=rnd.choice(OWN),
                    committed=False,
                    dirty=rnd.random() < 0.7,
                )
            case Cause.EMPTY:
                return Course(cause, [("act", 60.0)], 60.0, tail=rnd.choice(DONE), committed=False)
            case Cause.HANG_AT_START:
                return Course(cause, [("mute", never)], never, tail="", committed=False)
            case Cause.HANG:
                return Course(
                    cause,
                    [("act", length), ("wait", never)],
                    never,
                    tail=SILENT_START[1],
                    committed=False,
                    dirty=rnd.random() < 0.7,
                )
            case Cause.HANG_CHILD:
                return Course(
                    cause, [("act", length), ("tests", never)], never, tail=SILENT_START[1], committed=False, dirty=True
                )
            case Cause.HANG_AT_END:
                return Course(cause, [("act", length), ("finished", never)], never, tail=DONE[0])
            case Cause.CIRCLES:
                return Course(cause, [("act", length), ("circle", never)], never, tail=OWN[1], committed=False, dirty=True)
            case Cause.ENDLESS:
                return Course(cause, [("act", 30.0)], 30.0, End.CRASHED, "output", "and so on\n" * 50, committed=False)
        return Course(cause, [("act", length)], length, tail=rnd.choice(DONE))

    def _weathered(self, made: Course, now: float) -> Course:
        """Return the course as it goes with this provider, which each act and each wait for a model needs."""
        outage, at, kept = self.outage(now), now, []
        for n, (what, seconds) in enumerate(made.segments):
            # A session that hangs for no reason does not ask anybody.
            asks = what == "act" or (what in ("wait", "mute") and seconds < float("inf"))
            hit = max(at, outage.begin) if outage else float("inf")
            if not asks or not outage or hit >= min(at + seconds, outage.end, now + TIMEOUT):
                kept.append((what, seconds))
                at += seconds
                continue
            before = [*kept, (what, hit - at)] if hit > at else kept
            begun = bool(before) and before[0][0] != "mute"
            rest = [(what, at + seconds - hit), *made.segments[n + 1 :]]
            if outage.kind is None:
                return self._revived("wait" if begun else "mute", made, outage, hit, before, rest)
            return self._said(made, outage, hit, before, rest, now)
        return made

    def _revived(self, how: str, made: Course, outage: Outage, hit: float, before: list[Segment], rest: list[Segment]) -> Course:
        """Return a course that gets no answer until the outage is over, and then goes on."""
        segments = [*before, (how, outage.end - hit), *rest]
        seconds = sum(length for _, length in segments)
        dirty = bool(before) and self.rnd.random() < 0.7
        cause = made.cause if made.cause in CHARGED else Cause.PROVIDER
        return Course(cause, segments, seconds, made.end, made.reason, made.tail, made.committed, dirty, True)

    def _said(self, made: Course, outage: Outage, hit: float, before: list[Segment], rest: list[Segment], now: float) -> Course:
        """Return a course in which the program tries again, for a while or without end, and says so."""
        rnd, kind = self.rnd, outage.kind
        assert kind is not None
        words = rnd.choice(recorded()[kind])
        if kind == Kind.RATE and rnd.random() < 0.5:
            seconds = rnd.choice((5, 30, 60, int(outage.end - hit)))
            words = Words(End.CRASHED, f"API Error: 429 rate_limit_error retry-after: {seconds}\n", kind)
        if words.end == End.TIMEOUT:
            course = self._revived("retry", made, outage, hit, before, rest)
            course.tail = course.tail if outage.end < now + TIMEOUT else words.text
            return course
        patience, dirty = rnd.uniform(2, 180), bool(before) and rnd.random() < 0.7
        segments = [*before, ("retry", patience)]
        return Course(
            Cause.PROVIDER,
            segments,
            hit + patience - now,
            words.end,
            tail=words.text,
            committed=False,
            dirty=dirty,
            weathered=True,
        )
