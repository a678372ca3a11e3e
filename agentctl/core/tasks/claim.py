"""Who works on a task: the content of refs/agentctl/claims/<task>."""

from __future__ import annotations

from agentctl.core.refnames import valid_name
from agentctl.core.text.json_form import Plain, Struct, dump, load


class Claim(Struct, frozen=True):
    agent: str
    generation: int
    expires: float
    owner: Plain = {}
    """The identity of the supervisor's process."""
    station: str = ""
    """The station that it works at; empty if the hub is the repository itself."""


CLAIM_SLACK = 3600.0
"""Seconds that a claim lasts beyond its session's time limit.

Only a claim of another machine or container has to end by expiry; a dead process of this one is seen at once, and a
station that vanished is after a while.
"""
SKEW = 600.0
"""Seconds by which the clock of the machine that wrote a session down may be ahead."""
LATER = 86400.0
"""Seconds by which a claim may last longer than that of the longest session that begins now.

The clock of the machine that made it may be ahead, and the time limit may have been longer then: a session that works
must not lose its claim for that. A claim that no session made holds its task up for so long at most.
"""


def unfounded(claim: Claim, newest: int | None, longest: float, now: float) -> str:
    """Return why no session of the task can have made the claim; empty if one can.

    Whoever can push can write a claim. One that no session can have made is not heeded. `newest` is the generation that
    the task's next session would have; None if there is no such task. `longest` is the time limit of a session in seconds. The
    task has to be read after the claim, so that it is not older.
    """
    if newest is None:
        return "there is no such task"
    if not 1 <= claim.generation <= newest:
        return f"it is of generation {claim.generation}, and the next session of the task is of generation {newest}"
    if not claim.expires <= now + longest + CLAIM_SLACK + LATER:
        return "it expires later than the longest session ends"
    return ""


def encode(claim: Claim) -> str:
    return dump(claim).decode().rstrip()


def decode(text: str) -> Claim:
    """Return the claim from JSON. Raise ValueError if the text is not a claim."""
    claim = load(Claim, text.encode())
    if not valid_name(claim.agent):
        raise ValueError("agent is not a valid name")
    return claim
