"""Which processes are below which, read from /proc of Linux; on other systems none are known.

The guard imports this module too, so it uses nothing but the standard library.
"""

import ctypes
import itertools
import os

TYPE_CHECKING = False
"""Stands for typing.TYPE_CHECKING: to import typing takes milliseconds."""
if TYPE_CHECKING:
    from collections.abc import Iterator

PR_SET_CHILD_SUBREAPER = 36


def prctl(option: int, value: int) -> bool:
    """Set an option of this process by the system call prctl; return True if the kernel knows the option."""
    try:
        status: int = ctypes.CDLL(None).prctl(option, value, 0, 0, 0)
    except (OSError, AttributeError):
        return False
    return status == 0


def adopt() -> bool:
    """Become the parent of every process below whose own parent dies (a subreaper); return True if the kernel can do this."""
    return prctl(PR_SET_CHILD_SUBREAPER, 1)


def state(pid: int) -> tuple[bytes, int] | None:
    """Return (state letter, parent pid); None for a process that is gone."""
    fields = _stat(pid)
    return (fields[0], int(fields[1])) if fields else None


def session(pid: int) -> tuple[int, int] | None:
    """Return (session id, start time in ticks since the boot); None for a process that is gone."""
    fields = _stat(pid)
    return (int(fields[3]), int(fields[19])) if fields else None


def _stat(pid: int) -> list[bytes] | None:
    """Return the fields of /proc/<pid>/stat from the third (state) on, see proc(5); None for a process that is gone."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return file.read().rpartition(b")")[2].split()
    except OSError:
        return None


def children(pid: int) -> list[int]:
    found: list[int] = []
    try:
        for thread in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{thread}/children", "rb") as file:
                found += map(int, file.read().split())
    except OSError:
        pass
    return found


def children_by_scan(pid: int) -> list[int]:
    """Return the children of a process on a kernel without CONFIG_PROC_CHILDREN: look at all processes."""
    pids = (int(name) for name in os.listdir("/proc") if name.isdigit())
    return [other for other in pids if (found := state(other)) and found[1] == pid]


def below(pid: int) -> list[int]:
    """Return the children of a process, in the way that this kernel supports."""
    return children(pid) if os.path.exists(f"/proc/self/task/{os.getpid()}/children") else children_by_scan(pid)


def descendants(top: int | None = None) -> "Iterator[int]":
    """Yield each process below `top`, by default below this process.

    Each one is yielded before the processes below it are looked for.
    """
    if not os.path.isdir("/proc/self"):
        return
    todo = [top or os.getpid()]
    while todo:
        for pid in below(todo.pop()):
            yield pid
            todo.append(pid)


def count_descendants(most: int) -> int:
    """Return how many processes are below this one, but at most one more than `most`."""
    return sum(1 for _ in itertools.islice(descendants(), most + 1))


def everybodys_threads() -> int | None:
    """Return how many threads the whole system has; None where the system does not say."""
    try:
        with open("/proc/loadavg", "rb") as file:
            return int(file.read().split()[3].partition(b"/")[2]) or None
    except (OSError, ValueError, IndexError):
        return None
