"""What is told to whoever watches a bot or a fleet, and changes nothing by itself."""

from __future__ import annotations

from agentctl.core.events import Event, Recorded
from agentctl.core.task import Session


class Notice(Event, frozen=True):
    pass


# Of the bot.


class Behind(Notice, frozen=True, tag="behind"):
    """A checkout does not follow trunk."""

    path: str


class Odd(Notice, frozen=True, tag="odd"):
    """Something that lies where a request or an answer might."""

    ref: str
    how: str


class Red(Notice, frozen=True, tag="red"):
    """Trunk itself is red."""

    how: str


# Of the fleet.


class SessionBegun(Notice, frozen=True, tag="session"):
    task: str
    agent: str


class SessionEnded(Notice, frozen=True, tag="ended"):
    task: str
    session: Session


class Trouble(Notice, frozen=True, tag="trouble"):
    """A session could not be run."""

    task: str
    agent: str
    how: str


class Parked(Notice, frozen=True, tag="parked"):
    task: str
    why: str


class Braked(Notice, frozen=True, tag="braked"):
    """The fleet, or one of its agents, gets no work for a while."""

    how: str
    until: float
    failure: str = ""
    said: str = ""
    tries: int = 0
    agent: str = ""


class Released(Notice, frozen=True, tag="released"):
    how: str
    paused: float
    """Seconds in all."""
    pauses: int


Told = Recorded | Notice
"""What whoever watches hears of."""
