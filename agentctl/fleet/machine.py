"""What this machine has left."""

from __future__ import annotations

import contextlib
import os
import shutil

from agentctl.core.tasks.headroom import Machine


def seen(folder: str) -> Machine:
    """Return what is left, of the disk where `folder` is or will be."""
    while not os.path.isdir(folder) and folder != os.path.dirname(folder):
        folder = os.path.dirname(folder)
    load = os.getloadavg()[0] / (os.cpu_count() or 1)
    return Machine(shutil.disk_usage(folder).free, _memory(), load)


def _memory() -> int | None:
    with contextlib.suppress(OSError, ValueError, IndexError), open("/proc/meminfo") as file:
        for line in file:
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) << 10
    return None
