"""Which processes are below which, from Linux' /proc; elsewhere none are known.

Imported by the guard, too, which has nothing but the standard library.
"""

import itertools
import os


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
    """Each of them, before what is below it is looked for."""
    if not os.path.isdir("/proc/self"):
        return
    me = os.getpid()
    listed = os.path.exists(f"/proc/self/task/{me}/children")
    below = children if listed else children_by_scan
    todo = [me]
    while todo:
        for pid in below(todo.pop()):
            yield pid
            todo.append(pid)


def count_descendants(most):
    """How many there are, or one more than `most`."""
    return sum(1 for _ in itertools.islice(descendants(), most + 1))


def everybodys_threads():
    """How many threads the whole system has; None where that is not told."""
    try:
        with open("/proc/loadavg", "rb") as file:
            return int(file.read().split()[3].partition(b"/")[2]) or None
    except (OSError, ValueError, IndexError):
        return None
