"""Runs one command so that none of its processes outlives the supervisor.

A program of its own, started by `local.start` as `python -I -S guard.py`:

    stdin    the request (four bytes of length, big-endian, then a marshalled
             dict), after it the death pipe: a line "stop" asks for a graceful
             stop, end of file for an immediate one
    stdout   one line of JSON when all is over
    stderr   the log: what the command writes is appended to it

On Linux the guard is a subreaper: whatever the command starts stays below it,
with or without a session, an environment or open files of its own, so "no child
left" (ECHILD) proves that nothing survived. Elsewhere it knows only the
command's process group.

The request is marshalled and not JSON because importing json doubles the
start-up; it travels on the pipe because command lines are public to all users.
"""

import ctypes
import errno
import marshal
import os
import resource
import select
import signal
import sys
import time

PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36
STOPS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
FASTEST_WRITER = 200e6
"""Bytes a second that a log is expected to grow by at most: sets how often to look."""
LINGER = 10.0
"""Seconds after which processes that SIGKILL cannot end (another user's, or deep
in the kernel) are reported instead of awaited."""


def prctl(option, value):
    """True if the kernel knows the option."""
    try:
        return ctypes.CDLL(None).prctl(option, value, 0, 0, 0) == 0
    except (OSError, AttributeError):
        return False


def read_exactly(count):
    data = b""
    while len(data) < count:
        piece = os.read(0, count - len(data))
        if not piece:
            os._exit(1)
        data += piece
    return data


