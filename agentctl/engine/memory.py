"""The memory of a process that runs for days with many threads."""

from __future__ import annotations

import contextlib
import ctypes
import time

ARENAS, LARGE = 2, 1 << 17
"""The arenas that all threads share, and the bytes from which on a block has pages of its own."""
_ARENA_MAX, _MMAP_THRESHOLD, _TRIM_THRESHOLD = -8, -3, -1
"""Parameters of mallopt(3)."""
EVERY = 60.0
"""Seconds between two times that free pages are given back."""


class GivingBack:
    """Has the C library give memory back that is freed; made before a process starts its threads.

    By itself glibc makes an arena for nearly each thread, and raises the size from which on it maps a block up to 32 MiB as
    such blocks are freed. What sessions' threads read and drop then stays in holes of arenas: a supervisor of 200 agents grew
    by 6 MiB a minute, and of the 239 MiB of one of 100 agents Python held 32. It gives back the end of an arena only, so
    pages that are free in the middle are given back once in a while. Other C libraries have no such calls, or ignore them.
    """

    def __init__(self) -> None:
        self._next = 0.0
        with contextlib.suppress(AttributeError, OSError):
            mallopt = ctypes.CDLL(None).mallopt
            for parameter, value in ((_ARENA_MAX, ARENAS), (_MMAP_THRESHOLD, LARGE), (_TRIM_THRESHOLD, LARGE)):
                mallopt(parameter, value)

    def turn(self) -> None:
        """Give back what is free, if that is due."""
        if time.monotonic() < self._next:
            return
        self._next = time.monotonic() + EVERY
        with contextlib.suppress(AttributeError, OSError):
            ctypes.CDLL(None).malloc_trim(0)
