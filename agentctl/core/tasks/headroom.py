"""Whether the machine has room for another session."""

from __future__ import annotations

from dataclasses import dataclass

from agentctl.core.policy.policy import Headroom


@dataclass(frozen=True, slots=True)
class Machine:
    """What the machine has left."""

    disk: int
    """Bytes that are free where the worktrees are."""
    memory: int | None
    """Bytes that can be used without swapping; None if the system does not tell."""
    load: float
    """How many processes wanted to run in the last minute, for each processor."""


def lacking(least: Headroom, machine: Machine) -> str:
    """Return what the machine is short of, in words; empty if there is room."""
    if machine.disk < least.disk:
        return f"only {_size(machine.disk)} of disk are free, and agents.headroom.disk is {_size(least.disk)}"
    if machine.memory is not None and machine.memory < least.memory:
        return f"only {_size(machine.memory)} of memory are left, and agents.headroom.memory is {_size(least.memory)}"
    if least.load and machine.load > least.load:
        return f"{machine.load:.1f} processes want each processor, and agents.headroom.load is {least.load:g}"
    return ""


def _size(count: int) -> str:
    return f"{count / (1 << 30):.1f} GiB" if count >= 1 << 30 else f"{count >> 20} MiB"
