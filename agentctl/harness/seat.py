"""The seat of the one bot of a hub, which a run takes if it is free.

At a hub of this repository a run has the bot or does not begin. At a hub on a remote, another station may have it: then the
fleet works alone, and takes the seat when the other bot's lease is given back or over.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable

from agentctl.bot.bot import Bot
from agentctl.bot.lock import lock
from agentctl.bot.reach import Declines, Reach
from agentctl.core.notices import Elsewhere, Told
from agentctl.engine.local import LOCAL
from agentctl.engine.locks import Held
from agentctl.engine.upkeep import Upkeep
from agentctl.errors import AgentctlError, Contended
from agentctl.git.remote import Away, Declined
from agentctl.git.repository import Hub
from agentctl.hub import lease
from agentctl.hub.presence import Presence

AGAIN = 5.0
"""Seconds between two looks whether the seat is free."""
FRESH = 1.0
"""Seconds for which a look at the hub is new enough for a fleet."""


class Seat:
    def __init__(self, hub: Hub, make: Callable[[Held], Bot], tell: Callable[[Told], None], wanted: bool = True) -> None:
        """Take the seat if it is `wanted`; raise Contended if another bot of this repository has it."""
        self.hub, self._make, self._tell = hub, make, tell
        self.bot: Bot | None = None
        self.had = False
        """True if the bot was here for a while."""
        self.reach, self._upkeep = Reach(hub, tell, FRESH), Upkeep(hub, LOCAL)
        """Whether the hub can be reached, and the packs of this repository, as long as the bot is elsewhere."""
        self._declines = Declines(tell)
        self.presence = Presence(hub)
        self._ends = contextlib.ExitStack()
        self._next, self._told = 0.0, ""
        if wanted:
            self._take(first=True)
        else:
            self._next = float("inf")

    def take_turn(self) -> None:
        """Let the bot take its turn, if it is ours or can be; else look at the hub."""
        if not self.bot and self.reach.look() and time.monotonic() >= self._next:
            self.attempt("the bot's lease", self._take)
        if self.bot:
            try:
                self.bot.take_turn()
            except lease.Lost:
                self._stop()
        else:
            self._upkeep.turn()
        if self.presence.due:
            self.attempt("this station", self.presence.beat)

    def attempt(self, what: str, act: Callable[[], None]) -> None:
        """Do something that pushes beside the bot's turns; if the hub is away or declines it, that is told, and nothing else."""
        try:
            act()
        except Away as error:
            (self.bot or self).reach.failed(error, landing=False)
        except Declined as error:
            self._declines.hear(what, error)
        else:
            self._declines.hear(what, None)

    @property
    def told(self) -> tuple[str, ...]:
        """What keeps the hub from being reached, or is declined there, a line for each."""
        return (self.bot or self).reach.told, *self._declines.told

    def leave(self) -> None:
        """Stop the bot, and give back the seat."""
        self._stop()
        self._upkeep.close()
        # A ref that cannot be deleted tells nobody anything before long.
        with contextlib.suppress(AgentctlError):
            self.presence.leave()

    def _stop(self) -> None:
        self.bot = None
        self._ends.close()

    def _take(self, first: bool = False) -> None:
        """Take the seat if it is free; raise Away or Declined. Nobody waits: the lease is watched from one try to the next."""
        self._next = time.monotonic() + AGAIN
        if not first and lease.standing(self.hub):
            return
        try:
            held = self._ends.enter_context(lock(self.hub, wait=False))
            self.bot = self._make(held)
        except Contended as error:
            self._ends.close()
            if not self.hub.station:
                raise
            if isinstance(error, lease.Elsewhere) and error.message != self._told:
                self._tell(Elsewhere(f"{error.message}; agents work here meanwhile"))
                self._told = error.message
            return
        except BaseException:
            self._ends.close()
            raise
        self._ends.callback(self.bot.close)
        self.had = True
