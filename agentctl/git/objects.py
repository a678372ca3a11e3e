"""Git objects, read and written in process; refs are never read or written here.

Objects that agents wrote are hostile: what cannot be parsed becomes ObjectError.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from agentctl.core.text import globs
from agentctl.core.text.printable import printable
from agentctl.git.bounded_cache import BoundedCache
from agentctl.git.store import ObjectError, Store

__all__ = [
    "BOT",
    "EMPTY_TREE",
    "EXECUTABLE",
    "FILE",
    "GITLINK",
    "SYMLINK",
    "TREE",
    "CommitInfo",
    "Entries",
    "Entry",
    "ObjectError",
    "Objects",
    "Person",
    "parse_commit",
]

Entry = tuple[int, str]
"""(mode, object id)."""
Entries = Mapping[bytes, Entry]
"""The entries of one tree by name: (mode, object id)."""
ENTRIES, PARTS, COMMITS = 60_000, 60_000, 2 << 20
"""How many entries of parsed trees, how many parts of trees, and how many bytes of parsed commits are remembered.

An entry takes some 300 bytes.
"""
COMMIT = 1000
"""The bytes of a parsed commit besides its message."""
DEEP = 200
"""Levels of directories; a part of a tree below them is taken whole."""

TREE, FILE, EXECUTABLE, SYMLINK, GITLINK = 0o40000, 0o100644, 0o100755, 0o120000, 0o160000
EMPTY_TREE = "4b825dc642cb6eb9a060e54bf8d69288fbee4904"


@dataclass(frozen=True, slots=True)
class Person:
    name: str
    email: str

    def __bytes__(self) -> bytes:
        return _person(*(part.encode(errors="surrogateescape") for part in (self.name, self.email)))


BOT = Person("agentctl", "agentctl@localhost")


@dataclass(frozen=True, slots=True)
class CommitInfo:
    oid: str
    tree: str
    parents: tuple[str, ...]
    author: bytes
    """b'Name <email>', without anything that Git would not write."""
    author_time: int
    author_zone: bytes
    """The time zone as Git writes it, such as b'+0200'."""
    time: int
    """The committer's time; 0 if Git reads none."""
    message: bytes
    flaw: str = ""
    """What the commit has that Git would not write; empty if there is nothing."""

    @property
    def subject(self) -> str:
        lines = self.message.decode(errors="replace").strip().splitlines()
        return lines[0] if lines else ""


_OID = re.compile(rb"[0-9a-f]{40}")
_SIGNED = re.compile(rb"([^<>\n\0]+ <[^<>\n\0]*>) (0|[1-9]\d{0,17}) ([+-]\d{4})")
"""The person, time and zone of an author or a committer, as `git fsck` wants them."""
_LATEST = 1 << 40
"""Seconds since 1970, some 35,000 years: Git adds and compares times up to this without overflow."""


def parse_commit(oid: str, data: bytes) -> CommitInfo:
    """Parse a commit as Git reads it, which forgives much.

    Old histories have time zones, dates and names that nobody writes today. Raises ObjectError for what Git would not
    read either.
    """
    head, _, message = data.partition(b"\n\n")
    lines = head.split(b"\n")
    tree, at = lines[0].removeprefix(b"tree "), 1
    while at < len(lines) and lines[at].startswith(b"parent "):
        at += 1
    parents = [line.removeprefix(b"parent ") for line in lines[1:at]]
    if not lines[0].startswith(b"tree ") or not all(_OID.fullmatch(one) for one in (tree, *parents)):
        raise ObjectError(oid=oid, why="not a commit: a malformed line in its head")
    author, committer = (_signed(lines, n, word) for n, word in ((at, b"author "), (at + 1, b"committer ")))
    return CommitInfo(
        oid,
        tree.decode(),
        tuple(parent.decode() for parent in parents),
        *author[:3],
        committer[1],
        message,
        author[3] or committer[3] or ("it holds a NUL byte" if b"\0" in data else ""),
    )


