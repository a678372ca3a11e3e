"""Whose silence it was, when agentctl cut a session off that had nothing to show: its own, or the provider's."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from agentctl.core.tasks.ending import End
from agentctl.core.tasks.failure import Kind

if TYPE_CHECKING:
    from agentctl.core.tasks.task import Session


CUT_OFF = frozenset({End.STUCK, End.TIMEOUT})
"""The ends by which agentctl cuts off a session that may wait for its provider; a program that prints too much does not."""


def empty_handed(session: Session) -> bool:
    """Tell whether agentctl cut the session off and it has nothing to show: perhaps the provider did not answer."""
    found = session.failure
    return bool(found and found.kind == Kind.LIMIT and session.end in CUT_OFF and not session.salvage)


def shared(session: Session, others: Iterable[Session]) -> bool:
    """Tell whether a session was cut off empty-handed as was the one of another task that ended nearest in time."""
    if not empty_handed(session):
        return False
    nearest = min(others, key=lambda other: abs(other.ended - session.ended), default=None)
    return bool(nearest and empty_handed(nearest))
