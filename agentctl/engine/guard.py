"""The guard: a program that runs one command so that none of its processes outlives the supervisor.

`Local.start` starts it as `python -I -S guard.py`:

    stdin    the request (four bytes of length, big-endian, then a marshalled
             dict), and after it the death pipe: a line "stop" asks for a graceful
             stop, end of file for an immediate one
    stdout   one line of JSON when all is over
    stderr   the log: what the command writes is appended to it

On Linux the guard is a subreaper: every process that the command starts stays
below the guard, even one with a session, an environment or open files of its own.
So "no child left" (ECHILD) proves that nothing survived. Elsewhere the guard knows
only the process group of the command.

The request is marshalled rather than JSON because importing json doubles the
time to start; it travels on the pipe because all users can read command lines.
"""

import errno
import marshal
import os
import resource
import select
import signal
import sys
import time

# The isolated mode (-I) keeps the script's own folder out of the import path.
sys.path.append(os.path.dirname(os.path.abspath(__file__)))
TYPE_CHECKING = False
"""Stands for typing.TYPE_CHECKING: to import typing takes milliseconds."""
if TYPE_CHECKING:
    from typing import NoReturn

    from agentctl.engine.guard_protocol import GuardReport, GuardRequest
    from agentctl.engine.process_tree import adopt, count_descendants, descendants, everybodys_threads, prctl, state
else:
    from process_tree import adopt, count_descendants, descendants, everybodys_threads, prctl, state  # noqa: E402

PR_SET_PDEATHSIG = 1
STOPS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
FASTEST_WRITER = 200e6
"""The fastest growth of a log that is expected, in bytes a second: it sets how often the guard looks."""
FASTEST_FORKER = 5_000
"""The most new processes that are expected in a second: it sets how often the guard counts them."""
RECOUNT = 2.0
"""Seconds after which processes are counted anew: threads that a job adds do not show if others end as many."""
STORM = 200
"""The number of processes above which the guard no longer checks whether one of them has just ended."""
LINGER = 10.0
"""Seconds after which processes that SIGKILL cannot end are reported instead of awaited.

Such a process belongs to another user, or is deep in the kernel.
"""


def read_exactly(count: int) -> bytes:
    data = b""
    while len(data) < count:
        piece = os.read(0, count - len(data))
        if not piece:
            os._exit(1)
        data += piece
    return data


def come_first() -> None:
    """Take a real-time priority, where we may: a fork storm leaves us little processor time."""
    try:
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))
    except (OSError, AttributeError):
        pass


def unblock() -> None:
    """Unblock all signals; drop those that came while blocked, which were meant for the process that started us."""
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    before = {number: signal.signal(number, signal.SIG_IGN) for number in blocked}
    signal.pthread_sigmask(signal.SIG_UNBLOCK, blocked)
    for number, handler in before.items():
        signal.signal(number, handler)


