"""The messages between `local` and its guards; the guard imports these types for type checking only."""

from __future__ import annotations

from typing import TypedDict


class GuardRequest(TypedDict):
    """The fields of `Job` that the guard needs; file names, and what the command is given, are bytes."""

    argv: list[bytes]
    cwd: bytes
    env: dict[bytes, bytes]
    """It includes the mark."""
    stdin: bytes
    timeout: float | None
    grace: float
    memory: int
    output: int
    file_size: int
    open_files: int
    processes: int


class GuardReport(TypedDict):
    """The fields of `JobEnded`."""

    exit: int | None
    signal: int | None
    reason: str
    message: str
    seconds: float
    cpu: float
    survivors: int
    maxrss: int
