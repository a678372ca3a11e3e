"""Our own environment: what of it a job gets, and what of it is seen elsewhere."""

from __future__ import annotations

import ctypes
import functools
import os
from collections.abc import Iterable

from agentctl.core.policy import environment
from agentctl.core.text import secrets
from agentctl.engine.processes import LINUX, MARK
from agentctl.git import process

SLACK = 8192
"""Bytes before the end of a log that is told: a key that begins there is a whole one still."""


def given(*granted: Iterable[str]) -> dict[str, str]:
    """What a job gets of our environment: see `core.policy.environment`."""
    return environment.allowed(process.child_environment(), *granted)


def tail(log: str, size: int) -> str:
    """At most `size` bytes of the end of a log, with keys redacted; empty if there is none."""
    try:
        with open(log, "rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - size - SLACK))
            text = file.read().decode(errors="replace")
    except OSError:
        return ""
    return redact(text).encode()[-size:].decode(errors="ignore")


def redact(text: str) -> str:
    """Without the keys that `core.text.secrets` knows, or that our own environment holds."""
    return secrets.redact(text, environment.values(os.environ))


def missed(env: dict[str, str], output: str, key: str) -> str:
    """A clause on the variables that a job with environment `env` speaks of and was not given;
    `key` is the policy's that would let them in. Empty if there are none."""
    names = environment.missed(process.child_environment(), env, output)
    if not names:
        return ""
    shown = ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
    return f"; its output speaks of {shown}, kept out of its environment unless {key} names it"


@functools.cache
def hide() -> None:
    """Empty, in /proc/<pid>/environ of this process, the variables that jobs do not get: a job
    reads what its parents were started with. Whoever started us may show it still."""
    if not LINUX:
        return
    with open("/proc/self/stat", "rb") as file:
        fields = file.read().rpartition(b")")[2].split()
    start, end = int(fields[47]), int(fields[48])
    if not start:
        return
    block = ctypes.string_at(start, end - start)
    for name, value in os.environb.items():
        # The C library copies the value: its own pointers led into the block until now.
        os.environb[name] = value
    shown, place = {os.fsencode(name) for name in given()} | {MARK.encode()}, start
    for entry in block.split(b"\0"):
        name, _, value = entry.partition(b"=")
        if name not in shown:
            ctypes.memset(place + len(entry) - len(value), 0, len(value))
        place += len(entry) + 1
