"""Changes in whose company the bot died, since a gate may kill its bot or take the memory of the
machine; and queued changes on which agentctl itself fails.

After two deaths with a change in a running probe it is tested alone, with nothing else running; if
the bot dies of that too, the change is set aside. A probe that ends clears what it asked about.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from agentctl.bot import faults
from agentctl.bot.border import Border
from agentctl.bot.turn import Turn
from agentctl.core import refnames
from agentctl.core.queue.events import CutOff
from agentctl.core.queue.model import Change
from agentctl.core.queue.records import OurFault
from agentctl.errors import Fault
from agentctl.git.repository import Hub

DEATHS = 2
"""With a change in a running probe, upon which it is tested alone."""


class Blame:
    """Counts how often we failed on each queued change."""

    def __init__(self, hub: Hub, border: Border) -> None:
        self._hub, self._border = hub, border
        self._times: Counter[str] = Counter()

    def hear(self, turn: Turn, fault: Fault) -> None:
        """A turn was void for it. The last time the change is set aside, if the machine is well."""
        if self._times[fault.name] + 1 >= faults.TIMES:
            faults.try_machine(self._hub)
        self._times[fault.name] += 1
        if self._border.blames(fault) or self._times[fault.name] < faults.TIMES or fault.name not in turn.state.queue:
            return
        turn.reject(fault.name, OurFault(fault.why), f"agentctl fails on it: {fault.why}")


def forget(turn: Turn, died: bool) -> None:
    """Forget the probes that a bot left when it stopped or died."""
    for name, oid in turn.hub.refs.names([refnames.STAGE]).oids.items():
        turn.refs.delete(name, oid)
    running = turn.state.probes
    if not running:
        return
    turn.happen(CutOff(tuple(staged.probe.number for staged in running), died))
    asked = [key for staged in running for key in staged.probe.asked if key in turn.state.queue]
    times = turn.state.struck.get(asked[0], 0) if died and len(asked) == 1 else 0
    if times > DEATHS:
        why = f"the bot died {times} times while its gate ran, the last time with nothing else running"
        turn.reject(asked[0], OurFault(why), why)


def apart(struck: Mapping[str, int], queued: tuple[Change, ...]) -> tuple[Change, ...]:
    """What the planner is told of: while changes are in doubt, those before the first of them, and
    when these are gone that one alone. Without one all; so too if it comes after another one, for
    then it is not tested alone."""
    first = next((c for c in queued if struck.get(c.key, 0) >= DEATHS), None)
    if first is None or not {c.id for c in queued}.isdisjoint(first.after):
        return queued
    return tuple(c for c in queued if c.seq < first.seq) or (first,)