class Guard:
    def __init__(self, request: "GuardRequest") -> None:
        self.request = request
        self.log_start = os.fstat(2).st_size
        self.reason, self.message = "exited", ""
        self.status: int | None = None
        self.leader = 0
        self.killed: set[int] = set()
        self.kill_at: float | None = None
        self.look_at = self.count_at = 0.0
        self.others = 0
        self.started = time.monotonic()
        self.subreaper = adopt()
        self.wake, wake = os.pipe()
        for end in (self.wake, wake):
            os.set_blocking(end, False)
        signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
        unblock()
        for number in (signal.SIGCHLD, *STOPS):
            signal.signal(number, lambda *_: None)
        self.poller = select.poll()
        self.poller.register(self.wake, select.POLLIN)
        self.poller.register(0, select.POLLIN)

    def run(self) -> str:
        spawned = self.spawn()
        # json is the slowest import of all; here it overlaps with the command.
        import json

        if spawned:
            while self.status is None and self.turn():
                pass
            self.clear()
            self.judge_log()
            self.judge_files()
        return json.dumps(self.report())

    def spawn(self) -> bool:
        """Start the command and return True; if it cannot run, set reason and message and return False."""
        answer, tell = os.pipe()
        guard = os.getpid()
        self.leader = os.fork()
        if self.leader == 0:
            become(self.request, guard, tell)
        os.close(tell)
        with os.fdopen(answer, "rb") as file:
            failure = file.read()
        if not failure:
            return True
        os.waitpid(self.leader, 0)
        reason, _, message = failure.decode("utf-8", "replace").partition("\0")
        self.reason, self.message = reason, message
        return False

    def turn(self) -> bool:
        """Sleep until something happens, then act on it; return False if everything has to be killed."""
        ready = dict(self.poller.poll(self.patience()))
        signals = self.drain()
        self.reap()
        if self.status is not None:
            return True
        if 0 in ready:
            said = os.read(0, 4096)
            if not said:
                self.blame("stopped", "stopped at once")
                return False
            self.terminate("stopped", "stopped on request")
        if signals & set(STOPS):
            self.terminate("stopped", "stopped by a signal")
        return self.within_limits()

    def within_limits(self) -> bool:
        now, timeout = time.monotonic(), self.request["timeout"]
        if self.excess() > 0:
            self.judge_log()
            return False
        if self.crowded(now):
            self.blame("processes", f"had more than {self.request['processes']} processes at a time (limits.processes)")
            return False
        if timeout is not None and now >= self.started + timeout:
            self.terminate("timeout", f"still running after {timeout:g} s")
        return self.kill_at is None or now < self.kill_at

    def patience(self) -> float | None:
        """Return the milliseconds until a limit may be reached; None if no limit can be."""
        now, timeout, output = time.monotonic(), self.request["timeout"], self.request["output"]
        waits = []
        if self.kill_at is not None:
            waits.append(self.kill_at - now)
        elif timeout is not None:
            waits.append(self.started + timeout - now)
        if output:
            waits.append(min(1.0, max(0.02, -self.excess() / FASTEST_WRITER)))
        if self.request["processes"]:
            waits.append(self.look_at - now)
        return max(0, min(waits)) * 1000 + 1 if waits else None

    def excess(self) -> int:
        """Return how many bytes the log is over its limit; negative if it is below, or if there is no limit."""
        limit = self.request["output"]
        return os.fstat(2).st_size - self.log_start - limit if limit else -1

    def crowded(self, now: float) -> bool:
        """Tell whether the job has more processes than it may.

        The threads of the whole system, minus those that were not the job's at the last count, are an estimate.
        The processes are counted only if the estimate is above the limit, or if the last count is more than
        RECOUNT seconds old. The nearer the limit, the sooner the guard looks again.
        """
        limit = self.request["processes"]
        if not limit or now < self.look_at:
            return False
        threads = everybodys_threads()
        count = limit + 1 if threads is None else threads - self.others
        if count > limit or self.others and now > self.count_at + RECOUNT:
            count = count_descendants(limit)
            self.others, self.count_at = (threads or 0) - count, now
        self.look_at = time.monotonic() + min(1.0, max(0.02, (limit - count) / FASTEST_FORKER))
        return count > limit

    def judge_log(self) -> None:
        """Give the output as the reason and cut the log to its limit, if it is over the limit.

        This also catches a command that exited before the guard saw the size of its log.
        """
        if self.excess() <= 0:
            return
        limit = self.request["output"]
        self.blame("output", f"wrote more than {limit} bytes")
        os.ftruncate(2, self.log_start + limit)

    def judge_files(self) -> None:
        """Set the message if SIGXFSZ ended the command, for too large a file; a shell passes it on as its status."""
        limit = self.request["file_size"]
        if limit and self.reason == "exited" and self.status in (-signal.SIGXFSZ, 128 + signal.SIGXFSZ):
            self.message = f"it wrote more than {limit} bytes to one file (limits.file_size)"

    def blame(self, reason: str, message: str) -> None:
        if self.reason == "exited":
            self.reason, self.message = reason, message

    def terminate(self, reason: str, message: str) -> None:
        if self.kill_at is not None:
            return
        self.blame(reason, message)
        self.kill_at = time.monotonic() + self.request["grace"]
        for number in (signal.SIGTERM, signal.SIGCONT):
            try:
                os.killpg(self.leader, number)
            except OSError:
                pass

    def drain(self) -> set[int]:
        try:
            return set(os.read(self.wake, 4096))
        except BlockingIOError:
            return set()

    def reap(self) -> bool:
        """Collect the children that have ended; return False if no child is left."""
        try:
            while True:
                pid, status = os.waitpid(-1, os.WNOHANG)
                if pid == self.leader:
                    self.status = os.waitstatus_to_exitcode(status)
                if pid == 0:
                    return True
        except ChildProcessError:
            return False

    def clear(self) -> None:
        """Kill whatever is left, again and again, since processes may fork meanwhile."""
        if self.reason == "processes":
            come_first()
        if self.reason == "processes" or not self.subreaper:
            self.clear_group()
        pause, give_up = 1.0, time.monotonic() + LINGER
        self.poller.unregister(0)
        while self.reap():
            signalled = self.kill_all()
            self.poller.poll(pause)
            self.drain()
            pause = 1.0 if signalled > STORM else min(pause * 1.5, 50.0)
            if time.monotonic() > give_up:
                self.message += f"; {len(list(descendants()))} processes could not be killed"
                return

    def clear_group(self) -> None:
        try:
            os.killpg(self.leader, signal.SIGKILL)
        except OSError:
            pass

    def kill_all(self) -> int:
        """Kill each process below the guard as soon as it is found; return how many were found."""
        count = 0
        for count, pid in enumerate(descendants(), 1):
            # In a fork storm there is no time to check whether a process has just ended.
            if count > STORM or (found := state(pid)) and found[0] not in b"ZX":
                self.kill(pid)
        return count

    def kill(self, pid: int) -> None:
        try:
            os.kill(pid, signal.SIGKILL)
        except OSError:
            return
        if pid != self.leader:
            self.killed.add(pid)

    def report(self) -> "GuardReport":
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        code = self.status
        return {
            "exit": code if code is not None and code >= 0 else None,
            "signal": -code if code is not None and code < 0 else None,
            "reason": self.reason,
            "message": self.message.lstrip("; "),
            "seconds": round(time.monotonic() - self.started, 6),
            "cpu": round(used.ru_utime + used.ru_stime, 6),
            "survivors": len(self.killed),
            "maxrss": used.ru_maxrss * (1 if sys.platform == "darwin" else 1024),
        }


