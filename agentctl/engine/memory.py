"""The memory of a process that runs for days with many threads."""

from __future__ import annotations

import contextlib
import ctypes

ARENAS, LARGE = 2, 1 << 17
"""The arenas that all threads share, and the bytes from which on a block has pages of its own."""
_ARENA_MAX, _MMAP_THRESHOLD, _TRIM_THRESHOLD = -8, -3, -1
"""Parameters of mallopt(3)."""


def give_back() -> None:
    """Have the C library give memory back that is freed; called before a process starts its threads.

    By itself glibc makes an arena for nearly each thread, and raises the size from which on it maps a block up to 32 MiB as
    such blocks are freed. What sessions' threads read and drop then stays in holes of arenas: a supervisor of 200 agents grew
    by 6 MiB a minute, and of the 239 MiB of one of 100 agents Python held 32. Other C libraries have no mallopt, or ignore it.
    """
    with contextlib.suppress(AttributeError, OSError):
        mallopt = ctypes.CDLL(None).mallopt
        for parameter, value in ((_ARENA_MAX, ARENAS), (_MMAP_THRESHOLD, LARGE), (_TRIM_THRESHOLD, LARGE)):
            mallopt(parameter, value)