def _signed(lines: list[bytes], at: int, word: bytes) -> tuple[bytes, int, bytes, str]:
    """Return (person, time, zone, flaw) of one line of a commit's header."""
    line = lines[at] if at < len(lines) else b""
    found = _SIGNED.fullmatch(line.removeprefix(word)) if line.startswith(word) else None
    if found and int(found[2]) <= _LATEST:
        return found[1], int(found[2]), found[3], ""
    kind = word.decode().strip()
    if not line.startswith(word):
        return _person(b"", b""), 0, b"+0000", f"it has no {kind} where Git looks for one"
    who, _, when = line.removeprefix(word).rpartition(b">")
    name, _, email = who.partition(b"<")
    time, _, zone = when.strip().partition(b" ")
    seconds = int(time) if re.fullmatch(rb"\d{1,18}", time) and int(time) <= _LATEST else 0
    fits = re.fullmatch(rb"[+-]\d{4}", zone)
    return (
        _person(name, email),
        seconds,
        zone if fits else b"+0000",
        f"the line of its {kind} is not one that Git writes: {printable(line.removeprefix(word), 100)}",
    )


def _person(name: bytes, email: bytes) -> bytes:
    clean = [re.sub(rb"[<>\n\0]", b"", part).strip() for part in (name, email)]
    return b"%s <%s>" % (clean[0] or b"unknown", clean[1])


