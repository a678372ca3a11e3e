"""Refs: how they are read, with what they name, and begun to be written."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from agentctl.core.text.printable import printable
from agentctl.errors import Infrastructure, Malformed
from agentctl.git import ref_files, transactions
from agentctl.git.objects import Objects
from agentctl.git.process import run
from agentctl.git.ref_files import Names, Odd
from agentctl.git.store import ObjectError
from agentctl.git.transactions import Transaction

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


@dataclass(frozen=True, slots=True)
class Refs:
    """The refs of one repository: the rest of agentctl learns of refs only through this class.

    It reads the refs where Git keeps them, and writes them through Git itself.
    """

    git_dir: str
    objects: Objects

    def names(self, prefixes: Iterable[str]) -> Names:
        """Return the refs at or under `prefixes`, and what is odd there."""
        return ref_files.names(self.git_dir, prefixes)

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
        if not ref_files.PLAIN.fullmatch(name):
            done = run(["rev-parse", "--verify", "--quiet", "--end-of-options", name], git_dir=self.git_dir, ok=(0, 1))
            return done.stdout.decode().strip() or None
        try:
            return ref_files.loose(self.git_dir, name)
        except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
            return ref_files.packed(self.git_dir, name)
        except Odd as error:
            raise Infrastructure(f"broken ref {name}: {error}", hint="agentctl doctor") from None

    def packed(self, name: str) -> str | None:
        """Return what packed-refs alone says of one ref, or None."""
        return ref_files.packed(self.git_dir, name)

    def set_aside(self, ref: Ref) -> str:
        """Have a salvage ref hold what a ref holds, delete that ref, and return the salvage ref's name."""
        return transactions.set_aside(self.git_dir, ref.name, ref.oid)

    def transaction(self, message: str) -> Transaction:
        """Return an empty transaction; `message` is for the reflogs."""
        return Transaction(self.git_dir, message, self.objects.store.rescue)


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
