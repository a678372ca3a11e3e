"""Whether the remote that a hub stands on can be reached, and whether it takes what the bot pushes.

As long as it cannot be reached, the bot's turns wait and the gates run on. If it declines a push that moves trunk, nothing
lands for a while, and all else goes on; then landing is tried again.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from agentctl.core.notices import HubAway, HubBack, Told
from agentctl.errors import AgentctlError, Contended
from agentctl.git.remote import Away, Declined
from agentctl.git.repository import Hub

MORE = "nothing is lost, and it is tried again"

FIRST_PAUSE, LONGEST_PAUSE = 1.0, 60.0
"""The seconds until the next try, doubled each time."""
PASSING = 15.0
"""Seconds after which trouble is not passing any more."""
FRESH = 0.25
"""Seconds for which a look is new enough for another turn of the bot."""
SHARE = 0.25
"""The most of the time that looks take: while one looks, nothing of this station is pushed."""


class Reach:
    def __init__(self, hub: Hub, tell: Callable[[Told], None], fresh: float = FRESH) -> None:
        """Look again if the last look is `fresh` seconds old."""
        self.hub, self._tell, self._fresh = hub, tell, fresh
        self._pause, self._until = FIRST_PAUSE, 0.0
        self._no_landing_until = 0.0
        self._contended = 0.0
        """Since when every turn was contended; 0 if the last one was not."""
        self._error: AgentctlError | None = None
        """What was told; None while all is well."""
        self._since, self._away_at = 0.0, 0.0

    @property
    def told(self) -> str:
        """Why nothing is pushed, or does not land; empty while all is well."""
        return self._error.message if self._error else ""

    @property
    def lasting(self) -> AgentctlError | None:
        """The same as an error once it has lasted for longer than a passing trouble; whoever does not want to wait raises it."""
        return self._error if time.monotonic() > self._since + PASSING else None

    @property
    def closed(self) -> bool:
        """True if trunk is not to be moved for now."""
        return time.monotonic() < self._no_landing_until

    def look(self) -> bool:
        """Look at the remote, and tell whether a turn may begin."""
        if time.monotonic() < self._until and not self._seen_since():
            return False
        try:
            took = self.hub.station.took if self.hub.station else 0.0
            # What came of a push that nobody answered, only a look after it can tell.
            self.hub.refs.refresh(0.0 if isinstance(self._error, Away) else max(self._fresh, took / SHARE))
        except Away as error:
            self.failed(error, False)
            return False
        if type(self._error) is Away and self._seen_since():
            self._back()
        return True

    def _seen_since(self) -> bool:
        """Tell whether somebody of this station has reached the remote since it was away: nobody need wait then."""
        station = self.hub.station
        return station is not None and isinstance(self._error, Away) and station.seen > self._away_at

    def failed(self, error: AgentctlError, landing: bool) -> None:
        """Hear why a turn is void: the remote is away, or has declined a push (a `landing`: of trunk too), or another reason."""
        if isinstance(error, Contended) and self.hub.station:
            # Somebody else was first; but who is so all the time is nobody: the remote cannot move the ref.
            self._contended = self._contended or time.monotonic()
            if time.monotonic() < self._contended + PASSING:
                return
        elif not isinstance(error, (Away, Declined)):
            return
        now, trunk = time.monotonic(), landing and isinstance(error, Declined)
        # What else is tried during a pause does not make it longer.
        if trunk or now >= self._until:
            again, self._pause = now + self._pause, min(2 * self._pause, LONGEST_PAUSE)
            if trunk:
                self._no_landing_until = again
            else:
                self._until = again
        self._since, self._away_at = self._since if self._error else time.monotonic(), time.time()
        if not self._error or not _same(error, self._error):
            self._tell(HubAway(f"{error.message}; {MORE}"))
            self._error = error

    def well(self, landed: bool) -> None:
        """Hear that the remote has taken what a turn has pushed."""
        self._contended, self._until = 0.0, 0.0
        if landed:
            self._no_landing_until = 0.0
        if self._error and not self._no_landing_until:
            self._back()

    def _back(self) -> None:
        self._tell(HubBack())
        self._error, self._pause = None, FIRST_PAUSE


def _same(one: AgentctlError, other: AgentctlError) -> bool:
    """Tell whether two errors are one trouble: what the remote declines for one reason, it names by whatever ref is first."""
    if isinstance(one, Declined) and isinstance(other, Declined):
        return one.values.get("said") == other.values.get("said")
    return one.message == other.message


class Declines:
    """What the remote declines of what is pushed beside the bot's turns. That keeps nobody from looking, and is told once."""

    def __init__(self, tell: Callable[[Told], None]) -> None:
        self._tell = tell
        self._said: dict[str, str] = {}

    @property
    def told(self) -> tuple[str, ...]:
        """What is declined now, a line for each."""
        return tuple(self._said.values())

    def hear(self, what: str, error: Declined | None) -> None:
        """Hear what came of a push of some kind: it was declined, or it was not."""
        before, said = self._said.pop(what, ""), error.message if error else ""
        if said:
            self._said[what] = said
        if said != before:
            self._tell(HubAway(f"{said}; {MORE}") if said else HubBack())
