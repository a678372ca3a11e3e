"""What passes between `local` and its guards. The guard itself, which imports nothing of this project, knows it by type only."""

from __future__ import annotations

from typing import TypedDict


class GuardRequest(TypedDict):
    """The fields of `Job`; what names files, and what the command is given, as bytes."""

    argv: list[bytes]
    cwd: bytes
    env: dict[bytes, bytes]
    """The mark is in it."""
    stdin: bytes
    timeout: float | None
    grace: float
    memory: int
    output: int
    file_size: int
    processes: int


class GuardReport(TypedDict):
    """The fields of `Ended`."""

    exit: int | None
    signal: int | None
    reason: str
    message: str
    seconds: float
    cpu: float
    survivors: int
    maxrss: int
