"""Who holds a lock or a claim: a process, by its pid and start time, on a host since a boot. A pid alone may be another
process by the time it is looked at."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping

from agentctl.engine.processes import LINUX, stat

Identity = dict[str, str | float]
"""Who a process is: {pid, started, host, boot, space}, fit for JSON."""


def identity(pid: int | None = None) -> Identity:
    """Of this process, or another. Raises ProcessLookupError if there is none."""
    pid = os.getpid() if pid is None else pid
    started = _started(pid)
    if started is None:
        raise ProcessLookupError(pid)
    return {"pid": pid, "started": started, "host": socket.gethostname(), "boot": _boot(), "space": _space()}


def alive(who: Mapping[str, object]) -> bool:
    """Whether the process of an identity runs; True for one of another host or, since
    this boot, of another container or sandbox, as nobody here can know. A zombie is
    dead."""
    if who.get("host") != socket.gethostname():
        return True
    if who.get("boot") != _boot():
        return False
    if who.get("space") != _space():
        return True
    pid = who.get("pid")
    started = _started(pid) if isinstance(pid, int) else None
    return started is not None and started == who.get("started")


def _started(pid: int) -> float | None:
    """When a process that is no zombie started, None if there is none.

    Clock ticks since the boot on Linux: unlike a time of day they do not move when
    the clock is set.
    """
    if LINUX:
        fields = stat(pid)
        return None if fields is None or fields[0] in "ZX" else float(fields[19])
    import psutil

    try:
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else process.create_time()
    except psutil.Error:
        return None


def _boot() -> str:
    """Differs after every boot."""
    if LINUX:
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
            return file.read().strip()
    import psutil

    return str(round(psutil.boot_time(), -1))


def _space() -> str:
    """The PID namespace: inside another one the same pids are other processes."""
    return os.readlink("/proc/self/ns/pid") if LINUX else ""
