"""The caches that glibc keeps for each thread, up to a quarter of a MiB of freed memory, and never gives back.

A supervisor has a thread for each session, so they make up a third of its memory, and it grows for as long as they fill: of 77
MiB with 200 agents, 24 after five minutes. glibc reads this setting only when a process starts. So a command that lives long
with many threads starts once more, before anything is imported.
"""

from __future__ import annotations

import os
import sys

VARIABLE, SETTING = "GLIBC_TUNABLES", "glibc.malloc.tcache_count=0"
LONG_LIVED = {"run", "worker"}
"""The words by which such a command is known; it does no harm if another one has them."""


def do_without(args: list[str]) -> None:
    """Start this process anew without such caches if it is to run a command that lives long; what it starts has them."""
    given = os.environ.get(VARIABLE, "")
    before, _, last = given.rpartition(":")
    if last == SETTING:
        _set(before)
    elif LONG_LIVED.intersection(args) and sys.executable and "CS_GNU_LIBC_VERSION" in os.confstr_names:
        _set(f"{given}:{SETTING}" if given else SETTING)
        try:
            os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])
        except OSError:
            _set(given)


def _set(value: str) -> None:
    if value:
        os.environ[VARIABLE] = value
    else:
        os.environ.pop(VARIABLE, None)
