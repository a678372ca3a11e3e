"""What the agents noted of themselves, beside what agentctl recorded, and what each session amounts to."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from agentctl.core.queue.records import AnyEnded, reason_kind
from agentctl.core.tasks.ending import End
from agentctl.core.tasks.task import Session, Task
from agentctl.engine import processes
from agentctl.git.repository import Hub
from agentctl.hub import tasks
from agentctl.hub.ledger import Ledger
from bench.common import git
from bench.fleet.faults import BEHAVIOURS, FAULTS

SLACK = 10.0
"""Seconds within which a session may be noted to have begun or ended before or after it did."""


@dataclass(slots=True)
class Noted:
    """A session as its agent saw it."""

    task: str
    generation: int
    agent: str
    behaviour: str
    begun: float
    commits: list[str] = field(default_factory=list)
    files: dict[str, list[str]] = field(default_factory=dict)
    """What each path holds: the blob that was written last, and the one that was being written, if there is one."""
    daemons: list[tuple[int, str]] = field(default_factory=list)
    """(pid, when it started) of processes that it left behind."""
    recorded: Session | None = None

    @property
    def ended(self) -> float:
        return self.recorded.ended if self.recorded else self.begun


def journal(place: Path) -> list[Noted]:
    found = []
    for file in (place / "journal").iterdir():
        lines = [json.loads(line) for line in file.read_text().splitlines()]
        if not lines:
            continue
        first = lines[0]
        one = Noted(first["task"], first["generation"], first["agent"], first["behaviour"], first["at"])
        for line in lines[1:]:
            # Whatever it was about to do, a provider that refuses comes first.
            one.behaviour = line.get("behaviour", one.behaviour)
            if "commit" in line:
                one.commits.append(line["commit"])
            if "file" in line:
                one.files.setdefault(line["file"], []).append(line["blob"])
            if "wrote" in line:
                one.files[line["wrote"]] = [line["blob"]]
            if "daemon" in line:
                one.daemons.append((line["daemon"], line["started"]))
        found.append(one)
    return sorted(found, key=lambda one: one.begun)


def _within(one: Noted, kills: list[float]) -> bool:
    """Tell whether a session was under way when the supervisor was killed, or had to end with the whole fleet at last.

    Where many sessions begin and are stopped at once, one may be seen to begin long after it was told to stop.
    """
    at_last = bool(kills) and one.ended >= kills[-1] - SLACK
    return at_last or any(one.begun - SLACK <= at <= one.ended + SLACK for at in kills)


@dataclass(slots=True)
class Evidence:
    """All that is known at the end; `kills` are the times at which the supervisor was killed or asked to stop."""

    hub: Hub
    noted: list[Noted]
    kills: list[float]
    all_tasks: dict[str, Task]
    ended: list[AnyEnded]

    @classmethod
    def gather(cls, hub: Hub, place: Path, kills: list[float]) -> Evidence:
        noted, known = journal(place), tasks.survey(hub, also=None).tasks
        by_key = {(task.id, s.generation): s for task in known.values() for s in task.sessions}
        for one in noted:
            one.recorded = by_key.get((one.task, one.generation))
            if one.recorded and one.recorded.end == End.INTERRUPTED and _within(one, kills):
                one.behaviour = "supervisor killed"
        return cls(hub, noted, kills, known, list(Ledger.read(hub).ended()))

    # what became of the faults

    def rows(self) -> Iterator[tuple[str, int, int, str, str]]:
        """Yield (behaviour, sessions, rightly recognised, mean and longest time to recover in seconds)."""
        for name, behaviour in BEHAVIOURS.items():
            mine = [one for one in self.noted if one.behaviour == name]
            right = sum(bool(one.recorded and self.right(one)) for one in mine)
            waits = [wait for one in mine if (wait := self.recovery(one)) is not None] if name in FAULTS else []
            mean, longest = (f"{sum(waits) / len(waits):.1f}", f"{max(waits):.1f}") if waits else ("", "")
            yield name, len(mine), right, mean, longest

    def right(self, one: Noted) -> bool:
        behaviour, session = BEHAVIOURS[one.behaviour], one.recorded
        if not session or not behaviour.recognised(session):
            return False
        record = self.record(one)
        return not behaviour.rejected or record is None or reason_kind(record) == behaviour.rejected

    def record(self, one: Noted) -> AnyEnded | None:
        """Return the ledger's record of what a session handed in; None if there is none, or it has not ended."""
        revision = one.recorded.revision if one.recorded else 0
        return next((r for r in self.ended if r.key == f"{one.task}/{revision}"), None) if revision else None

    def recovery(self, fault: Noted) -> float | None:
        """Return the seconds from the end of a session until its agent, or another on its task, began productive work."""
        later = (
            one.begun - fault.ended
            for one in self.noted
            if fault.recorded
            and one.begun > fault.begun
            and (one.agent == fault.agent or one.task == fault.task)
            and one.recorded
            and one.recorded.end == End.SUBMITTED
        )
        return next(later, None)

    def misread(self) -> Counter[str]:
        """Count how sessions were recorded that were not recognised."""
        return Counter(f"{one.behaviour}: {self._said(one)}" for one in self.noted if not one.recorded or not self.right(one))

    def _said(self, one: Noted) -> str:
        session = one.recorded
        if not session:
            return "not recorded"
        record = self.record(one)
        failure = f" ({session.failure.kind})" if session.failure else ""
        return f"{session.end}{failure}; {reason_kind(record) or record.stage if record else session.note[:120]}"

    # what must not be

    def killed_healthy(self) -> list[str]:
        wrong = (End.STUCK, End.CIRCLES, End.TIMEOUT, End.CRASHED, End.INTERRUPTED)
        return [
            f"{one.task}/{one.generation} {one.behaviour}: {self._said(one)}"
            for one in self.noted
            if BEHAVIOURS[one.behaviour].healthy and one.recorded and one.recorded.end in wrong
        ]

    def forgotten(self) -> list[str]:
        return [f"{one.task}/{one.generation}" for one in self.noted if one.recorded is None]

    def lost(self) -> list[str]:
        """List the work that no ref of the hub reaches: commits, unless their files are there, and files."""
        there = {line.split(" ", 1)[0] for line in git(self.hub.git_dir, "rev-list", "--all", "--objects").stdout.splitlines()}
        found = []
        for one in self.noted:
            gone = [path for path, blobs in one.files.items() if not there.intersection(blobs)]
            found += [f"{one.task}/{one.generation} {one.behaviour}: {path}" for path in gone]
            if gone:
                found += [f"{one.task}/{one.generation} commit {oid}" for oid in one.commits if oid not in there]
        return found

    def half_done(self) -> list[str]:
        """List the files of trunk, at any time, that have no closing line or hold a bug."""
        raw = git(self.hub.git_dir, "log", "--raw", "--no-abbrev", "--no-renames", "--format=", "main", "--", "work").stdout
        blobs = {fields[3]: line.split("\t")[1] for line in raw.splitlines() if (fields := line.split()) and fields[4] != "D"}
        found = []
        for oid, path in blobs.items():
            lines = self.hub.objects.blob(oid).decode().splitlines()
            if not lines[-1].startswith("the end of ") or "BUG" in lines:
                found.append(f"{path} {oid}")
        return found

    def processes(self) -> list[str]:
        left = [f"{pid} {mark}" for pid, mark in processes.marked(self.hub.mark)]
        for one in self.noted:
            for pid, started in one.daemons:
                fields = processes.stat(pid)
                if fields and fields[0] not in "ZX" and fields[19] == started:
                    left.append(f"{pid}, a daemon of {one.task}/{one.generation}")
        return left

    def locks(self) -> list[str]:
        own = Path(self.hub.own)
        found = [path for path in Path(self.hub.git_dir).rglob("*.lock") if own not in path.parents]
        return [str(path) for path in (*found, *own.glob("locks/**/bot.lock.json"), *own.glob("locks/agents/*.json"))]

    def worktrees(self) -> list[str]:
        """List worktrees, and refs that say that somebody works."""
        listed = git(self.hub.git_dir, "worktree", "list", "--porcelain").stdout.split("\n\n")
        found = [entry for entry in listed[1:] if entry.strip()]
        for below in ("refs/agentctl/claims", "refs/agentctl/stage", "refs/heads/agent"):
            found += git(self.hub.git_dir, "for-each-ref", "--format=%(refname)", below).stdout.split()
        return found + ([self.hub.worktrees] if os.path.exists(self.hub.worktrees) else [])
