"""The port for running a command somewhere: what is asked for, what is answered, and what a runner must be able to do.

A gate run and a session are each a `Job` of plain values. `local` runs jobs as processes of this machine; the callers
know nothing about processes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class Job:
    """A command and its limits; a limit of 0 and a timeout of None mean that there is none."""

    argv: tuple[str, ...]
    cwd: str
    env: dict[str, str]
    """The whole environment of the command; AGENTCTL_RUN is added to it."""
    log: str
    """The file on this machine to which stdout and stderr are appended."""
    mark: str
    """The value of AGENTCTL_RUN, by which `Runner.sweep` finds orphaned processes."""
    stdin: str | None = None
    timeout: float | None = None
    grace: float = 5
    """Seconds between SIGTERM to the process group and SIGKILL to every process."""
    memory: int = 0
    """Bytes of address space of each process (RLIMIT_AS).

    Runtimes that reserve much more than they use, such as V8 and Go, do not start under a small limit.
    """
    output: int = 0
    """Bytes by which the log may grow; beyond that, the job is killed and the log is cut."""
    file_size: int = 0
    """Bytes that any one file may reach when the job writes to it (RLIMIT_FSIZE)."""
    processes: int = 0
    """The number of processes that the job may have at a time.

    RLIMIT_NPROC would not do, since it counts all processes of the user and does not hold for root. So the guard
    counts the processes below itself.
    """


@dataclass(frozen=True)
class JobEnded:
    """The end of a job, of which nothing is left running."""

    reason: str
    """One of: exited, timeout, output, processes, stopped, not-found, not-executable, error (never started), lost.

    lost: the guard was killed, and the command died with it. The other processes that the command had started
    became children of this process and were killed. Only Linux has such inheritance; elsewhere `Runner.sweep`
    finds them by their mark.
    """
    exit: int | None = None
    """The exit status; None if the command never ran or a signal ended it."""
    signal: int | None = None
    message: str = ""
    """The explanation, in words, if the job did not simply exit."""
    seconds: float = 0.0
    cpu: float = 0.0
    """Seconds of processor time that all its processes used."""
    survivors: int = 0
    """The number of processes, other than the command itself, that had to be killed."""
    maxrss: int = 0
    """The peak memory of the largest process in bytes; at least what the guard used before it started the command."""


@dataclass(frozen=True)
class Activity:
    """The activity of the processes of a job, or of one process and all below it."""

    cpu_seconds: float
    """Seconds of processor time, including that of children that ended and were waited for."""
    processes: int


class Running(Protocol):
    """A started job."""

    def wait(self, timeout: float | None = None) -> JobEnded | None:
        """Return how the job ended, or None if it still runs after `timeout` seconds (None: wait without limit)."""

    def stop(self) -> None:
        """Ask the job to end; after the grace period everything is killed."""

    def kill(self) -> None:
        """Kill everything at once."""

    def activity(self) -> Activity:
        """Return what the job does."""


class Runner(Protocol):
    def start(self, job: Job) -> Running:
        """Start a job; several threads may call this at once.

        A command that cannot be executed is not an error here, but a reason of `JobEnded`. Raises OSError if the
        log cannot be opened or no process can be made.
        """

    def sweep(self, mark: str) -> int:
        """Kill what is left of jobs with a mark that begins with `mark` after their owner was killed.

        Return how many processes that were.
        """

    def stop(self, mark: str) -> int:
        """Ask the jobs with a mark that begins with `mark` to end, whoever started them; return how many."""
