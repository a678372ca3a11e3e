"""The process that holds a lock or a claim: its pid and start time, on one host, since one boot.

A pid alone is not enough: it may belong to another process by the time somebody looks at it.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping

from agentctl.engine.processes import LINUX, stat

Identity = dict[str, str | float]
"""The identity of a process: {pid, started, host, boot, space}, with values that JSON can hold, and home if it has one.

A home is the repository that the process works at, by an id of its own (`Hub.home`). It tells the machine before its last
boot from another one of the same name, which only a hub on a remote can hear of.
"""


def identity(pid: int | None = None, home: str = "") -> Identity:
    """Return the identity of this process, or of another; raise ProcessLookupError if there is no such process."""
    pid = os.getpid() if pid is None else pid
    started = _started(pid)
    if started is None:
        raise ProcessLookupError(pid)
    found: Identity = {"pid": pid, "started": started, "host": socket.gethostname(), "boot": _boot(), "space": _space()}
    return found | {"home": home} if home else found


def alive(who: Mapping[str, object], home: str = "") -> bool:
    """Tell whether the process of an identity runs; a zombie does not. True for one that is elsewhere."""
    if elsewhere(who, home):
        return True
    if who.get("boot") != _boot():
        return False
    pid = who.get("pid")
    started = _started(pid) if isinstance(pid, int) else None
    return started is not None and started == who.get("started")


def elsewhere(who: Mapping[str, object], home: str = "") -> bool:
    """Tell whether nobody here can know if the process of an identity runs.

    It is on another host, was started since this boot in another container or sandbox, or had another boot and not this
    `home`: then its host is another one of the same name, for all one knows.
    """
    if who.get("host") != socket.gethostname():
        return True
    if who.get("boot") != _boot():
        return bool(home) and who.get("home") != home
    return who.get("space") != _space()


def _started(pid: int) -> float | None:
    """Return when a process started; None if there is no such process, or if it is a zombie.

    On Linux this is in clock ticks since the boot: unlike a time of day they do not change when the clock is set.
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
    """Return a text that is different after every boot."""
    if LINUX:
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
            return file.read().strip()
    import psutil

    return str(round(psutil.boot_time(), -1))


def _space() -> str:
    """Return the PID namespace: in another namespace the same pids are other processes. Empty except on Linux."""
    return os.readlink("/proc/self/ns/pid") if LINUX else ""
