"""Checks of the machine: disk, our own files, locks, and what killed processes left."""

from __future__ import annotations

import itertools
import os
import shutil
import time
from collections.abc import Iterator

from agentctl.core.text.plural import many
from agentctl.doctor import Check, Patient, Symptom
from agentctl.engine import locks, processes
from agentctl.errors import AgentctlError, Contended
from agentctl.git import checkouts, stale_locks
from agentctl.git.repository import Hub
from agentctl.messages import quoted

ROOM = 1 << 30
"""Bytes of free disk space; with less than this, worktrees soon fail."""


def _disk(patient: Patient) -> Iterator[Symptom]:
    hub = patient.hub
    folders = {
        os.stat(folder).st_dev: folder for folder in (os.path.dirname(hub.worktrees), hub.git_dir) if os.path.isdir(folder)
    }
    for folder in folders.values():
        if (free := shutil.disk_usage(folder).free) < ROOM:
            yield Symptom(
                f"only {free >> 20} MiB are free where {folder} is",
                note=f"what takes the room: du -xh {quoted(folder)} | sort -h | tail -n 20",
            )


FOLDERS = (
    ".",
    *("at-work", "bin", "broken", "locks", "logs", "scratch", "sessions", "station", "worktrees"),
    *(
        "locks/agents",
        "locks/inbox",
        "locks/slots",
        "logs/agents",
        "logs/defects",
        "logs/gate",
        "worktrees/agents",
        "worktrees/slots",
    ),
)
"""The hub's own folder and the folders that agentctl keeps in it, each before those in it."""
FILES = (
    *("hindrance.json", "marks.json", "scale.json", "working.json", "worktrees.at"),
    *("locks/stale.lock", "logs/upkeep.log", "station/id", "station/lock", "station/seen"),
)
"""The files that it keeps there, except in folders for many."""


def _of_another_kind(patient: Patient) -> Iterator[Symptom]:
    for path, kind in _misplaced(patient.hub):
        yield Symptom(f"{path} is no {kind}", patient.mend("files"), "it is moved aside")


def _misplaced(hub: Hub) -> Iterator[tuple[str, str]]:
    """Yield (path, what has to be there) of what stands in the place of a folder or file of ours."""
    for names, kind, right in ((FOLDERS, "folder", os.path.isdir), (FILES, "file", os.path.isfile)):
        for path in (os.path.normpath(os.path.join(hub.own, name)) for name in names):
            if os.path.lexists(path) and not right(path):
                yield path, kind


def move_aside(patient: Patient) -> Iterator[str]:
    for path, kind in list(_misplaced(patient.hub)):
        names = (f"{path}.aside{n or ''}" for n in itertools.count())
        free = next(name for name in names if not os.path.lexists(name))
        os.rename(path, free)
        yield f"{path}, no {kind}, is {free} now"


def _locking(patient: Patient) -> Iterator[Symptom]:
    """Find out whether a lock keeps a second taker out; on some network file systems it does not."""
    path = patient.hub.own_path("locks", "doctor.lock")
    away = Symptom(f"locks do not work where {patient.hub.git_dir} is", note="move the repository to a local disk")
    try:
        with locks.acquire(path, "the doctor's lock", timeout=5):
            with locks.acquire(path, "the doctor's lock"):
                yield away
    except Contended:
        return
    except AgentctlError:
        yield away


def _stale(patient: Patient) -> Iterator[Symptom]:
    hub = patient.hub
    seen = [lock for path in checkouts.locks(hub, patient.trunk) if (lock := stale_locks.look(path))]
    if any(not stale_locks.dead(hub.git_dir, lock) for lock in seen):
        time.sleep(stale_locks.YOUNG)
    for lock in seen:
        if stale_locks.dead(hub.git_dir, lock):
            yield Symptom(f"a Git that died left {lock.path}", patient.mend("locks"))


def _clear(patient: Patient) -> Iterator[str]:
    for path in stale_locks.clear(patient.hub.git_dir, checkouts.locks(patient.hub, patient.trunk)):
        yield f"removed {path}"


def _orphans(patient: Patient) -> Iterator[Symptom]:
    left = processes.orphans(patient.hub.mark)
    if left:
        yield Symptom(
            f"{many(len(left), 'process')} of gates or sessions run with nobody to watch them: " + " ".join(map(str, left)),
            patient.mend("processes"),
        )


def _end_orphans(patient: Patient) -> Iterator[str]:
    yield f"killed {many(processes.end_orphans(patient.hub.mark), 'process')}"


OWN = Check("files", _of_another_kind, move_aside)
CHECKS = (Check("disk", _disk), Check("locking", _locking))
LEFT = (Check("locks", _stale, _clear), Check("processes", _orphans, _end_orphans))
