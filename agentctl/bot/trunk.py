"""Trunk as the bot of a hub follows it: what lands on it, and what others do to it."""

from __future__ import annotations

from collections.abc import Iterable

from agentctl.bot import landing
from agentctl.bot.turn import Turn
from agentctl.core import refnames
from agentctl.core.notices import Behind
from agentctl.core.queue.events import Adopted, Arrived, Begun, Landing, LandingDropped, Moved
from agentctl.core.queue.records import Landed, Proof
from agentctl.core.queue.state import State
from agentctl.git import checkouts
from agentctl.git.repository import Hub
from agentctl.hub import foreign, marks


class Trunk:
    def __init__(self, hub: Hub, name: str, state: State) -> None:
        """Raises Refused if a checkout of trunk has changes that a landing could run into, or if
        somebody else moved trunk and where it was is no longer there."""
        self.hub, self.name = hub, name
        self.moved = foreign.stop(hub, name, state)
        """What somebody else made of trunk that waits for a person: until then nothing lands."""
        self._told: foreign.Move | None = None
        if not self.moved:
            landing.complete_checkouts(hub, name, state)
            checkouts.refuse_dirty(hub, name)
        elif self.moved.lost:
            raise self.moved.refusal

    @property
    def base(self) -> str:
        """The tip, or, as long as that is not adopted, the one that the bot knows."""
        return self.moved.old if self.moved else self.hub.trunk_tip(self.name)

    def follow(self, turn: Turn, running: Iterable[int] = ()) -> None:
        """Complete, or give up, a landing that was under way; notice who else moved trunk while
        the probes `running` were. Raises Refused as the constructor does."""
        tip, under_way = self.hub.refs.get(refnames.branch(self.name)), turn.state.landing
        proven = under_way is not None and landing.proven(self.hub, under_way)
        if under_way and proven and tip == under_way.old:
            landing.move(self.hub, self.name, under_way)
            tip = under_way.staged.commit
        if under_way and tip and self.hub.holds(tip, under_way.staged.commit):
            self.landed(turn, under_way)
        elif under_way:
            turn.happen(
                LandingDropped(
                    "trunk was moved by somebody else" if proven else "what was tested is not here, or no verdict proves it"
                )
            )
        self.moved = foreign.stop(self.hub, self.name, turn.state)
        if self.moved:
            self._stop(turn, self.moved, running)
        elif tip != turn.state.trunk:
            self._adopt(turn, self.hub.trunk_tip(self.name), running)

    def landed(self, turn: Turn, under_way: Landing) -> None:
        """Trunk holds what was to land."""
        new = under_way.staged.commit
        behind = checkouts.bring_along(self.hub, self.name, under_way.old, new)
        for key, commit in under_way.staged.landing:
            if queued := turn.state.queue.get(key):
                proof = Proof(under_way.staged.probe.number, under_way.old, new, under_way.passed)
                turn.happen(Landed(change=queued.change, at=turn.now, work=queued.work, commit=commit, proof=proof))
        turn.happen(Arrived(new))
        self._tell_behind(turn, behind)

    def recorded(self, state: State) -> None:
        """The turn is in the ledger."""
        self._told = self.moved
        if not self.moved:
            marks.follow_trunk(self.hub, self.name, state.trunk)

    def _stop(self, turn: Turn, move: foreign.Move, running: Iterable[int]) -> None:
        if move.lost:
            raise move.refusal
        if move != self._told:
            kept = marks.keep(self.hub, move.old, turn.refs)
            how = move.text + self._suspects(move.new, running)
            turn.happen(Moved(move.old, move.new, how, kept, move.ways))

    def _adopt(self, turn: Turn, tip: str, running: Iterable[int]) -> None:
        """Trunk is where somebody else put it: forward, or where a person takes it for right."""
        old, who = turn.state.trunk, self._suspects(tip, running)
        if not old:
            turn.happen(Begun(tip))
            return
        if self.hub.holds(tip, old):
            turn.happen(Adopted(old, tip, who + foreign.grave(self.hub, tip, old)))
        else:
            kept = marks.keep(self.hub, old, turn.refs) if self.hub.objects.exists(old) else ""
            turn.happen(Adopted(old, tip, who, kept))
        self._tell_behind(turn, checkouts.bring_along(self.hub, self.name, old, tip))

    def _suspects(self, tip: str, running: Iterable[int]) -> str:
        """Who cannot be known; what may help to find out."""
        at_work = ", ".join(map(str, running))
        return foreign.trace(self.hub, self.name, tip) + (f", while probe {at_work} ran" if at_work else "")

    def _tell_behind(self, turn: Turn, paths: list[str]) -> None:
        for path in paths:
            turn.notice(Behind(path))
