"""Whose silence it was, when agentctl cut a session off: its own, or the provider's."""

from __future__ import annotations

from collections.abc import Iterable

from agentctl.core.tasks.ending import End
from agentctl.core.tasks.failure import Kind
from agentctl.core.tasks.task import Session

CUT_OFF = frozenset({End.STUCK, End.TIMEOUT})
"""The ends by which agentctl cuts off a session that may wait for its provider.

A program that prints too much does not wait for anybody, and an agent that goes in circles is answered each time.
"""
OF_PROVIDER = frozenset({Kind.KEY, Kind.MONEY, Kind.RATE, Kind.OVERLOAD, Kind.NETWORK})
"""The failures of a session by which the provider may be the one that fell silent for another."""


def empty_handed(session: Session) -> bool:
    """Tell whether agentctl cut the session off and it has nothing to show: perhaps the provider did not answer."""
    return in_silence(session) and not session.salvage


def in_silence(session: Session) -> bool:
    """Tell whether the provider may have fallen silent before agentctl cut the session off, whatever it had done until then."""
    return bool(session.failure and session.failure.kind == Kind.LIMIT and session.end in CUT_OFF)


def tells(session: Session) -> bool:
    """Tell whether a session is a witness: see `shared`."""
    return empty_handed(session) or not in_silence(session)


def shared(session: Session, witnesses: Iterable[Session]) -> bool:
    """Tell whether a silence in which a session was cut off is that of the provider, by the sessions of other tasks.

    It is if one of the witnesses was cut off empty-handed, or failed by the provider, at about the same time. They are the few
    that ended nearest in time, of different tasks: some of them may just have handed in what they had before the provider fell
    silent. One that was cut off with work in its hands is in the same doubt as the session itself, so it is no witness (`tells`).
    """
    return in_silence(session) and any(hit(other) and _near(session, other) for other in witnesses)


def hit(session: Session) -> bool:
    """Tell whether its provider may have failed a session: it was cut off empty-handed, or by a failure of the provider's."""
    return empty_handed(session) or bool(session.failure and session.failure.kind in OF_PROVIDER)


def _near(one: Session, other: Session) -> bool:
    """Tell whether two sessions ended no further apart than twice what the longer one took."""
    return abs(one.ended - other.ended) <= 2 * max(one.seconds, other.seconds)
