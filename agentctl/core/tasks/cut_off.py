"""Whose silence it was, when agentctl cut a session off: its own, or the provider's."""

from __future__ import annotations

import heapq
from collections.abc import Iterable
from typing import TYPE_CHECKING

from agentctl.core.tasks.ending import End
from agentctl.core.tasks.failure import NATURE, Kind

if TYPE_CHECKING:
    from agentctl.core.tasks.task import Session


CUT_OFF = frozenset({End.STUCK, End.TIMEOUT})
"""The ends by which agentctl cuts off a session that may wait for its provider; a program that prints too much does not."""


def empty_handed(session: Session) -> bool:
    """Tell whether agentctl cut the session off and it has nothing to show: perhaps the provider did not answer."""
    return _cut_off(session) and not session.salvage


def in_silence(session: Session) -> bool:
    """Tell whether the provider may have fallen silent before agentctl cut the session off, whatever it had done until then."""
    return empty_handed(session) or _cut_off(session) and session.end == End.STUCK


def shared(session: Session, others: Iterable[Session]) -> bool:
    """Tell whether a session was cut off in silence at about the same time as one of another task, or as the provider failed one.

    Of the others the two count that ended nearest in time: one of them may just have handed in what it had before the
    provider fell silent. One that had worked before it was cut off in silence knows no more than the session itself, and
    does not count.
    """
    if not in_silence(session):
        return False
    telling = (other for other in others if empty_handed(other) or not in_silence(other))
    nearest = heapq.nsmallest(2, telling, key=lambda other: abs(other.ended - session.ended))
    return any((empty_handed(other) or _of_provider(other)) and _near(session, other) for other in nearest)


def _cut_off(session: Session) -> bool:
    return bool(session.failure and session.failure.kind == Kind.LIMIT and session.end in CUT_OFF)


def _of_provider(session: Session) -> bool:
    """Tell whether a session failed by what is likely to hit every agent."""
    return bool(session.failure and NATURE[session.failure.kind].fleet)


def _near(one: Session, other: Session) -> bool:
    """Tell whether two sessions ended no further apart than twice what the longer one took."""
    return abs(one.ended - other.ended) <= 2 * max(one.seconds, other.seconds)
