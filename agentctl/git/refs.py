"""Reading refs, and the one way of writing them: a transaction with expected old values.

A transaction over several refs is all or nothing against other writers, but not
against a kill: after one, some refs may have moved and others not. Callers order
their effects so that the next start can finish them.
"""

from __future__ import annotations

import contextlib
import os
import re
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from agentctl.core.printable import printable
from agentctl.errors import Contended, Infrastructure, Malformed
from agentctl.git import stale
from agentctl.git.process import GitError, run
from agentctl.git.store import ObjectError

ZERO = "0" * 40
LOOKS = 5
"""At a listing with warnings, before those that stay are believed."""
_FORMAT = "%(refname)%00%(objectname)%00%(objecttype)%00%(*objectname)%00%(contents:subject)"


@dataclass(frozen=True, slots=True)
class Ref:
    name: str
    oid: str
    kind: str
    """commit, tag, tree or blob."""
    target: str
    """The object a tag points to; `oid` itself for anything else."""
    subject: str


def read(git_dir: str, prefixes: Iterable[str]) -> dict[str, Ref]:
    """The refs at or under `prefixes`, by full name.

    Raises Infrastructure if Git keeps complaining of one of them: it exits 0 with a mere
    warning when a ref file is empty, and a broken ref must not look like a deleted one.
    """
    args = ["for-each-ref", "--format=" + _FORMAT, *prefixes]
    done = run(args, git_dir=git_dir)
    broken = set(done.stderr.splitlines())
    for _ in range(LOOKS):
        if not done.stderr:
            break
        # A ref that is deleted between Git's listing and its reading is warned of too.
        time.sleep(0.01)
        done = run(args, git_dir=git_dir)
        broken &= set(done.stderr.splitlines())
    if broken:
        raise Infrastructure(b"; ".join(sorted(broken)).decode(errors="replace"), hint="agentctl doctor")
    refs = {}
    # Not splitlines(): a subject may hold what Python takes for the end of a line, and Git does not.
    for line in done.stdout.decode(errors="replace").split("\n")[:-1]:
        name, oid, kind, peeled, subject = line.split("\0", 4)
        refs[name] = Ref(name, oid, kind, peeled or oid, subject)
    return refs


@contextlib.contextmanager
def decoding(name: str) -> Iterator[None]:
    """Within, what a ref holds is read: whatever is wrong with it is told by the ref's name.

    Raises Malformed.
    """
    try:
        yield
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, ObjectError) as error:
        raise Malformed(ref=name, why=printable(str(error), 300)) from error


def get(git_dir: str, name: str) -> str | None:
    """The object id of one ref, or None.

    A plain name is looked up in process, as Git does it: its own file, else packed-refs.
    Git writes packed-refs before it removes the files of what it packed, and deletes a ref
    from there before it removes its file, so this order misses nothing.
    """
    if _PLAIN.fullmatch(name):
        found = _content(os.path.join(git_dir, name)) or _packed(git_dir, name)
        if not found or _OID.fullmatch(found):
            return found
    done = run(["rev-parse", "--verify", "--quiet", "--end-of-options", name], git_dir=git_dir, ok=(0, 1))
    return done.stdout.decode().strip() or None


_OID = re.compile(r"[0-9a-f]{40}")
_PLAIN = re.compile(r"refs/(?!.*\.\.)[\w./+-]+")


def _content(path: str) -> str | None:
    """Of a ref's file, None if there is none. What is no object id (a symbolic ref, an empty
    file) is for Git to judge."""
    try:
        with open(path, errors="replace") as file:
            return file.read().strip() or "empty"
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
        return None


def _packed(git_dir: str, name: str) -> str | None:
    try:
        with open(os.path.join(git_dir, "packed-refs"), "rb") as file:
            found = re.search(rb"^([0-9a-f]{40}) " + re.escape(name.encode()) + rb"$", file.read(), re.MULTILINE)
    except FileNotFoundError:
        return None
    return found and found[1].decode()


@dataclass(slots=True)
class Transaction:
    """Collects ref updates; `commit` applies all of them or none."""

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

    def __bool__(self) -> bool:
        return bool(self._lines)

    def commit(self) -> None:
        """Raises Contended if a ref was not at its expected value, or is locked by a living Git."""
        if not self._lines:
            return
        # Without these two words Git carries out what it heard when its input ends, which a kill of
        # agentctl may bring about anywhere.
        told = "".join(["start\0", *self._lines, "commit\0"])
        try:
            stale.retrying(self.git_dir, lambda: run(
                ["update-ref", "--no-deref", "-m", "agentctl: " + self.message, "-z", "--stdin"],
                git_dir=self.git_dir, stdin=told.encode()))
        except GitError as error:
            raise _explained(error) from error


def _explained(error: GitError) -> Exception:
    contended = ("is at ", "already exists", "unable to resolve reference", "File exists",
                 "reference is missing", "but expected")
    if any(sign in error.stderr for sign in contended):
        return Contended("contended: " + error.stderr)
    return error
