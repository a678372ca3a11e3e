"""One tick's work in progress: the next state, and the ref updates that go with it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from agentctl.core import refnames
from agentctl.core.ledger import Draft, Record, State, orphans
from agentctl.core.lifecycle import Event, Stage
from agentctl.core.mending import remembered
from agentctl.core.printable import printable
from agentctl.errors import Contended
from agentctl.git.hub import Hub
from agentctl.git.refs import Blocked, Transaction
from agentctl.queue import answers, marks
from agentctl.queue.ledger import Ledger


SPOILT = 3
"""Answers whose refs cannot be written, before the others of that turn are left unwritten too."""


@dataclass(frozen=True, slots=True)
class News:
    """Something that happened, for whoever watches."""

    kind: str
    text: str
    facts: dict


class Turn:
    """Collects effects; `commit` makes them durable in one ref transaction.

    Git carries out a transaction's creations and updates before its deletions, so a
    kill in between leaves an inbox ref too many, never one too few.
    """

    def __init__(self, hub: Hub, ledger: Ledger, state: State, now: float, tell: Callable[[News], None]) -> None:
        self.hub, self.now, self._tell = hub, now, tell
        self._begin(ledger, state)

    def _begin(self, ledger: Ledger, state: State) -> None:
        self.ledger, self.before, self.draft = ledger, state, Draft(state)
        self.refs = Transaction(self.hub.git_dir, "tick")
        self._news: list[News] = []

    @property
    def state(self) -> State:
        return self.draft.state

    def members(self, chain: Iterable[str]) -> list[Record]:
        """The records of a chain: of those that are queued, and of those that landed already.
        Who left the queue otherwise is left out."""
        ended = {record.key: record for record in self.draft.ended}
        found = (self.state.queue.get(key) or ended.get(key) or self.ledger.record(key) for key in chain)
        return [record for record in found if record and record.stage in (Stage.QUEUED, Stage.LANDED)]

    def tell(self, kind: str, text: str = "", **facts: object) -> None:
        """Announce something once it is durable."""
        self._news.append(News(kind, text, facts))

    def commit(self) -> None:
        """Raises Contended if another writer was there first: then nothing has happened,
        and this turn is void.

        What falls with a rejected change goes in the same commit: the next one no longer
        knows what ended in this."""
        with self.hub.objects.store.together():
            self._commit()

    def _commit(self) -> None:
        self.fall_together()
        if self.state.failed:
            self.draft.set(failed=remembered(self.state.failed, self.state.trunk, self.state.queue))
        ledger = self.ledger.append(self.draft, self.before, self.refs, self.now)
        self.hub.objects.store.flush()
        with marks.moving(self.hub, refnames.STATE, self.ledger.tip, ledger.tip):
            self._move()
        news = self._news
        self._begin(ledger, self.state)
        for item in news:
            self._tell(item)

    def _move(self) -> None:
        """Nobody's answer may keep the turn from its end: one whose ref cannot be written is left out,
        and after a few of them all are. What they say is in the ledger too."""
        for left in range(SPOILT, -1, -1):
            try:
                return self.refs.commit()
            except (Contended, Blocked) as error:
                ref = str(error.values.get("ref", ""))
                if not ref.startswith(refnames.OUTBOX):
                    raise
                for name in [ref] if left else self.refs.named(refnames.OUTBOX):
                    self.refs.leave_out(name)
                self.tell("odd", f"the answer {ref} cannot be written: {printable(error.message)}", ref=ref)
        self.refs.commit()

    def reply(self, record: Record, answer: answers.Answer, keep: bool) -> None:
        """Put an answer into the outbox."""
        answers.write(self.hub, record, answer, self.refs, self.now, keep)

    def answer(self, record: Record, answer: answers.Answer, keep: bool = True) -> None:
        """Send back a record that has just ended in a rejection."""
        facts = {"kind": record.kind, "change": record.key, "why": record.why, "trunk": self.state.trunk}
        self.reply(record, answers.Answer(facts | answer.verdict, answer.log, answer.conflict), keep)
        self.tell("rejected", f"{record.key}: {record.why}", record=record)

    def reject(self, key: str, kind: str, why: str, answer: answers.Answer = answers.Answer({}),
               evidence: dict | None = None) -> None:
        self.answer(self.draft.end(key, Event.REJECT, self.now, kind=kind, why=why, evidence=evidence or {}), answer)

    def fall_together(self) -> None:
        """Reject what was stacked on something that left the queue without landing."""
        while fallen := orphans(self.state, self.draft.ended):
            for key, below in fallen:
                if key in self.state.queue:
                    self.reject(key, "dependency", f"it builds on {below.key}, which was {below.stage}")
