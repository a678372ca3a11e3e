"""Refs: how they are read, and the only way to write them, a transaction with expected old values.

A transaction over several refs is all or nothing against other writers, but not against a kill: after a kill, some refs
may have moved and others not. Callers order their effects so that the next start can finish them.
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
import stat
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import TypeVar

from agentctl.core.text.printable import printable
from agentctl.errors import AgentctlError, Contended, Infrastructure, Malformed
from agentctl.git import stale_locks
from agentctl.git.objects import Objects
from agentctl.git.process import GitError, run
from agentctl.git.store import ObjectError

T = TypeVar("T")

log = logging.getLogger(__name__)
ZERO = "0" * 40
LINKS = 5
"""How many symbolic refs are followed one after the other."""
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
class Names:
    """Refs as their files say; no object is looked at."""

    oids: dict[str, str] = field(default_factory=dict)
    odd: dict[str, str] = field(default_factory=dict)
    """What stands where a ref may be but is not a ref: its path below the Git directory, and the reason."""


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
        """Return the refs at or under `prefixes`, read in process from the files in which Git keeps them.

        Git is not asked, because a Git that meets a FIFO never ends, a Git that meets a link follows it, and one broken
        ref ends it.

        The files of single refs are read before packed-refs. Git writes packed-refs before it removes the files of the
        refs that it packed, and it deletes a ref from packed-refs before it removes the file of the ref.
        """
        found = Names()
        for prefix in prefixes:
            _walk(self.git_dir, prefix, found)
            for oid, name in _packed_lines(self.git_dir, prefix.rstrip("/").encode()):
                if _under(name, prefix) and name not in found.odd:
                    found.oids.setdefault(name, oid)
        return found

    def scan(self, prefixes: Iterable[str]) -> Listing:
        """Return the refs at or under `prefixes` with the objects that they name, and what is odd there."""
        listed = self.names(prefixes)
        return described(listed, self.objects) if listed.oids else Listing({}, listed.odd)

    def read(self, prefixes: Iterable[str]) -> dict[str, Ref]:
        """Return the refs at or under `prefixes`, by full name.

        Raises Infrastructure if one of them is broken, because a broken ref must not look like a deleted one.
        """
        prefixes = list(prefixes)
        found = self.scan(prefixes)
        if found.odd:
            # A ref that was deleted between the listing and the reading is not odd.
            again = self.scan(prefixes)
            broken = [f"broken ref {printable(name)}: {why}" for name, why in again.odd.items() if name in found.odd]
            if broken:
                raise Infrastructure("; ".join(broken), hint="agentctl doctor")
            found = again
        return found.refs

    def get(self, name: str) -> str | None:
        """Return the object id of one ref, or None.

        A plain name is looked up in process in the way that Git does it: first in its own file, else in packed-refs.
        Raises Infrastructure if something else is in its place.
        """
        if not _PLAIN.fullmatch(name):
            done = run(["rev-parse", "--verify", "--quiet", "--end-of-options", name], git_dir=self.git_dir, ok=(0, 1))
            return done.stdout.decode().strip() or None
        try:
            return _loose(self.git_dir, name)
        except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
            return _packed(self.git_dir, name)
        except _Odd as error:
            raise Infrastructure(f"broken ref {name}: {error}", hint="agentctl doctor") from None

    def packed(self, name: str) -> str | None:
        """Return what packed-refs alone says of one ref, or None."""
        return _packed(self.git_dir, name)

    def transaction(self, message: str) -> Transaction:
        """Return an empty transaction; `message` is for the reflogs."""
        return Transaction(self.git_dir, message)


def _under(name: str, prefix: str) -> bool:
    return name == prefix or name.startswith(prefix if prefix.endswith("/") else prefix + "/")


def _walk(git_dir: str, prefix: str, found: Names) -> None:
    first = prefix.rstrip("/")
    try:
        mode = os.lstat(os.path.join(git_dir, first)).st_mode
    except (FileNotFoundError, NotADirectoryError):
        return
    if not stat.S_ISDIR(mode):
        if _under(first, prefix):
            _take(git_dir, first, found)
        return
    folders = [first]
    while folders:
        folder = folders.pop()
        try:
            with os.scandir(os.path.join(git_dir, folder)) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        folders.append(f"{folder}/{entry.name}")
                    elif not entry.name.endswith(".lock") and not entry.name.startswith("."):
                        _take(git_dir, f"{folder}/{entry.name}", found)
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:
            found.odd[folder] = error.strerror or str(error)


def _take(git_dir: str, name: str, found: Names) -> None:
    try:
        found.oids[name] = _loose(git_dir, name)
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        # It was deleted while we looked.
        pass
    except _Odd as error:
        found.odd[name] = str(error)


class _Odd(Exception):
    """The reason why a file is not a ref."""


def _loose(git_dir: str, name: str, links: int = LINKS) -> str:
    if not _ALLOWED.fullmatch(name):
        raise _Odd("Git gives no ref such a name")
    text = _text(os.path.join(git_dir, name))
    if text.startswith("ref: ") and links:
        target = text.removeprefix("ref: ").strip()
        with contextlib.suppress(FileNotFoundError, IsADirectoryError, NotADirectoryError):
            return _loose(git_dir, target, links - 1)
        if found := _packed(git_dir, target):
            return found
        raise _Odd(f"it stands for {printable(target)}, which there is not")
    if not _OID.fullmatch(text):
        raise _Odd("it is empty" if not text else "it holds no object id")
    return text


def _text(path: str) -> str:
    """Return the text of a small file that is not a link, and never wait for somebody to write it."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW)
    except (FileNotFoundError, NotADirectoryError):
        raise
    except OSError as error:
        raise _Odd(
            f"it is a link to {printable(os.readlink(path))}" if os.path.islink(path) else error.strerror or str(error)
        ) from None
    try:
        mode = os.fstat(handle).st_mode
        if stat.S_ISDIR(mode):
            raise IsADirectoryError(path)
        if not stat.S_ISREG(mode):
            raise _Odd("it is not a file but a FIFO, a socket or a device")
        return os.read(handle, 4096).decode(errors="replace").strip()
    finally:
        os.close(handle)


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
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, ObjectError) as error:
        raise Malformed(ref=name, why=printable(str(error), 300)) from error


