"""What the scripted agents do, how often, and how agentctl is to understand it."""

from __future__ import annotations

from dataclasses import dataclass

from agentctl.core.tasks.ending import End
from agentctl.core.tasks.failure import Kind
from agentctl.core.tasks.task import Session


@dataclass(frozen=True, slots=True)
class Behaviour:
    share: float
    """The share of the sessions that behave so."""
    ends: tuple[tuple[End, Kind | None], ...]
    """How such a session may be recorded: its end, and the kind of its failure."""
    healthy: bool = False
    """True if nobody may end the session from outside."""
    rejected: str = ""
    """The kind of reason for which its change has to be rejected, whenever it is submitted; empty if it may land."""

    def recognised(self, session: Session) -> bool:
        return (session.end, session.failure.kind if session.failure else None) in self.ends


_HANDED_IN = ((End.SUBMITTED, None),)
_STUCK = ((End.STUCK, Kind.LIMIT),)

BEHAVIOURS: dict[str, Behaviour] = {
    "slow tests": Behaviour(0.04, _HANDED_IN, healthy=True),
    "late": Behaviour(0.03, _HANDED_IN, healthy=True),
    "bug": Behaviour(0.05, _HANDED_IN, healthy=True, rejected="gate"),
    "conflict": Behaviour(0.04, _HANDED_IN, healthy=True),
    "huge file": Behaviour(0.02, _HANDED_IN, healthy=True, rejected="policy"),
    "dirty beside a commit": Behaviour(0.04, _HANDED_IN, healthy=True),
    "daemon": Behaviour(0.04, _HANDED_IN, healthy=True),
    "nothing": Behaviour(0.03, ((End.EMPTY, None),), healthy=True),
    "hang at start": Behaviour(0.02, _STUCK),
    "hang half-way": Behaviour(0.02, _STUCK),
    "hang after the result": Behaviour(0.03, _HANDED_IN, healthy=True),
    "crash": Behaviour(0.04, ((End.CRASHED, None),)),
    "signal": Behaviour(0.02, ((End.CRASHED, None),)),
    "endless output": Behaviour(0.02, ((End.CRASHED, Kind.LIMIT),)),
    "in circles": Behaviour(0.02, ((End.CIRCLES, Kind.LIMIT),)),
    "good": Behaviour(0.54, _HANDED_IN, healthy=True),
    # By a storm alone, which hits every session.
    "rate limit": Behaviour(0.0, ((End.CRASHED, Kind.RATE),)),
    # By the benchmark, from outside.
    "supervisor killed": Behaviour(0.0, ((End.INTERRUPTED, None),)),
}

SHARES = {name: behaviour.share for name, behaviour in BEHAVIOURS.items() if behaviour.share and name != "good"}
FAULTS = tuple(name for name in BEHAVIOURS if name not in ("good", "slow tests", "late"))
"""The behaviours after which somebody has to recover."""
