"""Locks between processes that the kernel frees when the holder dies.

`acquire` returns the proof: a function that must not run without the lock takes a
`Held` as an argument. The lock file is never unlinked, which would split the lock
into two; beside it, `<lock>.json` tells people who holds it. The sidecar decides
nothing: one that a killed holder left behind is ignored, and one that cannot be written is left out.
"""

from __future__ import annotations

import inspect
import json
import os
import shlex
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Annotated, TypedDict

import filelock
import msgspec

from agentctl.core.text.json_form import Plain, load
from agentctl.engine.owner import alive, identity
from agentctl.errors import Contended, Infrastructure
from agentctl.git import folders, modes


class _Softness(TypedDict, total=False):
    fallback_to_soft: bool


# A version without the keyword never falls back to a soft lock, which would
# outlive its holder.
_NEVER_SOFT: _Softness = (
    {"fallback_to_soft": False} if "fallback_to_soft" in inspect.signature(filelock.FileLock.__init__).parameters else {}
)


class Holder(TypedDict):
    """What a sidecar says, beside the rest of the holder's identity."""

    pid: int
    host: str
    command: str
    since: Annotated[float, msgspec.Meta(ge=0, le=1e11)]


class Held:
    """A lock that is held until the end of the `with` block, or `release`."""

    def __init__(self, path: Path, lock: filelock.BaseFileLock) -> None:
        self.path = path
        self._lock = lock

    def release(self) -> None:
        """Free the lock; again does nothing."""
        if self._lock.is_locked:
            with suppress(OSError):
                _sidecar(self.path).unlink()
            self._lock.release()

    def __enter__(self) -> Held:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


def acquire(path: str | os.PathLike[str], what: str, timeout: float = 0) -> Held:
    """Take the lock of a path, waiting at most `timeout` seconds.

    `what` names what is locked, for the message. Not reentrant: a second acquire
    in the same process contends, too. Raises Contended, saying who holds it, and
    Infrastructure where the file system has no locks.
    """
    path = Path(path)
    modes.folder(str(path.parent))
    # Not thread-local: the proof may be released by another thread than its taker.
    lock = filelock.FileLock(path, timeout=timeout, mode=0o600, thread_local=False, **_NEVER_SOFT)
    try:
        lock.acquire(poll_interval=0.02)
    except filelock.Timeout:
        raise _contended(path, what) from None
    except (OSError, NotImplementedError) as error:
        raise Infrastructure(f"cannot lock {path}: {error}") from error
    held = Held(path, lock)
    try:
        # A full disk must not keep out the command that frees some.
        with suppress(OSError):
            _write_sidecar(path)
    except BaseException:
        held.release()
        raise
    return held


def holder(path: str | os.PathLike[str]) -> Holder | None:
    """What the sidecar says of a living holder.

    None if it says nothing, or of a dead one. For people only: whether the lock is
    free `acquire` alone can tell.
    """
    try:
        said = folders.content(str(_sidecar(Path(path)))) or b""
        return load(Holder, said) if alive(load(Plain, said)) else None
    except (OSError, ValueError, TypeError, KeyError):
        return None


def _sidecar(path: Path) -> Path:
    return path.with_name(path.name + ".json")


def _write_sidecar(path: Path) -> None:
    said = identity() | {"command": shlex.join(sys.orig_argv), "since": time.time()}
    # Half of it says nothing, which does no harm; a file to be renamed would be left by a kill.
    modes.write(str(_sidecar(path)), json.dumps(said, sort_keys=True) + "\n")


def _contended(path: Path, what: str) -> Contended:
    said = holder(path)
    if said is None:
        return Contended(f"{what} is locked by another process ({path})", hint="run the same command again in a moment")
    command = "".join(c if c.isprintable() else "?" for c in said["command"])
    host = "".join(c if c.isprintable() else "?" for c in said["host"])
    since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(said["since"]))
    return Contended(
        f"{what} is locked by process {said['pid']} on {host} since {since}: {command}",
        hint=f"wait until it ends, or stop it on {host}: kill {said['pid']}",
    )
