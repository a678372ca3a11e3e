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
        """Look at where trunk is, and bring its checkouts along.

        Raises Refused if a checkout of trunk has changes that a landing could run into, or if somebody else moved trunk
        and the commit where it was is no longer there.
        """
        self.hub, self.name = hub, name
        self.moved = foreign.stop(hub, name, state)
        """The move of trunk by somebody else that waits for a person, or None; until then nothing lands."""
        self._told: foreign.Move | None = None
        if not self.moved:
            landing.complete_checkouts(hub, name, state)
            checkouts.refuse_dirty(hub, name)
        elif self.moved.lost:
            raise self.moved.refusal

    @property
    def base(self) -> str:
        """The tip of trunk or, as long as that tip is not adopted, the one that the bot knows."""
        return self.moved.old if self.moved else self.hub.trunk_tip(self.name)

    def follow(self, turn: Turn, running: Iterable[int] = ()) -> None:
        """Complete or give up a landing that was under way, and notice who else moved trunk.

        `running` are the numbers of the probes that ran meanwhile. Raises Refused if somebody else moved trunk and the
        commit where it was is no longer there.
        """
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
        """Record that trunk holds what was to land, and bring its checkouts along."""
        new = under_way.staged.commit
        behind = checkouts.bring_along(self.hub, self.name, under_way.old, new)
        for key, commit in under_way.staged.landing:
            if queued := turn.state.queue.get(key):
                proof = Proof(under_way.staged.probe.number, under_way.old, new, under_way.passed)
                turn.happen(
                    Landed(
                        change=queued.change,
                        at=turn.now,
                        work=queued.work,
                        approvals=queued.approvals,
                        commit=commit,
                        proof=proof,
                    )
                )
        turn.happen(Arrived(new))
        self._tell_behind(turn, behind)

    def recorded(self, state: State) -> None:
        """Note that the turn is in the ledger."""
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
        """Adopt trunk where somebody else put it: forward, or where a person takes it for right."""
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
        """Return what may help to find out who moved trunk, since that cannot be known."""
        at_work = ", ".join(map(str, running))
        return foreign.trace(self.hub, self.name, tip) + (f", while probe {at_work} ran" if at_work else "")

    def _tell_behind(self, turn: Turn, paths: list[str]) -> None:
        for path in paths:
            turn.notice(Behind(path))