def become(request: "GuardRequest", guard: int, tell: int) -> "NoReturn":
    """Turn the forked child into the command, or tell the guard why that failed; never return."""
    argv, where = request["argv"], "cannot prepare the command"
    cwd, stdin = request["cwd"], request["stdin"]
    try:
        detach(guard)
        where = f"cannot enter {os.fsdecode(cwd)}"
        os.chdir(cwd)
        where = f"cannot read {os.fsdecode(stdin)}"
        os.dup2(os.open(stdin, os.O_RDONLY), 0)
        os.dup2(2, 1)
        where = ""
        limit(request)
        os.execvpe(argv[0], argv, request["env"])
    except BaseException as error:
        reason, message = explain(error, where, os.fsdecode(argv[0]))
        os.write(tell, f"{reason}\0{message}"[:1000].encode("utf-8", "replace"))
    finally:
        os._exit(127)


def detach(guard: int) -> None:
    os.setsid()
    prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != guard:
        # The guard died before the kernel was told to send the signal.
        os._exit(127)
    signal.set_wakeup_fd(-1)
    for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
        try:
            signal.signal(number, signal.SIG_DFL)
        except (OSError, ValueError):
            pass


def limit(request: "GuardRequest") -> None:
    wanted = (
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_FSIZE, request["file_size"] or None),
        (resource.RLIMIT_AS, request["memory"] or None),
    )
    for kind, value in wanted:
        if value is None:
            continue
        hard = resource.getrlimit(kind)[1]
        value = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(kind, (value, value))
    resource.setrlimit(resource.RLIMIT_NOFILE, (request["open_files"], resource.getrlimit(resource.RLIMIT_NOFILE)[1]))


def explain(error: BaseException, where: str, name: str) -> tuple[str, str]:
    why = getattr(error, "strerror", None) or str(error) or type(error).__name__
    number = getattr(error, "errno", None)
    if where:
        return "error", f"{where}: {why}"
    if number in (errno.ENOENT, errno.ENOTDIR):
        if "/" in name and os.path.exists(name):
            return "not-found", f"{name}: the interpreter in its first line does not exist"
        return "not-found", f"{name}: command not found"
    if number in (errno.EACCES, errno.ENOEXEC, errno.EPERM):
        return "not-executable", f"{name}: {why}"
    return "error", f"{name}: {why}"


def main() -> "NoReturn":
    request: "GuardRequest" = marshal.loads(read_exactly(int.from_bytes(read_exactly(4), "big")))
    line = Guard(request).run()
    try:
        os.write(1, line.encode() + b"\n")
    except OSError:
        pass
    os._exit(0)


if __name__ == "__main__":
    main()
