"""The runner of local processes: each job runs below a guard of its own (see guard.py)."""

from __future__ import annotations

import contextlib
import json
import marshal
import os
import select
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import IO

from agentctl import signals
from agentctl.engine import environ, open_files, process_tree, processes
from agentctl.engine.guard_protocol import GuardReport, GuardRequest
from agentctl.engine.processes import MARK, tree_activity
from agentctl.engine.runner import Activity, Job, JobEnded
from agentctl.git import folders, modes, process

GUARD = str(Path(__file__).with_name("guard.py"))
LINGER = 10.0
"""Seconds after which processes that outlived their guard and cannot be killed are no longer awaited."""

_guards: set[int] = set()
"""The pids of the guards that this process has started and not yet waited for."""
_starting = threading.RLock()


class Local:
    """The `Runner` whose jobs are processes of this machine, each below a guard."""

    def start(self, job: Job) -> LocalJob:
        environ.hide()
        # An earlier job may have put something else in its place.
        folders.make_way(job.log)
        with open(job.log, "ab", opener=modes.opener) as log, signals.kept_from_children(), _starting:
            process_tree.adopt()
            guard = subprocess.Popen(
                [sys.executable, "-I", "-S", GUARD],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env=_of_guard(job),
                start_new_session=True,
                bufsize=0,
            )
            _guards.add(guard.pid)
        request = _request(job)
        with contextlib.suppress(BrokenPipeError):
            _write_all(_pipe(guard.stdin).fileno(), len(request).to_bytes(4, "big") + request)
        return LocalJob(guard, job)

    def sweep(self, mark: str) -> int:
        return processes.sweep(mark)

    def stop(self, mark: str) -> int:
        return processes.terminate(mark)


class LocalJob:
    """A started job. Dropping the last reference to it also kills the job."""

    def __init__(self, guard: subprocess.Popen[bytes], job: Job) -> None:
        self.pid = guard.pid
        self._guard = guard
        self._death, self._report = _pipe(guard.stdin), _pipe(guard.stdout)
        self._grace = job.grace
        self._started = time.monotonic()
        self._overdue = float("inf")
        """The time by which the guard should have ended; one that still runs then, since it was suspended, is killed."""
        if job.timeout is not None:
            self._due_in(job.timeout + job.grace)
        self._ended: JobEnded | None = None
        self._lock = threading.Lock()

    def __del__(self) -> None:
        # Popen keeps alive an object whose process still runs, and with it the pipes.
        self._death.close()
        self._report.close()

    def fileno(self) -> int:
        """Return a descriptor that becomes readable when the job has ended.

        `poll` then returns how it ended and closes the descriptor, so take it out of a selector first. Raises
        ValueError once it is closed.
        """
        return self._report.fileno()

    def poll(self) -> JobEnded | None:
        """Return how the job ended, or None while it runs.

        Blocks only if the guard was killed, and only until the processes that it left are killed.
        """
        with self._lock:
            if self._ended is None and _readable(self.fileno(), 0):
                self._ended = self._collect()
            elif self._ended is None and time.monotonic() > self._overdue:
                self._guard.kill()
            return self._ended

    def _due_in(self, seconds: float) -> None:
        self._overdue = min(self._overdue, time.monotonic() + seconds + 2 * LINGER)

    def wait(self, timeout: float | None = None) -> JobEnded | None:
        """Wait until the job has ended, at most `timeout` seconds; return what `poll` returns."""
        deadline = None if timeout is None else time.monotonic() + timeout
        while (ended := self.poll()) is None:
            left = 1.0 if deadline is None else deadline - time.monotonic()
            if left <= 0:
                return None
            # At most a second: another thread may see the end first and close the
            # descriptor, which wakes nobody.
            with contextlib.suppress(ValueError):
                _readable(self.fileno(), min(left, 1.0))
        return ended

    def stop(self) -> None:
        """Send SIGTERM to the process group; after the grace period everything is killed."""
        with self._lock, contextlib.suppress(BrokenPipeError):
            if not self._death.closed:
                self._death.write(b"stop\n")
                self._awake(self._grace)

    def kill(self) -> None:
        """Kill everything at once."""
        with self._lock:
            if self._ended is None:
                self._death.close()
                self._awake(0)

    def _awake(self, seconds: float) -> None:
        """Resume the guard if the command has suspended it, so that it sees the pipe; once overdue, `poll` kills it."""
        self._guard.send_signal(signal.SIGCONT)
        self._due_in(seconds)

    def activity(self) -> Activity:
        """Return what the job's processes do; the guard is not among the processes counted."""
        found = tree_activity(self.pid)
        return Activity(found.cpu_seconds, max(0, found.processes - 1))

    def _collect(self) -> JobEnded:
        line = self._report.read()
        # The guard may be dead, but its entry in /proc stays until it is waited for.
        born = process_tree.session(self.pid)
        status = self._guard.wait()
        with _starting:
            _guards.discard(self.pid)
            _strays.reap(time.monotonic())
        self._death.close()
        self._report.close()
        if line.endswith(b"\n"):
            report: GuardReport = json.loads(line)
            return JobEnded(**report)
        how = f"by signal {-status}" if status < 0 else f"with status {status}"
        if born:
            _end_left(born[1])
        seconds = time.monotonic() - self._started
        return JobEnded("lost", message=f"the guard ended {how}; see the log", seconds=seconds)


