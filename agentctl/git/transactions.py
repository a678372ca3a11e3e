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
from agentctl.git import stale_locks
from agentctl.git.process import GitError, run

T = TypeVar("T")

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Move:
    """One ref that is to go from one value to another; None for a ref that does not exist."""

    ref: str
    old: str | None
    new: str | None

    @property
    def line(self) -> str:
        """The move as `git update-ref -z --stdin` reads it."""
        if self.new is None:
            return f"delete {self.ref}\0{self.old}\0"
        return f"update {self.ref}\0{self.new}\0{self.old}\0" if self.old else f"create {self.ref}\0{self.new}\0"


@dataclass(slots=True)
class Transaction:
    """A collection of moves of refs; `commit` carries out all of them or none."""

    message: str
    carry_out: Callable[[list[Move], str], None]
    """Carry out moves, with a message for the reflogs, or raise what `commit` raises."""
    _moves: list[Move] = field(default_factory=list)

    def create(self, ref: str, new: str) -> None:
        self._moves.append(Move(ref, None, new))

    def update(self, ref: str, new: str, old: str | None) -> None:
        """Move `ref` from `old` (None: it does not exist) to `new`."""
        self._moves.append(Move(ref, old, new))

    def delete(self, ref: str, old: str) -> None:
        self._moves.append(Move(ref, old, None))

    def leave_out(self, ref: str) -> None:
        """Take out whatever was to be done with a ref."""
        self._moves = [move for move in self._moves if move.ref != ref]

    def named(self, prefix: str) -> list[str]:
        """List the refs in this transaction whose names begin with `prefix`."""
        return [move.ref for move in self._moves if move.ref.startswith(prefix)]

    def __bool__(self) -> bool:
        return bool(self._moves)

    def commit(self) -> None:
        """Carry out all moves, or none.

        A ref that stands where the protocol has a folder, or below a ref of the protocol, is moved out of the way. New
        objects that a `git gc` took before a ref named them are written again.

        Raises Contended if a ref did not have its expected value or is locked by a living Git, and Blocked if something
        else is in the way of a ref. Where Git names the ref, the error has it as its value `ref`.
        """
        if self._moves:
            self.carry_out(self._moves, self.message)


def carry_out(git_dir: str, moves: list[Move], message: str) -> None:
    """Carry out moves of refs in one repository, or raise what `Transaction.commit` raises."""
    # Without `start` and `commit`, Git carries out what it has read when its input ends, and a kill of agentctl may
    # end the input anywhere.
    told = "".join(["start\0", *(move.line for move in moves), "commit\0"])
    log.debug("transaction %s: %s", message, "; ".join(printable(move.line.rstrip("\0").replace("\0", " ")) for move in moves))
    try:
        stale_locks.retrying(
            git_dir,
            lambda: run(
                ["update-ref", "--no-deref", "-m", "agentctl: " + message, "-z", "--stdin"],
                git_dir=git_dir,
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


def _explained(error: GitError) -> Exception:
    named = re.search(r" ref '(refs/[^']+)'", error.stderr)
    ref = named[1] if named else ""
    contended = ("is at ", "already exists", "unable to resolve reference", "File exists", "reference is missing", "but expected")
    if "nonexistent object" in error.stderr:
        return Gone("contended: " + error.stderr, ref=ref)
    if any(sign in error.stderr for sign in contended):
        return Contended("contended: " + error.stderr, ref=ref)
    return Blocked(ref=ref, why=error.stderr) if ref else error
