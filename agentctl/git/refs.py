"""Refs: how they are read, with what they name, and begun to be written."""

from __future__ import annotations

import contextlib
import logging
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from agentctl.core import refnames
from agentctl.core.text.printable import printable
from agentctl.errors import Infrastructure, Malformed
from agentctl.git import ref_files, transactions
from agentctl.git.objects import Objects
from agentctl.git.process import run
from agentctl.git.ref_files import Names, Odd
from agentctl.git.station import Station
from agentctl.git.store import ObjectError
from agentctl.git.transactions import Blocked, Gone, Move, Transaction

log = logging.getLogger(__name__)
LARGEST = 1 << 20
"""Bytes of the largest tag or commit that is read when a ref names it."""


@dataclass(frozen=True, slots=True)
class Ref:
    name: str
    oid: str
    kind: str
    """One of commit, tag, tree and blob."""
    target: str
    """The object that a tag points to; `oid` itself for anything else."""
    subject: str
    target_kind: str = ""
    """The kind of the object that a tag points to, by that object itself.

    It is empty if that object cannot be read, and for everything that is not a tag.
    """


@dataclass(frozen=True, slots=True)
class Listing:
    refs: dict[str, Ref]
    odd: dict[str, str]
    """The same as in `Names`, and also the refs whose object cannot be read."""


OBSTACLES = 5
"""How often a transaction is tried again, of which refs in the wrong place or a `git gc` are in the way."""


@dataclass(frozen=True, slots=True)
class Refs:
    """The refs of a hub: the rest of agentctl learns of refs only through this class.

    It reads the refs where Git keeps them, and writes them through Git itself. If the hub stands on a remote, these are
    the refs of the remote as of the last look (`git.station`), and a transaction is a push.
    """

    git_dir: str
    objects: Objects
    station: Station | None = None

    def names(self, prefixes: Iterable[str]) -> Names:
        """Return the refs at or under `prefixes`, and what is odd there."""
        return self.station.names(prefixes) if self.station else ref_files.names(self.git_dir, prefixes)

    def scan(self, prefixes: Iterable[str]) -> Listing:
        """Return the refs at or under `prefixes` with the objects that they name, and what is odd there."""
        listed = self.names(prefixes)
        return described(listed, self.objects) if listed.oids else Listing({}, listed.odd)

    def settled(self, prefixes: Iterable[str]) -> Listing:
        """Return what `scan` returns, of which only that is odd which a second look finds odd too.

        A ref that was deleted between the listing and the reading is not odd.
        """
        prefixes = list(prefixes)
        found = self.scan(prefixes)
        if not found.odd:
            return found
        again = self.scan(prefixes)
        return Listing(again.refs, {name: why for name, why in again.odd.items() if name in found.odd})

    def read(self, prefixes: Iterable[str]) -> dict[str, Ref]:
        """Return the refs at or under `prefixes`, by full name.

        Raises Infrastructure if one of them is broken, because a broken ref must not look like a deleted one.
        """
        found = self.settled(prefixes)
        if found.odd:
            broken = [f"broken ref {printable(name)}: {why}" for name, why in found.odd.items()]
            raise Infrastructure("; ".join(broken), hint="agentctl doctor")
        return found.refs

    def get(self, name: str) -> str | None:
        """Return the object id of one ref, or None.

        A plain name is looked up in process in the way that Git does it: first in its own file, else in packed-refs.
        Raises Infrastructure if something else is in its place.
        """
        if self.station and (found := self.station.pending(name)):
            return found.new
        here = self.local(name)
        if not ref_files.PLAIN.fullmatch(here):
            done = run(["rev-parse", "--verify", "--quiet", "--end-of-options", here], git_dir=self.git_dir, ok=(0, 1))
            return done.stdout.decode().strip() or None
        try:
            return ref_files.loose(self.git_dir, here)
        except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
            return ref_files.packed(self.git_dir, here)
        except Odd as error:
            raise Infrastructure(f"broken ref {name}: {error}", hint="agentctl doctor") from None

    def local(self, name: str) -> str:
        """Return the name in this repository of a ref of the hub, or of a folder of refs."""
        return self.station.local(name) if self.station else name

    def packed(self, name: str) -> str | None:
        """Return what packed-refs alone says of one ref, or None."""
        return ref_files.packed(self.git_dir, self.local(name))

    def set_aside(self, name: str, oid: str) -> str:
        """Have a salvage ref hold what a ref holds, delete that ref, and return the salvage ref's name."""
        held = self.names([refnames.FOUND]).oids
        kept = transactions.found_name(held, oid)
        log.debug("%s is set aside; what it held is %s", name, kept)
        first, second = self.transaction("set aside"), self.transaction("set aside")
        first.delete(name, oid)
        if kept not in held:
            # What stands in the place of a folder of salvage refs has to go before there can be one.
            (second if kept.startswith(name + "/") else first).create(kept, oid)
        first.commit()
        second.commit()
        return kept

    def transaction(self, message: str) -> Transaction:
        """Return an empty transaction; `message` is for the reflogs."""
        return Transaction(message, self._carry_out)

    def _carry_out(self, moves: list[Move], message: str) -> None:
        for _ in range(OBSTACLES):
            try:
                return self._once(moves, message)
            except Gone:
                if not self.objects.store.rescue():
                    raise
            except Blocked as error:
                if not self._make_way(str(error.values["ref"])):
                    raise
        self._once(moves, message)

    def _once(self, moves: list[Move], message: str) -> None:
        if self.station:
            self.station.publish(moves, message)
        else:
            transactions.carry_out(self.git_dir, moves, message)

    def _make_way(self, ref: str) -> bool:
        """Set aside the refs that are in the way of `ref`; return whether there were any."""
        names = self.names([refnames.ROOT.rstrip("/")]).oids
        blocking = [
            name for name in names if refnames.in_the_way(name) and (ref.startswith(name + "/") or name.startswith(ref + "/"))
        ]
        for name in blocking:
            self.set_aside(name, names[name])
        return bool(blocking)

    # What follows differs only where the hub stands on a remote.

    def refresh(self, at_most: float = 0.0) -> None:
        """Look at the remote that the hub stands on, unless somebody here did within `at_most` seconds; raise Away."""
        if self.station:
            self.station.refresh(at_most)

    def together(self) -> contextlib.AbstractContextManager[None]:
        """Carry out all transactions of this thread in the context at its end, by one push.

        Inside, refs read as if they were carried out. If an exception leaves the context, none is. What the push raises
        is raised at the end: what `Transaction.commit` raises, and Away or Declined.
        """
        return self.station.together() if self.station else contextlib.nullcontext()

    def once_settled(self, act: Callable[[bool], None]) -> None:
        """Call `act` when it is settled whether what this thread has written is carried out, and tell it."""
        if self.station:
            self.station.once_settled(act)
        else:
            act(True)


