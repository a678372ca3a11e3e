"""What each troublemaker of the demonstration did, and how it was caught, told from ledger and tasks."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import dataclass

from agentctl.core.queue.records import Landed, Record, Rejected, reason_kind
from agentctl.core.tasks.ending import End
from agentctl.core.tasks.task import Session, Task
from agentctl.core.text.plural import many
from agentctl.engine import owner
from agentctl.git.repository import Hub
from agentctl.hub import outbox, tasks
from agentctl.hub.ledger import Ledger

FLAKY = "test_two_names_differ"


@dataclass(frozen=True)
class Facts:
    """One task, and the records of its change that have ended, oldest first."""

    hub: Hub
    task: Task
    records: tuple[Record, ...]

    def rejected(self, kind: str) -> Rejected | None:
        return next((r for r in self.records if isinstance(r, Rejected) and r.reason.kind == kind), None)

    def ended(self, end: End) -> Session | None:
        return next((s for s in self.task.sessions if s.end == end), None)

    @property
    def broke(self) -> list[str]:
        """The tests that failed at the first gate rejection that was not due to the flaky test alone."""
        found = (failing(self.hub, r) for r in self.records if reason_kind(r) == "gate")
        return next((tests for tests in found if tests), [])

    @property
    def landed(self) -> Landed | None:
        return next((r for r in self.records if isinstance(r, Landed)), None)


@dataclass(frozen=True)
class Story:
    task: str
    did: str
    caught: str
    """How it was caught; empty if that did not happen in this run."""

    @property
    def line(self) -> str:
        return row(self.task, self.did, self.caught or "did not come to it this time")


def row(task: str, did: str, caught: str) -> str:
    """Return a row of the report, cut to what 80 columns allow."""
    return f"  {task:<14}{did:<26}{caught}"[:79]


def all_stories(hub: Hub) -> list[Story]:
    known, ended = tasks.listed(hub), Ledger.read(hub).ended()
    told = []
    for name, did, tell in STORIES:
        mine = sorted((r for r in ended if r.change.id == name), key=lambda r: r.change.revision)
        told.append(Story(name, did, tell(Facts(hub, known[name], tuple(mine)))))
    return told


def failing(hub: Hub, record: Record) -> list[str]:
    """Return the tests that failed when a change was rejected, without the flaky one."""
    answer = outbox.read(hub, record)
    log = answer.log if answer else ""
    return sorted(set(re.findall(r"^(?:FAIL|ERROR): (\w+)", log, re.MULTILINE)) - {FLAKY})


def sent_back_by_chance(hub: Hub) -> list[str]:
    """Return the submissions that the gate rejected although only the flaky test failed."""
    return [r.key for r in Ledger.read(hub).ended() if reason_kind(r) == "gate" and not failing(hub, r)]


def _bug(facts: Facts) -> str:
    tests = facts.broke
    return f"{', '.join(tests)[:20]} failed, so repaired" if tests else ""


def _pair(facts: Facts) -> str:
    """Tell what became of one of two tasks that break each other: the one that comes second fails."""
    tests = facts.broke
    if tests:
        return f"came second: {', '.join(tests)[:16]} failed"
    return "came first and landed" if facts.landed else ""


def _conflict(facts: Facts) -> str:
    record = facts.rejected("conflict")
    if not record:
        return "came first and landed" if facts.landed else ""
    other = record.why.rpartition(" with ")[2].split(",")[0]
    return f"conflict with {other}; redone"


def _hang(facts: Facts) -> str:
    session = facts.ended(End.TIMEOUT)
    return f"ended after {session.seconds:.0f} s, its file salvaged" if session and session.salvage else ""


def _crash(facts: Facts) -> str:
    session = facts.ended(End.CRASHED)
    if not session or not session.salvage:
        return ""
    return f"{session.note.split(';')[0]}; work salvaged"


def _lie(facts: Facts) -> str:
    session = facts.ended(End.EMPTY)
    return "nothing new was found: to do again" if session else ""


def _left_behind(facts: Facts) -> str:
    """Tell which process was left behind and killed; the agent's own output has its number."""
    for session in facts.task.sessions:
        log = facts.hub.own_path("sessions", facts.task.id, str(session.generation), "output.log")
        said = re.search(r"left process (\d+) behind", _read(log))
        if said and "left behind" in session.note and _gone(int(said[1])):
            return f"process {said[1]} killed at its end"
    return ""


def _gone(pid: int) -> bool:
    try:
        return not owner.alive(owner.identity(pid))
    except ProcessLookupError:
        return True


def _forgery(facts: Facts) -> str:
    if not facts.landed:
        return ""

    def signed(commit: str) -> str:
        return facts.hub.git("log", "-1", "--format=%(trailers:key=Agentctl-Change,valueonly,separator=%x2c)", commit)

    forged, landed = signed(facts.landed.change.head), signed(facts.landed.commit)
    return f"stripped: landed as {landed}" if forged and landed == facts.landed.key else ""


def _policy(facts: Facts) -> str:
    record = facts.rejected("policy")
    return f"refused: {os.path.basename(record.why.split(':')[0])} is protected" if record else ""


def _deferred(facts: Facts) -> str:
    count = sum(s.end == End.DEFERRED for s in facts.task.sessions)
    return f"exit status 75: put off {many(count, 'time')}" if count else ""


def _after(facts: Facts) -> str:
    before = Ledger.read(facts.hub).newest(facts.task.after[0])
    begun = min((s.ended - s.seconds for s in facts.task.sessions), default=0.0)
    landed = before.at if isinstance(before, Landed) else 0.0
    return f"begun {begun - landed:.1f} s after that landed" if landed and begun >= landed else ""


STORIES: tuple[tuple[str, str, Callable[[Facts], str]], ...] = (
    ("roman", "wrote a bug", _bug),
    ("luhn", "wrote a bug", _bug),
    ("leap", "wrote a bug", _bug),
    ("rename-show", "renamed a function,", _pair),
    ("receipt", "which this one calls", _pair),
    ("title-case", "edited a line", _conflict),
    ("initials", "edited the same line", _conflict),
    ("reverse-words", "edited the same line", _conflict),
    ("wrap", "hung, half a file written", _hang),
    ("median", "killed itself half-way", _crash),
    ("plural", "said done, did nothing", _lie),
    ("duration", "left a process behind", _left_behind),
    ("checksum", "forged the bot's trailer", _forgery),
    ("percent", "disarmed the gate", _policy),
    ("chapters", "needs roman, begun early", _deferred),
    ("outline", "comes after chapters", _after),
)


def _read(path: str) -> str:
    if not os.path.exists(path):
        return ""
    with open(path, errors="replace") as file:
        return file.read()
