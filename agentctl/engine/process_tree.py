"""Which processes are below which, from Linux' /proc; elsewhere none are known.

Imported by the guard, too, which has nothing but the standard library.
"""

import ctypes
import itertools
import os

TYPE_CHECKING = False
"""As typing has it, which takes milliseconds to import."""
if TYPE_CHECKING:
    from collections.abc import Iterator

PR_SET_CHILD_SUBREAPER = 36


def prctl(option: int, value: int) -> bool:
    """True if the kernel knows the option."""
    try:
        status: int = ctypes.CDLL(None).prctl(option, value, 0, 0, 0)
    except (OSError, AttributeError):
        return False
    return status == 0


def adopt() -> bool:
    """Become the parent of those whose own parent, somewhere below, dies; True if the kernel knows of this."""
    return prctl(PR_SET_CHILD_SUBREAPER, 1)


def state(pid: int) -> tuple[bytes, int] | None:
    """(state letter, parent pid) or None for a process that is gone."""
    fields = _stat(pid)
    return (fields[0], int(fields[1])) if fields else None


def session(pid: int) -> tuple[int, int] | None:
    """(the id of its session, when it started in ticks since the boot); None for a process that is gone."""
    fields = _stat(pid)
    return (int(fields[3]), int(fields[19])) if fields else None


def _stat(pid: int) -> list[bytes] | None:
    """The fields of /proc/<pid>/stat from the third (state) on, see proc(5); None for a process that is gone."""
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
    """For kernels without CONFIG_PROC_CHILDREN."""
    pids = (int(name) for name in os.listdir("/proc") if name.isdigit())
    return [other for other in pids if (found := state(other)) and found[1] == pid]


def below(pid: int) -> list[int]:
    """Its children, by whatever this kernel tells."""
    return children(pid) if os.path.exists(f"/proc/self/task/{os.getpid()}/children") else children_by_scan(pid)


def descendants(top: int | None = None) -> "Iterator[int]":
    """Each of them, before what is below it is looked for; of this process, unless `top` is another."""
    if not os.path.isdir("/proc/self"):
        return
    todo = [top or os.getpid()]
    while todo:
        for pid in below(todo.pop()):
            yield pid
            todo.append(pid)


def count_descendants(most: int) -> int:
    """How many there are, or one more than `most`."""
    return sum(1 for _ in itertools.islice(descendants(), most + 1))


def everybodys_threads() -> int | None:
    """How many threads the whole system has; None where that is not told."""
    try:
        with open("/proc/loadavg", "rb") as file:
            return int(file.read().split()[3].partition(b"/")[2]) or None
    except (OSError, ValueError, IndexError):
        return None