class _Strays:
    """The zombies that became children of this process because a Git had left them running.

    Somebody has to wait for them. A zombie counts as one of them if it is neither a running Git nor a guard of ours,
    and if it was seen twice, at least LINGER seconds apart.
    """

    def __init__(self) -> None:
        self._seen: set[int] = set()
        self._looked = 0.0

    def reap(self, now: float) -> None:
        if now < self._looked + LINGER:
            return
        dead = {
            pid
            for pid in set(process_tree.below(os.getpid())) - _guards - process.awaited
            if (found := process_tree.state(pid)) and found[0] == b"Z"
        }
        for pid in dead & self._seen:
            with contextlib.suppress(OSError):
                os.waitpid(pid, os.WNOHANG)
        self._seen, self._looked = dead - self._seen, now


_strays = _Strays()


def _left(since: int) -> list[int]:
    """Return the children that a killed guard left to this process, started at `since` (ticks since the boot) or later.

    Our own children, such as Git, stay in our session, which no other process can join. So a child in another session
    counts as left by a guard.
    """
    with _starting:
        known = [(pid, process_tree.session(pid)) for pid in process_tree.below(os.getpid()) if pid not in _guards]
        return [pid for pid, found in known if found and found[0] != os.getsid(0) and found[1] >= since]


def _end_left(since: int) -> None:
    """Kill what a killed guard left and all below it, until nothing is found: these processes may fork meanwhile."""
    give_up = time.monotonic() + LINGER
    while (left := _left(since)) and time.monotonic() < give_up:
        for top in left:
            for pid in (top, *process_tree.descendants(top)):
                with contextlib.suppress(OSError):
                    os.kill(pid, signal.SIGKILL)
            with contextlib.suppress(OSError):
                os.waitpid(top, os.WNOHANG)
        time.sleep(0.005)


def _pipe(end: IO[bytes] | None) -> IO[bytes]:
    """Return our end of a pipe; Popen has one, because it was asked for one."""
    assert end is not None
    return end


def _request(job: Job) -> bytes:
    request: GuardRequest = {
        "argv": [os.fsencode(word) for word in job.argv],
        "cwd": os.fsencode(job.cwd),
        "env": {os.fsencode(name): os.fsencode(value) for name, value in (job.env | {MARK: job.mark}).items()},
        "stdin": os.fsencode(job.stdin or os.devnull),
        "timeout": job.timeout,
        "grace": job.grace,
        "memory": job.memory,
        "output": job.output,
        "file_size": job.file_size,
        "open_files": open_files.USUAL,
        "processes": job.processes,
    }
    return marshal.dumps(dict(request))


def _of_guard(job: Job) -> dict[str, str]:
    """Return the guard's environment: only the mark and the path that Python's own library needs, since jobs can read it."""
    return {MARK: job.mark} | {name: os.environ[name] for name in ("LD_LIBRARY_PATH",) if name in os.environ}


def _write_all(descriptor: int, data: bytes) -> None:
    while data:
        data = data[os.write(descriptor, data) :]


def _readable(descriptor: int, seconds: float) -> bool:
    poller = select.poll()
    poller.register(descriptor, select.POLLIN | select.POLLHUP)
    return bool(poller.poll(seconds * 1000))


LOCAL = Local()