def state(pid):
    """(state letter, parent pid) or None for a process that is gone."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
    except OSError:
        return None
    return fields[0], int(fields[1])


def children(pid):
    found = []
    try:
        for thread in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{thread}/children", "rb") as file:
                found += map(int, file.read().split())
    except OSError:
        pass
    return found


def children_by_scan(pid):
    """For kernels without CONFIG_PROC_CHILDREN."""
    pids = (int(name) for name in os.listdir("/proc") if name.isdigit())
    return [other for other in pids if (found := state(other)) and found[1] == pid]


def descendants():
    if not os.path.isdir("/proc/self"):
        return []
    me = os.getpid()
    listed = os.path.exists(f"/proc/self/task/{me}/children")
    below = children if listed else children_by_scan
    found, todo = [], [me]
    while todo:
        new = below(todo.pop())
        found += new
        todo += new
    return found


def unblock():
    """What was blocked while we were started was meant for whoever started us: it is dropped."""
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    before = {number: signal.signal(number, signal.SIG_IGN) for number in blocked}
    signal.pthread_sigmask(signal.SIG_UNBLOCK, blocked)
    for number, handler in before.items():
        signal.signal(number, handler)


class Guard:
    def __init__(self, request):
        self.request = request
        self.log_start = os.fstat(2).st_size
        self.reason, self.message = "exited", ""
        self.status = None
        self.leader = 0
        self.killed = set()
        self.kill_at = None
        self.started = time.monotonic()
        self.subreaper = prctl(PR_SET_CHILD_SUBREAPER, 1)
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

    def run(self):
        spawned = self.spawn()
        # The slowest import of all: it overlaps with the command.
        import json

        if spawned:
            while self.status is None and self.turn():
                pass
            self.clear()
            self.judge_log()
        return json.dumps(self.report())

    def spawn(self):
        """True if the command is running; else reason and message say why not."""
        answer, tell = os.pipe()
        self.leader = os.fork()
        if self.leader == 0:
            become(self.request, tell)
        os.close(tell)
        with os.fdopen(answer, "rb") as file:
            failure = file.read()
        if not failure:
            return True
        os.waitpid(self.leader, 0)
        reason, _, message = failure.decode("utf-8", "replace").partition("\0")
        self.reason, self.message = reason, message
        return False

    def turn(self):
        """Sleep until something happens, then act on it. False: kill everything."""
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

    def within_limits(self):
        now, timeout = time.monotonic(), self.request["timeout"]
        if self.excess() > 0:
            self.judge_log()
            return False
        if timeout is not None and now >= self.started + timeout:
            self.terminate("timeout", f"still running after {timeout:g} s")
        return self.kill_at is None or now < self.kill_at

    def patience(self):
        """Milliseconds until a limit may be reached, None for no limit."""
        now, timeout, output = time.monotonic(), self.request["timeout"], self.request["output"]
        waits = []
        if self.kill_at is not None:
            waits.append(self.kill_at - now)
        elif timeout is not None:
            waits.append(self.started + timeout - now)
        if output:
            waits.append(min(1.0, max(0.02, -self.excess() / FASTEST_WRITER)))
        return max(0, min(waits)) * 1000 + 1 if waits else None

    def excess(self):
        """Bytes in the log over the limit; negative below it, or without one."""
        limit = self.request["output"]
        return os.fstat(2).st_size - self.log_start - limit if limit else -1

    def judge_log(self):
        """A log over its limit is the reason, also for a command that left before
        it was seen; it is cut to the limit."""
        if self.excess() <= 0:
            return
        limit = self.request["output"]
        self.blame("output", f"wrote more than {limit} bytes")
        os.ftruncate(2, self.log_start + limit)

    def blame(self, reason, message):
        if self.reason == "exited":
            self.reason, self.message = reason, message

    def terminate(self, reason, message):
        if self.kill_at is not None:
            return
        self.blame(reason, message)
        self.kill_at = time.monotonic() + self.request["grace"]
        for number in (signal.SIGTERM, signal.SIGCONT):
            try:
                os.killpg(self.leader, number)
            except OSError:
                pass

    def drain(self):
        try:
            return set(os.read(self.wake, 4096))
        except BlockingIOError:
            return set()

    def reap(self):
        """False when there is no child left."""
        try:
            while True:
                pid, status = os.waitpid(-1, os.WNOHANG)
                if pid == self.leader:
                    self.status = os.waitstatus_to_exitcode(status)
                if pid == 0:
                    return True
        except ChildProcessError:
            return False

    def clear(self):
        """Kill whatever is left, over and over, as processes may fork meanwhile."""
        if not self.subreaper:
            self.clear_group()
        pause, give_up = 1.0, time.monotonic() + LINGER
        self.poller.unregister(0)
        while self.reap():
            for pid in descendants():
                self.kill(pid)
            self.poller.poll(pause)
            self.drain()
            pause = min(pause * 1.5, 50.0)
            if time.monotonic() > give_up:
                self.message += f"; {len(descendants())} processes could not be killed"
                return

    def clear_group(self):
        try:
            os.killpg(self.leader, signal.SIGKILL)
        except OSError:
            pass

    def kill(self, pid):
        found = state(pid)
        if found is None or found[0] in b"ZX":
            return
        try:
            os.kill(pid, signal.SIGKILL)
        except OSError:
            return
        if pid != self.leader:
            self.killed.add(pid)

    def report(self):
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


def become(request, tell):
    """In the forked child: turn into the command, or tell why not. Never returns."""
    argv, where = request["argv"], "cannot prepare the command"
    cwd, stdin = request["cwd"], request["stdin"]
    try:
        detach(request)
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


def detach(request):
    os.setsid()
    prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != request["guard"]:
        # The guard died before the kernel was told to send the signal.
        os._exit(127)
    signal.set_wakeup_fd(-1)
    for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
        try:
            signal.signal(number, signal.SIG_DFL)
        except (OSError, ValueError):
            pass


def limit(request):
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


def explain(error, where, name):
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


def main():
    request = marshal.loads(read_exactly(int.from_bytes(read_exactly(4), "big")))
    request["guard"] = os.getpid()
    line = Guard(request).run()
    try:
        os.write(1, line.encode() + b"\n")
    except OSError:
        pass
    os._exit(0)


if __name__ == "__main__":
    main()
