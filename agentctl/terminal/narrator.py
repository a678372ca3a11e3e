"""The narrator: it turns what a bot and a fleet tell into lines, JSON, or a live view."""

from __future__ import annotations

import time
from collections.abc import Callable

from agentctl.core import notices
from agentctl.core.notices import Told, told
from agentctl.core.queue import events
from agentctl.core.queue.records import Ended, Landed, Rejected, outline
from agentctl.core.text.json_form import facts
from agentctl.core.text.printable import printable
from agentctl.messages import clock
from agentctl.terminal.parser import Given

COLORS: dict[type, str] = {
    Landed: "green",
    Rejected: "red",
    notices.Parked: "yellow",
    notices.TakenIn: "cyan",
    notices.LeftAlone: "yellow",
    notices.Scaled: "cyan",
    notices.Trouble: "red",
    notices.Behind: "yellow",
    events.Adopted: "yellow",
    events.Moved: "red",
    notices.TrunkRed: "red",
    notices.HubAway: "red",
    notices.HubBack: "green",
    notices.Elsewhere: "cyan",
    notices.NoRoom: "red",
    notices.Upstream: "cyan",
    events.PutBack: "yellow",
    notices.Unapproved: "yellow",
    events.Paused: "yellow",
    events.Resumed: "green",
    notices.SessionEnded: "cyan",
    notices.Conflicting: "yellow",
    notices.Crowded: "yellow",
    notices.Braked: "yellow",
    notices.OverBudget: "yellow",
    notices.Released: "green",
}
SHOWN = (*COLORS, events.Probed, events.Approved, events.NotAdmitted, notices.Odd)
"""The kinds of events that are told without --verbose."""


class Narrator:
    def __init__(self, given: Given) -> None:
        self.given = given
        self.put: Callable[[str, str], None] = lambda line, colour: given.say(line, style=colour or None)
        """Puts a line with a colour, or none, where it is seen."""

    def tell(self, event: Told) -> None:
        if self.given.json:
            shown = {"record": outline(event)} if isinstance(event, Ended) else facts(event)
            self.given.emit({"at": round(time.time(), 3), "kind": _kind(event), "text": told(event), **shown})
            return
        line = self._line(event)
        if not line:
            return
        self.put(f"{clock(time.time())} {line}", COLORS.get(type(event), ""))

    def _line(self, event: Told) -> str:
        known = isinstance(event, events.Probed) and event.known
        if (known or not isinstance(event, SHOWN)) and not self.given.verbose:
            return ""
        if isinstance(event, events.Probed):
            probe = event.probe
            how = "known" if event.known else f"{event.seconds:.1f} s"
            what = f"of {len(probe.chain)}" if probe.chain else "of trunk itself"
            return f"probe {what} {event.verdict} ({how}): {probe.reason}"
        return printable(told(event), 400)


def _kind(event: Told) -> str:
    return "known" if isinstance(event, events.Probed) and event.known else str(event.__struct_config__.tag)
