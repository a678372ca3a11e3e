"""Writing refs: the only way is a transaction with expected old values.

A transaction over several refs is all or nothing against other writers, but not against a kill: after a kill, some refs
may have moved and others not. Callers order their effects so that the next start can finish them.
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from agentctl.core import refnames
from agentctl.core.text.printable import printable
from agentctl.errors import AgentctlError, Contended
from agentctl.git import ref_files, stale_locks
from agentctl.git.process import GitError, run

T = TypeVar("T")

log = logging.getLogger(__name__)
ZERO = "0" * 40
OBSTACLES = 5
"""How often a transaction is tried again, of which refs in the wrong place or a `git gc` are in the way."""


@dataclass(slots=True)
class Transaction:
    """A collection of ref updates; `commit` applies all of them or none."""

    git_dir: str
    message: str
    rescue: Callable[[], bool] = lambda: False
    """Write again, safe from `git gc`, what the caller has just written, and tell whether there was anything."""
    _lines: list[str] = field(default_factory=list)

    def create(self, ref: str, new: str) -> None:
        self._lines.append(f"create {ref}\0{new}\0")

    def update(self, ref: str, new: str, old: str | None) -> None:
        """Move `ref` from `old` (None: it does not exist) to `new`."""
        self._lines.append(f"update {ref}\0{new}\0{old or ZERO}\0")

    def delete(self, ref: str, old: str) -> None:
        self._lines.append(f"delete {ref}\0{old}\0")

    def leave_out(self, ref: str) -> None:
        """Take out whatever was to be done with a ref."""
        self._lines = [line for line in self._lines if line.partition("\0")[0].partition(" ")[2] != ref]

    def named(self, prefix: str) -> list[str]:
        """List the refs in this transaction whose names begin with `prefix`."""
        names = (line.partition("\0")[0].partition(" ")[2] for line in self._lines)
        return [name for name in names if name.startswith(prefix)]

    def __bool__(self) -> bool:
        return bool(self._lines)

    def commit(self) -> None:
        """Apply all updates, or none.

        A ref that stands where the protocol has a folder, or below a ref of the protocol, is moved out of the way. New
        objects that a `git gc` took before a ref named them are written again.

        Raises Contended if a ref did not have its expected value or is locked by a living Git, and Blocked if something
        else is in the way of a ref. Where Git names the ref, the error has it as its value `ref`.
        """
        if not self._lines:
            return
        for _ in range(OBSTACLES):
            try:
                return self._apply()
            except Gone:
                if not self.rescue():
                    raise
            except Blocked as error:
                if not _make_way(self.git_dir, str(error.values["ref"])):
                    raise
        self._apply()

    def _apply(self) -> None:
        # Without `start` and `commit`, Git carries out what it has read when its input ends, and a kill of agentctl may
        # end the input anywhere.
        told = "".join(["start\0", *self._lines, "commit\0"])
        log.debug(
            "transaction %s: %s", self.message, "; ".join(printable(line.rstrip("\0").replace("\0", " ")) for line in self._lines)
        )
        try:
            stale_locks.retrying(
                self.git_dir,
                lambda: run(
                    ["update-ref", "--no-deref", "-m", "agentctl: " + self.message, "-z", "--stdin"],
                    git_dir=self.git_dir,
                    stdin=os.fsencode(told),
                ),
            )
        except GitError as error:
            raise _explained(error) from error


def retrying(tries: int, act: Callable[[], T]) -> T:
    """Return what `act` returns: it reads refs, and writes what follows from them with expected old values.

    If somebody else was there first, it is done again. Raise Contended after that many tries.
    """
    for _ in range(tries - 1):
        with contextlib.suppress(Contended):
            return act()
    return act()


class Gone(Contended):
    """{message}"""  # noqa: D400, D415

    # A `git gc` took an object before a ref named it, or somebody names one that never was.


class Blocked(AgentctlError):
    """the ref {ref} cannot be written: {why}"""  # noqa: D400, D415

    code = "blocked"
    hint = "agentctl doctor"


def found_name(held: Mapping[str, str], oid: str) -> str:
    """Return the name of a salvage ref for an object that a ref held in the wrong place; `held` are those that there are."""
    numbers = [int(n) for n in (name.removeprefix(refnames.FOUND) for name in held) if n.isdecimal()]
    return next((name for name, kept in held.items() if kept == oid), f"{refnames.FOUND}{max([0, *numbers]) + 1}")


def set_aside(git_dir: str, name: str, oid: str) -> str:
    """Have a salvage ref hold what a ref holds, delete that ref, and return the salvage ref's name."""
    held = ref_files.names(git_dir, [refnames.FOUND]).oids
    kept = found_name(held, oid)
    log.debug("%s is set aside; what it held is %s", name, kept)
    first, second = Transaction(git_dir, "set aside"), Transaction(git_dir, "set aside")
    first.delete(name, oid)
    if kept not in held:
        # What stands in the place of a folder of salvage refs has to go before there can be one.
        (second if kept.startswith(name + "/") else first).create(kept, oid)
    first.commit()
    second.commit()
    return kept


def _make_way(git_dir: str, ref: str) -> bool:
    """Set aside the refs that are in the way of `ref`; return whether there were any."""
    names = ref_files.names(git_dir, [refnames.ROOT.rstrip("/")]).oids
    blocking = [
        name for name in names if refnames.in_the_way(name) and (ref.startswith(name + "/") or name.startswith(ref + "/"))
    ]
    for name in blocking:
        set_aside(git_dir, name, names[name])
    return bool(blocking)


def _explained(error: GitError) -> Exception:
    named = re.search(r" ref '(refs/[^']+)'", error.stderr)
    ref = named[1] if named else ""
    contended = ("is at ", "already exists", "unable to resolve reference", "File exists", "reference is missing", "but expected")
    if "nonexistent object" in error.stderr:
        return Gone("contended: " + error.stderr, ref=ref)
    if any(sign in error.stderr for sign in contended):
        return Contended("contended: " + error.stderr, ref=ref)
    return Blocked(ref=ref, why=error.stderr) if ref else error
