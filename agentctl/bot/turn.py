"""The work in progress of one turn: the next state, and the ref updates that go with it."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property

from agentctl.bot.telling import Telling
from agentctl.core import refnames
from agentctl.core.notices import Notice, Odd, Told
from agentctl.core.queue.events import Recorded
from agentctl.core.queue.lifecycle import Stage
from agentctl.core.queue.model import Change
from agentctl.core.queue.records import AnyReason, DependencyFell, Record, Rejected
from agentctl.core.queue.state import Draft, State, orphans
from agentctl.core.text.json_form import replace
from agentctl.core.text.printable import printable
from agentctl.errors import Contended
from agentctl.git.repository import Hub
from agentctl.git.transactions import Blocked
from agentctl.hub import marks, outbox, rights
from agentctl.hub.ledger import Ledger

SPOILT = 3
"""So many answers whose refs cannot be written are left out one by one; after one more, all of the turn are."""


class Turn:
    """The effects of one turn; `commit` makes them durable in one ref transaction.

    Git carries out a transaction's creations and updates before its deletions. So a kill in between leaves an inbox ref
    too many, never one too few.
    """

    def __init__(self, hub: Hub, ledger: Ledger, state: State, now: float, telling: Telling) -> None:
        self.hub, self.now, self._telling = hub, now, telling
        self._begin(ledger, state)

    def _begin(self, ledger: Ledger, state: State) -> None:
        self.ledger, self.before, self.draft = ledger, state, Draft(state)
        self.refs = self.hub.refs.transaction("turn")
        self._told: list[Told] = []

    @property
    def state(self) -> State:
        return self.draft.state

    @cached_property
    def agents(self) -> rights.Agents:
        """Who is an agent, as of the first time that this turn asks."""
        return rights.Agents.read(self.hub)

    def members(self, chain: Iterable[str]) -> list[Record]:
        """List the records of a chain: those of changes that are queued, and of changes that have landed.

        A change that left the queue in another way is left out.
        """
        ended = {record.key: record for record in self.draft.ended}
        found = (self.state.queue.get(key) or ended.get(key) or self.ledger.record(key) for key in chain)
        return [record for record in found if record and record.stage in (Stage.QUEUED, Stage.LANDED)]

    def happen(self, event: Recorded) -> None:
        """Apply an event to the state, and tell of it once it is durable."""
        self.draft.happen(event)
        self._told.append(event)

    def notice(self, event: Notice) -> None:
        """Tell of something that does not change the state, once the turn is durable."""
        self._told.append(event)

    def commit(self) -> None:
        """Make the turn durable, or raise Contended if another writer was there first.

        After that error nothing has happened, and this turn is void. What falls with a rejected change goes into the
        same commit: the next turn no longer knows what ended in this one.
        """
        with self.hub.objects.store.together():
            self._commit()

    def _commit(self) -> None:
        self.fall_together()
        self.draft.settle()
        ledger = self.ledger.append(self.draft, self.before, self.refs, self.now)
        self.hub.objects.store.flush()
        with marks.moving(self.hub, refnames.STATE, self.ledger.tip, ledger.tip):
            self._move()
        self._telling.wrote(ledger.tip, ledger.tip != self.ledger.tip, self._told)
        self._begin(ledger, self.state)

    def _move(self) -> None:
        """Move the refs; an answer must not keep the turn from its end.

        An answer whose ref cannot be written is left out, and after a few of them all are. What they say is in the
        ledger too.
        """
        for left in range(SPOILT, -1, -1):
            try:
                return self.refs.commit()
            except (Contended, Blocked) as error:
                ref = str(error.values.get("ref", ""))
                if not ref.startswith(refnames.OUTBOX):
                    raise
                for name in [ref] if left else self.refs.named(refnames.OUTBOX):
                    self.refs.leave_out(name)
                self.notice(Odd(ref, f"the answer {ref} cannot be written: {printable(error.message)}"))
        self.refs.commit()

    def reply(self, change: Change, why: str, answer: outbox.Answer, keep: bool) -> None:
        """Put an answer into the outbox, on top of the change's head if that may be kept."""
        outbox.write(self.hub, change, why, answer, self.refs, self.now, keep)

    def send_back(self, rejected: Rejected, answer: outbox.Answer = outbox.Answer()) -> None:
        """End a submission as rejected, and answer it."""
        self.happen(rejected)
        kind, why = rejected.reason.kind, rejected.why
        said = replace(answer.said, kind=kind, change=rejected.key, why=why, trunk=self.state.trunk)
        self.reply(rejected.change, why, replace(answer, said=said), rejected.kept)

    def reject(self, key: str, reason: AnyReason, why: str, answer: outbox.Answer = outbox.Answer()) -> None:
        """Reject a queued change, or raise KeyError if it is not queued."""
        queued = self.state.queue[key]
        self.send_back(
            Rejected(change=queued.change, at=self.now, work=queued.work, approvals=queued.approvals, said=why, reason=reason),
            answer,
        )

    def fall_together(self) -> None:
        """Reject the changes that were stacked on a change that left the queue without landing."""
        while fallen := orphans(self.state, self.draft.ended):
            for key, below in fallen:
                if key in self.state.queue:
                    self.reject(key, DependencyFell(below.key), f"it builds on {below.key}, which was {below.stage}")
