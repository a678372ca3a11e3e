"""What a station asks a worker to do, and what it is told while that is under way: plain values, sent as they are."""

from __future__ import annotations

from dataclasses import dataclass

from agentctl.core.policy.policy import Policy
from agentctl.core.tasks.claim import Claim
from agentctl.core.tasks.task import Session
from agentctl.errors import Infrastructure
from agentctl.fleet.conclusion import Assignment

GATES, AGENTS = "gates", "agents"
"""The resources of a worker: how many gates, and how many sessions, it runs at a time."""


class Unable(Infrastructure):
    """{message}"""  # noqa: D400, D415

    # A worker raises it for what kept it from an order before anything of that began.


@dataclass(frozen=True, slots=True)
class Address:
    """A hub as a worker reaches it."""

    url: str
    trunk: str
    """The name of the trunk branch."""
    version: str
    """The caller's version of agentctl."""


@dataclass(frozen=True, slots=True)
class GateOrder:
    """The arguments of `gate.judging.judge`, and the objects that the hub does not have."""

    hub: Address
    policy: Policy
    commit: str
    known: frozenset[str]
    base: str | None
    doubted: bool
    landed: str
    """A commit of trunk, which the worker fetches if it lacks it."""
    pack: bytes
    """A thin pack of what `commit` and `base` reach and `landed` does not."""


@dataclass(frozen=True, slots=True)
class SessionOrder:
    """A session, under a claim that the caller made."""

    hub: Address
    policy: Policy
    work: Assignment
    claim: Claim


@dataclass(frozen=True, slots=True)
class SessionAnswer:
    session: Session
    printed: int
    """How many bytes the session printed in all."""
    tail: bytes
    """The last of them."""


@dataclass(frozen=True, slots=True)
class Word:
    """What the caller has to say to an order."""

    heard: int = 0
    """How many bytes of its output the caller has."""
    stop: bool = False
    give_back: bool = False
    """True if it is to be given back, unless it has begun."""


@dataclass(frozen=True, slots=True)
class Said:
    """What a worker says of an order that has begun, or that it gives back."""

    given_back: bool = False
    """True if nothing of it has begun, and nothing will."""
    runs: bool = False
    """True once its processes run."""
    piece: bytes = b""
    """What it has printed since."""