def described(listed: Names, objects: Objects) -> Listing:
    """Describe what refs name; a ref whose object cannot be read is odd."""
    found, odd = {}, dict(listed.odd)
    for name, oid in sorted(listed.oids.items()):
        try:
            found[name] = describe(objects, name, oid)
        except ObjectError as error:
            odd[name] = error.message
    return Listing(found, odd)


def describe(objects: Objects, name: str, oid: str) -> Ref:
    """Describe what one ref names, or raise ObjectError."""
    kind, size = objects.store.head(oid)
    if kind in ("tree", "blob") or size > LARGEST:
        return Ref(name, oid, kind, oid, "")
    head, _, message = objects.store.read(oid)[1].partition(b"\n\n")
    subject = _subject(message)
    if kind == "commit":
        return Ref(name, oid, kind, oid, subject)
    named = _TAGGED.match(head)
    if not named:
        raise ObjectError(oid=oid, why="a tag that names no object")
    target = named[1].decode()
    try:
        return Ref(name, oid, kind, target, subject, objects.store.head(target)[0])
    except ObjectError:
        return Ref(name, oid, kind, target, subject)


def _subject(message: bytes) -> str:
    """Return the first paragraph of a message on one line, as Git shows it."""
    return message.lstrip(b"\n").partition(b"\n\n")[0].strip(b"\n").replace(b"\n", b" ").decode(errors="replace")


@contextlib.contextmanager
def decoding(name: str) -> Iterator[None]:
    """Turn whatever is wrong with the content of a ref, read in the context, into Malformed with the ref's name."""
    try:
        yield
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError, ObjectError) as error:
        raise Malformed(ref=name, why=printable(str(error), 300)) from error


_TAGGED = re.compile(rb"object ([0-9a-f]{40})\ntype ")
