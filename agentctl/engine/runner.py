"""Running a command somewhere: what is asked, what is answered, and what a runner has to be able to do.

A gate and a session are a `Job` of plain values. `local` runs them as processes of this machine; whoever starts one knows
nothing of processes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class Job:
    """A command and its limits. 0 bytes means no limit, a timeout of None no timeout."""

    argv: tuple[str, ...]
    cwd: str
    env: dict[str, str]
    """The whole environment of the command; AGENTCTL_RUN is added to it."""
    log: str
    """The file of this machine that stdout and stderr are appended to."""
    mark: str
    """The value of AGENTCTL_RUN: by it `Runner.sweep` finds what was orphaned."""
    stdin: str | None = None
    timeout: float | None = None
    grace: float = 5
    """Seconds between SIGTERM to the process group and SIGKILL to every process."""
    memory: int = 0
    """Bytes of address space of each process (RLIMIT_AS). Runtimes that reserve
    much more than they use, such as V8 and Go, do not start under a small one."""
    output: int = 0
    """Bytes that the log may grow by; beyond, the job is killed and the log cut."""
    file_size: int = 0
    """Bytes that any one file may reach by its writes (RLIMIT_FSIZE)."""
    processes: int = 0
    """How many it may have at a time. RLIMIT_NPROC counts all that its user has, and does not
    hold for root: the guard counts what is below it."""


@dataclass(frozen=True)
class JobEnded:
    """How a job ended, and that nothing of it is left."""

    reason: str
    """exited, timeout, output, processes, stopped, not-found, not-executable, error (never
    started), or lost: the guard was killed, and the command died with it. What else the command
    had started came to this process, and was killed; where there is no such inheritance (only
    Linux has this), `Runner.sweep` finds it by its mark."""
    exit: int | None = None
    """None if the command never ran or a signal ended it."""
    signal: int | None = None
    message: str = ""
    """In words, why it did not simply exit."""
    seconds: float = 0.0
    cpu: float = 0.0
    """Seconds of CPU of all its processes."""
    survivors: int = 0
    """Processes other than the command itself that had to be killed."""
    maxrss: int = 0
    """Bytes of the largest process, at least those of the guard before it started."""


@dataclass(frozen=True)
class Activity:
    """What the processes of a job, or one process and all below it, do."""

    cpu_seconds: float
    """Including their children that ended and were waited for."""
    processes: int


class Running(Protocol):
    """A started job."""

    def wait(self, timeout: float | None = None) -> JobEnded | None:
        """The end of the job; None if it runs still after `timeout` seconds. None means no limit."""

    def stop(self) -> None:
        """Ask it to end; after the grace everything is killed."""

    def kill(self) -> None:
        """Kill everything at once."""

    def activity(self) -> Activity:
        """What it does."""


class Runner(Protocol):
    def start(self, job: Job) -> Running:
        """Start a job; safe from several threads. A command that cannot be executed is no error here but a reason of
        `JobEnded`. Raises OSError if the log cannot be opened or no process can be made."""

    def sweep(self, mark: str) -> int:
        """Kill what is left of jobs whose mark begins with `mark` and whose owner was killed. Returns how many processes."""

    def stop(self, mark: str) -> int:
        """Ask the jobs to end whose mark begins with `mark`, whoever started them. Returns how many."""
