"""Reading and writing Git objects in process, through dulwich. Never refs.

Objects that agents wrote are hostile: whatever dulwich raises on one becomes
ObjectError here.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from agentctl.errors import AgentctlError

TREE, FILE, EXECUTABLE, SYMLINK, GITLINK = 0o40000, 0o100644, 0o100755, 0o120000, 0o160000
EMPTY_TREE = "4b825dc642cb6eb9a060e54bf8d69288fbee4904"


class ObjectError(AgentctlError):
    """object {oid} cannot be read: {why}"""

    code = "object"
    hint = "git fsck"


@dataclass(frozen=True, slots=True)
class Person:
    name: str
    email: str

    def __bytes__(self) -> bytes:
        clean = [part.translate({ord(c): None for c in "<>\n\0"}) for part in (self.name, self.email)]
        return f"{clean[0]} <{clean[1]}>".encode(errors="surrogateescape")


BOT = Person("agentctl", "agentctl@localhost")


@dataclass(frozen=True, slots=True)
class CommitInfo:
    oid: str
    tree: str
    parents: tuple[str, ...]
    author: bytes
    """As in the object: b'Name <email>'."""
    author_time: int
    author_zone: int
    """Seconds east of UTC."""
    time: int
    """Of the committer."""
    message: bytes

    @property
    def subject(self) -> str:
        lines = self.message.decode(errors="replace").strip().splitlines()
        return lines[0] if lines else ""


class Objects:
    """The object database of one hub. Safe to use from several threads."""

    def __init__(self, git_dir: str) -> None:
        from dulwich.object_store import DiskObjectStore

        self._path = git_dir + "/objects"
        self._store = DiskObjectStore(self._path)
        self._lock = threading.RLock()

    def close(self) -> None:
        self._store.close()

    def _read(self, oid: str):
        with self._lock:
            try:
                return self._store[oid.encode()]
            except (KeyboardInterrupt, SystemExit):
                raise
            except BaseException as error:
                raise ObjectError(oid=oid, why=f"{type(error).__name__}: {error}") from error

    def exists(self, oid: str) -> bool:
        with self._lock:
            return oid.encode() in self._store

    def commit(self, oid: str) -> CommitInfo:
        found = self._read(oid)
        if found.type_name != b"commit":
            raise ObjectError(oid=oid, why=f"a {found.type_name.decode()}, not a commit")
        try:
            return CommitInfo(
                oid, found.tree.decode(), tuple(p.decode() for p in found.parents), found.author,
                found.author_time, found.author_timezone, found.commit_time, found.message,
            )
        except Exception as error:
            raise ObjectError(oid=oid, why=str(error)) from error

    def tree_of(self, oid: str) -> str:
        """The tree of a commit; a tree's own id."""
        if oid == EMPTY_TREE:
            return oid
        found = self._read(oid)
        return oid if found.type_name == b"tree" else self.commit(oid).tree

    def tree(self, oid: str) -> dict[bytes, tuple[int, str]]:
        """Entries of one tree by name: (mode, object id)."""
        if oid == EMPTY_TREE:
            return {}
        try:
            return {e.path: (e.mode, e.sha.decode()) for e in self._read(oid).iteritems()}
        except ObjectError:
            raise
        except Exception as error:
            raise ObjectError(oid=oid, why=str(error)) from error

    def blob(self, oid: str) -> bytes:
        return self._read(oid).as_raw_string()

    def size(self, oid: str) -> int:
        return self._read(oid).raw_length()

    def at(self, tree: str, path: str) -> tuple[int, str] | None:
        """(mode, object id) of `path` under `tree`, or None."""
        entry: tuple[int, str] | None = (TREE, tree)
        for part in path.encode().split(b"/"):
            if entry is None or entry[0] != TREE:
                return None
            entry = self.tree(entry[1]).get(part)
        return entry

    def read(self, tree: str, path: str) -> bytes | None:
        """Content of the file at `path` under `tree`, or None."""
        entry = self.at(tree, path)
        return self.blob(entry[1]) if entry and entry[0] != TREE else None

    def walk(self, tree: str, prefix: bytes = b"") -> Iterator[tuple[str, str]]:
        """(path, object id) of every file under `tree`, in order."""
        for name, (mode, oid) in sorted(self.tree(tree).items()):
            if mode == TREE:
                yield from self.walk(oid, prefix + name + b"/")
            else:
                yield (prefix + name).decode(errors="surrogateescape"), oid

    def _write(self, built) -> str:
        """Store an object as Git does: a file of another name, then a rename.

        dulwich's add_object locks the object's own path: of two writers of the same object
        one fails, and a killed writer's lock makes every later one fail, for good.
        """
        oid = built.id.decode()
        folder = os.path.join(self._path, oid[:2])
        path = os.path.join(folder, oid[2:])
        try:
            # A fresh date keeps a `git gc` from pruning it before a ref holds it.
            os.utime(path)
            return oid
        except OSError:
            os.makedirs(folder, exist_ok=True)
        # Git's own `prune` knows leftovers by this name.
        made = os.path.join(folder, "tmp_obj_" + os.urandom(8).hex())
        try:
            with open(os.open(made, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o444), "wb") as file:
                file.write(built.as_legacy_object())
            os.rename(made, path)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(made)
            raise
        return oid

    def write_blob(self, data: bytes) -> str:
        from dulwich.objects import Blob

        return self._write(Blob.from_string(data))

    def write_tree(self, entries: Mapping[bytes, tuple[int, str]]) -> str:
        from dulwich.objects import Tree

        built = Tree()
        for name, (mode, oid) in entries.items():
            built.add(name, mode, oid.encode())
        return self._write(built)

    def write_commit(
        self,
        tree: str,
        parents: Iterable[str],
        message: bytes | str,
        time: float,
        *,
        author: Person | bytes = BOT,
        author_time: float | None = None,
        author_zone: int = 0,
        committer: Person = BOT,
    ) -> str:
        from dulwich.objects import Commit

        built = Commit()
        built.tree = tree.encode()
        built.parents = [p.encode() for p in parents]
        built.author, built.committer = bytes(author), bytes(committer)
        built.commit_time, built.commit_timezone = int(time), 0
        built.author_time = int(time if author_time is None else author_time)
        built.author_timezone = author_zone
        built.message = message if isinstance(message, bytes) else message.encode(errors="surrogateescape")
        return self._write(built)

    def write_tag(self, target: str, name: str, message: str, time: float, tagger: Person = BOT) -> str:
        """An annotated tag object for the commit `target`."""
        from dulwich.objects import Commit, Tag

        built = Tag()
        built.object = (Commit, target.encode())
        built.name = name.encode()
        built.tagger, built.tag_time, built.tag_timezone = bytes(tagger), int(time), 0
        built.message = message.encode()
        return self._write(built)

    def replace(self, tree: str, files: Mapping[str, bytes | None]) -> str:
        """The tree with `files` written (None: removed) and the rest as it was.

        Reads and writes only the trees on the paths that change; a directory that
        becomes empty goes.
        """
        here = self.tree(tree)
        below: dict[bytes, dict[str, bytes | None]] = {}
        for path, data in files.items():
            first, slash, rest = path.partition("/")
            name = first.encode()
            if slash:
                below.setdefault(name, {})[rest] = data
            elif data is None:
                here.pop(name, None)
            else:
                here[name] = (FILE, self.write_blob(data))
        for name, inner in below.items():
            mode, oid = here.get(name, (TREE, EMPTY_TREE))
            changed = self.replace(oid if mode == TREE else EMPTY_TREE, inner)
            if changed == EMPTY_TREE:
                here.pop(name, None)
            else:
                here[name] = (TREE, changed)
        return self.write_tree(here) if here or not tree else EMPTY_TREE
