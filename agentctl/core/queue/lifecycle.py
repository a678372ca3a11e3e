"""What may become of a submission, as a table; a missing entry is an error.

A submission is one revision of one change. It is `waiting` while its inbox ref stands and the ledger does not know it.
It is `queued` from its admission on, and it ends in exactly one way. An ended submission never comes back: the same
work submitted again is a new revision.

If an older revision of its change is still queued, a revision supersedes that one. If a newer one is queued already,
the revision itself is superseded.
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


ENDED = frozenset({Stage.LANDED, Stage.REJECTED, Stage.WITHDRAWN, Stage.SUPERSEDED})

NEXT: dict[Stage, frozenset[Stage]] = {
    Stage.WAITING: frozenset({Stage.QUEUED, Stage.REJECTED, Stage.SUPERSEDED}),
    Stage.QUEUED: ENDED,
}


def step(before: Stage, after: Stage) -> None:
    """Raise KeyError for a transition that must never happen."""
    if after not in NEXT[before]:
        raise KeyError(f"{before} to {after}")