_OID = re.compile(r"[0-9a-f]{40}")
_PLAIN = re.compile(r"refs/(?!.*\.\.)[\w./+-]+")
_ALLOWED = re.compile(r"refs/(?!.*(?:\.\.|//|@\{|/\.|\.lock(?:/|$)|[./]$))[^\x00-\x20\x7f~^:?*\[\\]+", re.DOTALL)
"""The names that refs may have, by git-check-ref-format(1)."""
_TAGGED = re.compile(rb"object ([0-9a-f]{40})\ntype ")
_PACKED = rb"^([0-9a-f]{40}) (%s(?:/[^\n]*)?)$"


def _packed(git_dir: str, name: str) -> str | None:
    """Return what packed-refs says of one ref, or None."""
    return next((oid for oid, found in _packed_lines(git_dir, name.encode(errors="surrogateescape")) if found == name), None)


def _packed_lines(git_dir: str, prefix: bytes) -> Iterator[tuple[str, str]]:
    """Yield (object id, name) of each line of packed-refs at or under a prefix."""
    try:
        with open(os.open(os.path.join(git_dir, "packed-refs"), os.O_RDONLY | os.O_NONBLOCK), "rb") as file:
            data = file.read() if stat.S_ISREG(os.fstat(file.fileno()).st_mode) else b""
    except FileNotFoundError:
        return
    for line in re.finditer(_PACKED % re.escape(prefix), data, re.MULTILINE):
        yield line[1].decode(), os.fsdecode(line[2])


@dataclass(slots=True)
class Transaction:
    """A collection of ref updates; `commit` applies all of them or none."""

    git_dir: str
    message: str
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

        Raises Contended if a ref did not have its expected value or is locked by a living Git, and Blocked if something
        else is in the way of a ref. Where Git names the ref, the error has it as its value `ref`.
        """
        if not self._lines:
            return
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


class Blocked(AgentctlError):
    """the ref {ref} cannot be written: {why}"""  # noqa: D400, D415

    code = "blocked"
    hint = "agentctl doctor"


def _explained(error: GitError) -> Exception:
    named = re.search(r" ref '(refs/[^']+)'", error.stderr)
    ref = named[1] if named else ""
    contended = (
        "is at ",
        "already exists",
        "unable to resolve reference",
        "File exists",
        "reference is missing",
        "but expected",
        "nonexistent object",
    )
    if any(sign in error.stderr for sign in contended):
        return Contended("contended: " + error.stderr, ref=ref)
    return Blocked(ref=ref, why=error.stderr) if ref else error
