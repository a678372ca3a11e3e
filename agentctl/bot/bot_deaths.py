"""Changes that may have killed the bot, and queued changes on which agentctl itself fails.

A gate may kill its bot, or use up the memory of the machine. After the bot has died twice while a probe asked about a
change, the change is tested alone, with nothing else running. If the bot dies of that too, the change is set aside. A
probe that ends with a verdict clears the changes that it asked about.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from agentctl.bot import set_aside
from agentctl.bot.border import Border
from agentctl.bot.turn import Turn
from agentctl.core import refnames
from agentctl.core.queue.events import CutOff
from agentctl.core.queue.model import Change
from agentctl.core.queue.records import OurFault
from agentctl.errors import Fault
from agentctl.git.repository import Hub

DEATHS = 2
"""Deaths of the bot while probes asked about a change, after which the change is tested alone."""


class Blame:
    """A count of how often agentctl failed on each queued change."""

    def __init__(self, hub: Hub, border: Border) -> None:
        self._hub, self._border = hub, border
        self._times: Counter[str] = Counter()

    def hear(self, turn: Turn, fault: Fault) -> None:
        """Count a fault that made a turn void; the last time, set its change aside.

        Before the last fault is counted, the machine is tried, and its error is raised if it is not well. A fault on a
        request that came in with the void turn is left to the border.
        """
        if self._times[fault.name] + 1 >= set_aside.TIMES:
            set_aside.try_machine(self._hub)
        self._times[fault.name] += 1
        if self._border.blames(fault) or self._times[fault.name] < set_aside.TIMES or fault.name not in turn.state.queue:
            return
        turn.reject(fault.name, OurFault(fault.why), f"agentctl fails on it: {fault.why}")


def forget(turn: Turn, died: bool) -> None:
    """Forget the probes that a bot left when it stopped or died.

    A change that was tested alone when the bot died once too often is rejected.
    """
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
    """Return the queued changes that the planner is told of.

    While changes are in doubt, these are the changes before the first one in doubt and, when those are gone, that one
    alone. The planner is told of all changes if none is in doubt, or if the one in doubt comes after another queued
    change: then it is not tested alone.
    """
    first = next((c for c in queued if struck.get(c.key, 0) >= DEATHS), None)
    if first is None or not {c.id for c in queued}.isdisjoint(first.after):
        return queued
    return tuple(c for c in queued if c.seq < first.seq) or (first,)