class Objects:
    """The object database of one hub, for use from several threads."""

    def __init__(self, git_dir: str) -> None:
        self.store = Store(git_dir)
        self._commits = BoundedCache[str, CommitInfo](COMMITS)
        self._trees = BoundedCache[str, Entries](ENTRIES)
        self._parts = BoundedCache[tuple[tuple[str, ...], str], str](PARTS)

    def close(self) -> None:
        self.store.close()

    def exists(self, oid: str) -> bool:
        return self.store.exists(oid)

    def commit(self, oid: str) -> CommitInfo:
        found = self._commits.get(oid)
        if not found:
            kind, data = self.store.read(oid)
            if kind != b"commit":
                raise ObjectError(oid=oid, why=f"a {kind.decode()}, not a commit")
            found = parse_commit(oid, data)
            self._commits.put(oid, found, COMMIT + len(found.message))
        return found

    def tree_of(self, oid: str) -> str:
        """Return the id of a commit's tree; for a tree, its own id."""
        if oid == EMPTY_TREE or oid in self._trees:
            return oid
        return oid if oid not in self._commits and self.store.read(oid)[0] == b"tree" else self.commit(oid).tree

    def tree(self, oid: str) -> Entries:
        """Return the entries of one tree by name: (mode, object id)."""
        found = self._trees.get(oid)
        return self._remembered(oid, self._parsed(oid)) if found is None else found

    def _remembered(self, oid: str, entries: Entries) -> Entries:
        return self._trees.put(oid, entries, 1 + len(entries))

    def _parsed(self, oid: str) -> Entries:
        from dulwich.objects import parse_tree

        if oid == EMPTY_TREE:
            return {}
        kind, data = self.store.read(oid)
        try:
            if kind != b"tree":
                raise ObjectError(oid=oid, why=f"a {kind.decode()}, not a tree")
            listed = parse_tree(data, 20)
            found = {name: (mode, sha.decode()) for name, mode, sha in listed}
            # If two entries have the same name, Git takes one of them, and we would take the other.
            order = [name + b"/" if mode & 0o170000 == TREE else name for name, mode, _ in listed]
            if len(found) < len(order) or order != sorted(order) or b"/" in b"".join(found):
                raise ObjectError(oid=oid, why="a tree that Git would not write: see git fsck")
            return found
        except ObjectError:
            raise
        except Exception as error:
            raise ObjectError(oid=oid, why=str(error)) from error

    def blob(self, oid: str) -> bytes:
        return self.store.read(oid)[1]

    def size(self, oid: str) -> int:
        return self.store.size(oid)

    def at(self, tree: str, path: str) -> tuple[int, str] | None:
        """Return (mode, object id) of `path` under `tree`, or None."""
        entry: tuple[int, str] | None = (TREE, tree)
        for part in path.encode(errors="surrogateescape").split(b"/"):
            if entry is None or entry[0] != TREE:
                return None
            entry = self.tree(entry[1]).get(part)
        return entry

    def read(self, tree: str, path: str) -> bytes | None:
        """Return the content of the file at `path` under `tree`, or None."""
        entry = self.at(tree, path)
        return self.blob(entry[1]) if entry and entry[0] != TREE else None

    def walk(self, tree: str, prefix: bytes = b"") -> Iterator[tuple[str, str]]:
        """Yield (path, object id) of every file under `tree`, in order.

        The walk uses its own stack, because trees may be deeper than Python can recurse.
        """
        todo = [(prefix, tree, TREE)]
        while todo:
            path, oid, mode = todo.pop()
            if mode == TREE:
                below = sorted(self.tree(oid).items(), reverse=True)
                todo += [(path + name + b"/" * (kind == TREE), inner, kind) for name, (kind, inner) in below]
            else:
                yield path.decode(errors="surrogateescape"), oid

    def part(self, tree: str, patterns: tuple[str, ...], depth: int = 0) -> str:
        """Return the id that a tree would have with only those files of `tree` that one of `patterns` matches.

        Nothing is written. Directories that were seen before are not looked into again.
        """
        if patterns == globs.ALL or depth > DEEP:
            return tree
        known = self._parts.get((patterns, tree)) if patterns else EMPTY_TREE
        if known is None:
            found = {}
            for name, (mode, oid) in self.tree(tree).items():
                word = name.decode(errors="surrogateescape")
                if mode == TREE:
                    inner = self.part(oid, globs.below(patterns, word), depth + 1)
                    if inner != EMPTY_TREE:
                        found[name] = (mode, inner)
                elif any(globs.matches(pattern, word) for pattern in patterns):
                    found[name] = (mode, oid)
            data = _encoded(found)
            known = self._parts.put((patterns, tree), hashlib.sha1(b"tree %d\0" % len(data) + data).hexdigest())
        return known

    def write_blob(self, data: bytes) -> str:
        return self.store.write(b"blob", data)

    def write_tree(self, entries: Entries) -> str:
        made = self.store.write(b"tree", _encoded(entries))
        self._remembered(made, dict(entries))
        return made

    def write_commit(
        self,
        tree: str,
        parents: Iterable[str],
        message: bytes | str,
        time: float,
        *,
        author: Person | bytes = BOT,
        author_time: float | None = None,
        author_zone: bytes = b"+0000",
        committer: Person = BOT,
    ) -> str:
        when = int(time if author_time is None else author_time)
        lines = [f"tree {tree}", *(f"parent {parent}" for parent in parents)]
        head = "\n".join(lines).encode() + b"\nauthor %s %d %s\ncommitter %s %d +0000\n\n" % (
            bytes(author),
            when,
            author_zone,
            bytes(committer),
            int(time),
        )
        return self.store.write(
            b"commit", head + (message if isinstance(message, bytes) else message.encode(errors="surrogateescape"))
        )

    def write_tag(self, target: str, name: str, message: str, time: float, tagger: Person = BOT) -> str:
        """Write an annotated tag object for the commit `target`, and return its id."""
        return self.store.write(
            b"tag",
            b"object %s\ntype commit\ntag %s\ntagger %s %d +0000\n\n%s"
            % (target.encode(), name.encode(), bytes(tagger), int(time), message.encode()),
        )

    def replace(self, tree: str, files: Mapping[str, bytes | Entry | None]) -> str:
        """Write `tree` with some of its files replaced, and return the id of the new tree.

        `files` has by path the new content, an entry to put there, or None to remove what is there. Only the trees on
        these paths are read and written. A directory that becomes empty is removed.
        """
        here = dict(self.tree(tree))
        below: dict[bytes, dict[str, bytes | Entry | None]] = {}
        for path, data in files.items():
            first, slash, rest = path.partition("/")
            name = first.encode(errors="surrogateescape")
            if slash:
                below.setdefault(name, {})[rest] = data
            elif data is None:
                here.pop(name, None)
            else:
                here[name] = (FILE, self.write_blob(data)) if isinstance(data, bytes) else data
        for name, inner in below.items():
            mode, oid = here.get(name, (TREE, EMPTY_TREE))
            changed = self.replace(oid if mode == TREE else EMPTY_TREE, inner)
            if changed == EMPTY_TREE:
                here.pop(name, None)
            else:
                here[name] = (TREE, changed)
        return self.write_tree(here) if here or not tree else EMPTY_TREE


def _encoded(entries: Entries) -> bytes:
    # Git sorts a directory as if its name ended in a slash.
    listed = sorted(entries.items(), key=lambda e: e[0] + b"/" if e[1][0] == TREE else e[0])
    return b"".join([b"%o %s\0%s" % (mode, name, bytes.fromhex(oid)) for name, (mode, oid) in listed])
