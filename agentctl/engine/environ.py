"""The environment of this process: which variables a job gets, and hiding the others from jobs and logs."""

from __future__ import annotations

import ctypes
import functools
import os
from collections.abc import Iterable

from agentctl.core.policy import environment
from agentctl.core.text import secrets
from agentctl.engine.processes import LINUX, MARK
from agentctl.git import folders, process

SLACK = 8192
"""Bytes that are read before the wanted end of a log, so that a key which begins there is redacted as a whole."""


def given(*granted: Iterable[str]) -> dict[str, str]:
    """Return the variables of our environment that a job gets: see `core.policy.environment`."""
    return environment.allowed(process.child_environment(), *granted)


def tail(log: str, size: int) -> str:
    """Return at most `size` bytes of the end of a log, with keys redacted; empty if the log cannot be read."""
    begin = max(0, folders.size(log) - size - SLACK)
    text = folders.piece(log, begin, size + SLACK).decode(errors="replace")
    return redact(text).encode()[-size:].decode(errors="ignore")


def redact(text: str) -> str:
    """Redact the keys that `core.text.secrets` knows and those that our own environment holds."""
    return secrets.redact(text, environment.values(os.environ))


def missed(env: dict[str, str], output: str, key: str) -> str:
    """Return a clause that names the variables which a job mentions in its output and was not given.

    `env` is the environment of the job, and `key` the key of the policy that would let the variables in.
    The clause is empty if there are none.
    """
    names = environment.missed(process.child_environment(), env, output)
    if not names:
        return ""
    shown = ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
    return f"; its output speaks of {shown}, kept out of its environment unless {key} names it"


@functools.cache
def hide() -> None:
    """Blank the variables that jobs do not get in /proc/<pid>/environ of this process.

    A job can read there what the processes above it were started with. The process that started us may still
    show these variables.
    """
    if not LINUX:
        return
    with open("/proc/self/stat", "rb") as file:
        fields = file.read().rpartition(b")")[2].split()
    start, end = int(fields[47]), int(fields[48])
    if not start:
        return
    block = ctypes.string_at(start, end - start)
    for name, value in os.environb.items():
        # The C library copies the value; until now its pointers led into the block.
        os.environb[name] = value
    shown, place = {os.fsencode(name) for name in given()} | {MARK.encode()}, start
    for entry in block.split(b"\0"):
        name, _, value = entry.partition(b"=")
        if name not in shown:
            ctypes.memset(place + len(entry) - len(value), 0, len(value))
        place += len(entry) + 1
