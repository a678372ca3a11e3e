"""Locks between processes that the kernel frees when the holder dies.

`acquire` returns a `Held` as proof: a function that must not run without the lock takes a `Held` as an argument.
The lock file is never unlinked, because that would split the lock into two. Beside it stands a sidecar,
`<lock>.json`, which tells people who holds the lock. The sidecar decides nothing: if a killed holder left one, it is
ignored; if one cannot be written, there is none.
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


# A soft lock would outlive its holder. A version of filelock without the keyword never
# falls back to one.
_NEVER_SOFT: _Softness = (
    {"fallback_to_soft": False} if "fallback_to_soft" in inspect.signature(filelock.FileLock.__init__).parameters else {}
)


class Holder(TypedDict):
    """The content of a sidecar that is read; the sidecar also holds the rest of the holder's identity."""

    pid: int
    host: str
    command: str
    since: Annotated[float, msgspec.Meta(ge=0, le=1e11)]


class Held:
    """A lock that is held until the end of the `with` block, or until `release`."""

    def __init__(self, path: Path, lock: filelock.BaseFileLock) -> None:
        self.path = path
        self._lock = lock
        self.after_death = True
        """True if whoever held it before, and left something undone, has died; whoever gives it on may know better."""

    def release(self) -> None:
        """Free the lock; a second call does nothing."""
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

    `what` names the locked thing in the message. The lock is not reentrant: a second `acquire` in the same process
    contends too. Raises Contended, which says who holds the lock, and Infrastructure if the file cannot be locked,
    as on a file system without locks.
    """
    path = Path(path)
    modes.folder(str(path.parent))
    # Not thread-local: another thread than the one that took the lock may release it.
    lock = filelock.FileLock(path, timeout=timeout, mode=0o600, thread_local=False, **_NEVER_SOFT)
    try:
        lock.acquire(poll_interval=0.02)
    except filelock.Timeout:
        raise _contended(path, what) from None
    except (OSError, NotImplementedError) as error:
        raise Infrastructure(f"cannot lock {path}: {error}") from error
    held = Held(path, lock)
    try:
        # A full disk must not keep out the command that would free some space.
        with suppress(OSError):
            _write_sidecar(path)
    except BaseException:
        held.release()
        raise
    return held


def holder(path: str | os.PathLike[str]) -> Holder | None:
    """Return what the sidecar says of a living holder; None if it says nothing, or names a dead process.

    This is for people only: `acquire` alone can tell whether the lock is free.
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
    # Not by a rename: a kill would leave the temporary file. A half-written sidecar says nothing, which does no harm.
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
