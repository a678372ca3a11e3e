"""How long a fork storm lives, and how large it gets, under the limit on processes.

    python -m bench.storms [LIMIT [CAGE]]

This needs root on Linux: a cgroup of at most CAGE processes (3,000) is made around the storms, for whatever the guard
fails to end. It is killed and removed at the end. The machine is hardly usable for the seconds that this takes. LIMIT
is 300 if not given. Baseline: the first storm, which stays in its process group.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from collections.abc import Iterator

from agentctl.engine.local import LOCAL
from agentctl.engine.runner import Job
from bench.common import table

STORMS = {
    "shell, b | b &": ("bash", "-c", "b(){ b|b& };b; sleep 100"),
    "loop of fork": (sys.executable, "-S", "-c", "import os\nwhile True: os.fork()"),
    "loop of setsid": ("sh", "-c", "while :; do setsid sh -c 'while :; do setsid sleep 100 & done' & done"),
    "fork, each a session": (sys.executable, "-S", "-c", "import os\nwhile True:\n    if os.fork() == 0: os.setsid()"),
}


@contextlib.contextmanager
def cage(most: int) -> Iterator[str]:
    """Put this process into a cgroup of at most `most` processes, and yield the file that lists what is in it."""
    top = next(top for top in ("/sys/fs/cgroup/pids", "/sys/fs/cgroup") if os.path.exists(top + "/cgroup.procs"))
    own = f"{top}/agentctl-bench-{os.getpid()}"
    os.mkdir(own)

    def write(name: str, text: str) -> None:
        with open(os.path.join(own, name), "w") as file:
            file.write(text)

    try:
        write("pids.max", str(most))
        write("cgroup.procs", str(os.getpid()))
        yield own + "/cgroup.procs"
    finally:
        with open(top + "/cgroup.procs", "w") as file:
            file.write(str(os.getpid()))
        write("pids.max", "0")
        while left := inside(own + "/cgroup.procs"):
            for pid in left:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.1)
        os.rmdir(own)


def inside(listed: str) -> list[int]:
    with open(listed) as file:
        return [int(line) for line in file]


def main(limit: int, most: int) -> None:
    rows, base = [], 0.0
    for name, argv in STORMS.items():
        with cage(most) as listed:
            running = LOCAL.start(Job(argv, "/", {"PATH": os.environ["PATH"]}, os.devnull, "bench/", timeout=30, processes=limit))
            largest = 0
            while not (ended := running.wait(0.05)):
                largest = max(largest, len(inside(listed)) - 2)
            left = len(inside(listed)) - 1
        base = base or ended.seconds
        rows.append((name, ended.reason, ended.seconds, largest, left, ended.seconds / base))
    table(rows, ("storm", "ended by", "seconds", "processes", "left", "ratio"))


if __name__ == "__main__":
    words = [int(word) for word in sys.argv[1:]]
    main(*words, *(300, 3000)[len(words) :])
