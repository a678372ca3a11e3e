"""Which processes run, whose they are, what they do, and how to end them."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import suppress

from agentctl.engine.process_tree import children
from agentctl.engine.runner import Activity

MARK = "AGENTCTL_RUN"
LINUX = sys.platform == "linux"
TICK = os.sysconf("SC_CLK_TCK")
UNKILLABLE = 5.0
"""Seconds after which a sweep no longer awaits the death of what it killed."""


def sweep(prefix: str, keep: frozenset[str] = frozenset()) -> int:
    """Kill every process of this user marked with AGENTCTL_RUN=<prefix>...; return how many were killed.

    A process whose mark is in `keep` is spared, and so are the calling process and those above it. This is repeated
    until no process is found. Raises ValueError for an empty prefix, which would match every mark.
    """
    if not prefix:
        raise ValueError("an empty prefix")
    spared, killed = _ancestors(), set()
    give_up, pause = time.monotonic() + UNKILLABLE, 0.001
    while True:
        found = [pid for pid, mark in marked(prefix) if mark not in keep and pid not in spared and _kill(pid, mark)]
        killed.update(found)
        if not found or time.monotonic() > give_up:
            return len(killed)
        time.sleep(pause)
        pause = min(pause * 2, 0.05)


def terminate(prefix: str) -> int:
    """Send SIGTERM to the topmost processes marked with <prefix>...; return how many there were.

    They are the guards, which then stop their jobs gracefully.
    """
    tops = _tops(prefix)
    for pid in tops:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)
    return len(tops)


def orphans(prefix: str) -> list[int]:
    """Return the topmost processes marked with <prefix>... that are not guards: their guard was killed.

    They are found on Linux only.
    """
    return sorted(pid for pid in _tops(prefix) if not _is_guard(pid)) if LINUX else []


def end_orphans(prefix: str) -> int:
    """Kill the orphans, and those below them that become orphans thereby; return how many were killed."""
    killed: set[int] = set()
    give_up = time.monotonic() + UNKILLABLE
    while (left := set(orphans(prefix))) and time.monotonic() < give_up:
        killed.update(pid for pid, mark in marked(prefix) if pid in left and _kill(pid, mark))
        time.sleep(0.01)
    return len(killed)


def _tops(prefix: str) -> list[int]:
    found = {pid for pid, _ in marked(prefix)}
    return [pid for pid in found if _parent(pid) not in found]


def _is_guard(pid: int) -> bool:
    """Tell whether a process is a guard; also True for a process that has just ended."""
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            words = file.read().split(b"\0")
    except OSError:
        return True
    return words == [b""] or any(os.path.basename(word) == b"guard.py" for word in words)


def tree_activity(pid: int) -> Activity:
    """Return what a process and all below it do; Activity(0.0, 0) if it is gone."""
    if not os.path.exists(f"/proc/self/task/{os.getpid()}/children"):
        return _tree_activity_elsewhere(pid)
    cpu, count, todo = 0, 0, [pid]
    while todo:
        one = todo.pop()
        fields = stat(one)
        if fields is None or fields[0] in "ZX":
            continue
        cpu += sum(map(int, fields[11:15]))
        count += 1
        todo += children(one)
    return Activity(cpu / TICK, count)


def stat(pid: int) -> list[str] | None:
    """Return the fields of /proc/<pid>/stat from the third (state) on, see proc(5); None for a process that is gone."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            return file.read().rpartition(")")[2].split()
    except OSError:
        return None


def _parent(pid: int) -> int:
    """Return the pid of the parent; 0 for a process that is gone or has no parent."""
    fields = stat(pid)
    return int(fields[1]) if fields else 0


def _ancestors() -> set[int]:
    """Return the pids of this process and of those above it."""
    if not LINUX:
        import psutil

        return {os.getpid(), *(parent.pid for parent in psutil.Process().parents())}
    found, pid = set(), os.getpid()
    while pid > 0 and pid not in found:
        found.add(pid)
        pid = _parent(pid)
    return found


def marked(prefix: str) -> Iterator[tuple[int, str]]:
    """Yield (pid, mark) of each process of this user whose mark begins with the prefix."""
    if not LINUX:
        yield from _marked_elsewhere(prefix)
        return
    user = os.geteuid()
    for name in os.listdir("/proc"):
        if name.isdigit():
            with suppress(OSError):
                mark = _mark(int(name))
                if mark.startswith(prefix) and os.stat(f"/proc/{name}").st_uid == user:
                    yield int(name), mark


def _mark(pid: int) -> str:
    """Return the mark of a process; empty if it has none.

    Raises OSError if the process is gone or another user's. Changes that a process made to its environment after it
    was executed are not seen.
    """
    with open(f"/proc/{pid}/environ", "rb") as file:
        environ = b"\0" + file.read()
    _, found, rest = environ.partition(f"\0{MARK}=".encode())
    return os.fsdecode(rest.partition(b"\0")[0]) if found else ""


def _kill(pid: int, mark: str) -> bool:
    """Kill a process if it still has the mark; return True if it was killed.

    A descriptor of the process makes this safe, since the pid may have passed to another process. Where the system
    has no such descriptors, the pid is killed without another look at the mark.
    """
    try:
        if not (LINUX and hasattr(os, "pidfd_open")):
            os.kill(pid, signal.SIGKILL)
            return True
        descriptor = os.pidfd_open(pid)
        try:
            if _mark(pid) != mark:
                return False
            signal.pidfd_send_signal(descriptor, signal.SIGKILL)
            return True
        finally:
            os.close(descriptor)
    except OSError:
        return False


def _marked_elsewhere(prefix: str) -> Iterator[tuple[int, str]]:
    import psutil

    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            if process.uids().effective == os.geteuid():
                mark = process.environ().get(MARK, "")
                if mark.startswith(prefix):
                    yield process.pid, mark


def _tree_activity_elsewhere(pid: int) -> Activity:
    import psutil

    cpu, count = 0.0, 0
    with suppress(psutil.Error):
        root = psutil.Process(pid)
        for process in [root, *root.children(recursive=True)]:
            with suppress(psutil.Error):
                used = process.cpu_times()
                cpu += used.user + used.system + used.children_user + used.children_system
                count += 1
    return Activity(cpu, count)
