"""What may become of a submission, as a table; a missing key is the error.

A submission is one revision of one change. It is `waiting` while its inbox ref
stands and the ledger does not know it, `queued` from its admission on, and it
ends in exactly one way. An ended one never comes back: the same work submitted
again is a new revision.

A revision that finds an older one of its change still queued supersedes it; one
that finds a newer one already admitted is superseded itself.
"""

from __future__ import annotations

from enum import StrEnum


class Stage(StrEnum):
    WAITING = "waiting"
    QUEUED = "queued"
    LANDED = "landed"
    REJECTED = "rejected"
    WITHDRAWN = "withdrawn"
    SUPERSEDED = "superseded"


class Event(StrEnum):
    ADMIT = "admit"
    LAND = "land"
    REJECT = "reject"
    WITHDRAW = "withdraw"
    SUPERSEDE = "supersede"


ENDED = frozenset({Stage.LANDED, Stage.REJECTED, Stage.WITHDRAWN, Stage.SUPERSEDED})

SUBMISSION: dict[tuple[Stage, Event], Stage] = {
    (Stage.WAITING, Event.ADMIT): Stage.QUEUED,
    (Stage.WAITING, Event.REJECT): Stage.REJECTED,
    (Stage.WAITING, Event.SUPERSEDE): Stage.SUPERSEDED,
    (Stage.QUEUED, Event.LAND): Stage.LANDED,
    (Stage.QUEUED, Event.REJECT): Stage.REJECTED,
    (Stage.QUEUED, Event.WITHDRAW): Stage.WITHDRAWN,
    (Stage.QUEUED, Event.SUPERSEDE): Stage.SUPERSEDED,
}


def step(stage: Stage, event: Event) -> Stage:
    """Raises KeyError for a transition that must never happen."""
    return SUBMISSION[stage, event]
