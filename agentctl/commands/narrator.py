"""Turns the news of bot and fleet into lines, JSON, or a live view, and counts them."""

from __future__ import annotations

import time
from dataclasses import asdict, is_dataclass

from agentctl.commands.parser import Given
from agentctl.core.ledger import Record
from agentctl.core.lifecycle import Stage
from agentctl.core.printable import printable
from agentctl.core.task import Session
from agentctl.messages import clock
from agentctl.queue import answers
from agentctl.queue.turn import News

COLORS = {"landed": "green", "rejected": "red", "parked": "yellow", "trouble": "red", "behind": "yellow",
          "adopted": "yellow", "moved": "red", "red": "red", "restored": "yellow", "paused": "yellow", "resumed": "green",
          "ended": "cyan", "braked": "yellow", "released": "green"}
OWN_WORDS = {"session", "ended", "adopted", "moved", "red", "restored", "behind", "trouble", "paused", "resumed", "braked",
             "released"}
"""News whose text says by itself what it is about."""
QUIET_KINDS = {"started", "session", "known"}
"""Told only with --verbose."""


class Narrator:
    def __init__(self, given: Given) -> None:
        self.given = given
        self.ended: list[Record] = []
        self.sessions: list[Session] = []
        self.parked: list[str] = []
        self.logs: dict[str, str] = {}
        self.probes = self.known = 0
        self.recent: list[tuple[str, str]] = []
        """(kind, line), the last of them, for the live view."""
        self.live = False

    def count(self, stage: Stage, kind: str | None = None) -> int:
        return sum(r.stage == stage and kind in (None, r.kind) for r in self.ended)

    def tell(self, news: News) -> None:
        self._count(news)
        if self.given.json:
            self.given.emit({"at": round(time.time(), 3), "kind": news.kind, "text": news.text,
                             **{k: _plain(v) for k, v in news.facts.items()}})
            return
        line = self._line(news)
        if not line:
            return
        self.recent = [*self.recent[-30:], (news.kind, line)]
        if not self.live:
            self.given.say(f"{clock(time.time())} {line}", style=COLORS.get(news.kind))

    def _count(self, news: News) -> None:
        facts = news.facts
        if news.kind in ("landed", "rejected"):
            self.ended.append(facts["record"])
        if news.kind == "rejected":
            answer = answers.read(self.given.hub, facts["record"])
            self.logs[facts["record"].key] = (answer.log or answer.conflict) if answer else ""
        self.probes += news.kind == "probed"
        self.known += news.kind == "known"
        if news.kind == "ended":
            self.sessions.append(facts["session"])
        if news.kind == "parked":
            self.parked.append(facts["task"])

    def _line(self, news: News) -> str:
        if news.kind in QUIET_KINDS and not self.given.verbose:
            return ""
        if news.kind in ("probed", "known"):
            probe, judgement = news.facts["probe"], news.facts["judgement"]
            how = "known" if news.kind == "known" else f"{judgement.seconds:.1f} s"
            what = f"of {len(probe.chain)}" if probe.chain else "of trunk itself"
            return f"probe {what} {judgement.verdict} ({how}): {probe.reason}"
        if news.kind == "started":
            return f"probe {news.facts['probe'].number}: {news.text}"
        label = "" if news.kind in OWN_WORDS else news.kind + " "
        return label + printable(news.text, 400)


def _plain(value: object) -> object:
    return asdict(value) if is_dataclass(value) and not isinstance(value, type) else value
