"""Storage of objects: each one in a file of its own, or many in one pack.

An object is raw here: its kind and its bytes. What an agent wrote is hostile: an object in a file of its own is
believed only if it hashes to its name, no object larger than MOST is unpacked, and whatever goes wrong in reading an
object becomes ObjectError.
"""

from __future__ import annotations

import contextlib
import hashlib
import mmap
import os
import threading
import zlib
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from agentctl.errors import AgentctlError
from agentctl.git import folders, packs
from agentctl.git.kept_packs import Kept, write

FEW = 64
"""The most objects written together that are not synced by themselves."""
MOST = 1 << 27
"""Bytes of the largest object that is read; a larger one is only read by Git itself."""
DELTAS = 1 << 16
"""The most bytes that dulwich keeps of each pack of what deltas build on; by itself it keeps 96 MiB of each."""
LOOKS = 3
"""How often an object is looked up, because a repack may have moved it meanwhile."""
Answer = TypeVar("Answer")


class ObjectError(AgentctlError):
    """object {oid} cannot be read: {why}"""  # noqa: D400, D415

    code = "object"
    hint = "git fsck"


class Store:
    """The object folder of one hub, for use from several threads."""

    def __init__(self, git_dir: str) -> None:
        self._path = os.path.join(git_dir, "objects")
        self._folders = _opened(self._path)
        self._lock = threading.RLock()
        self._own = threading.local()
        """The state of each thread inside `together`.

        `waiting` has the objects that the thread has not flushed: no other thread can read them or refer to them.
        `loose` has the objects that it has flushed to files of their own.
        """
        self._writers = 0
        self._kept = Kept(os.path.join(self._path, "pack"))
        self.lasting = False
        """True while a bot runs: `git gc` then takes nothing that it wrote, not even between turns, until `era` rises."""

    def close(self) -> None:
        """Stop protecting anything from `git gc`."""
        self.lasting = False
        self._kept.release()

    @property
    def era(self) -> int:
        """A number that rises when `git gc` may take what has been written here and no ref names."""
        return self._kept.era

    def read(self, oid: str) -> tuple[bytes, bytes]:
        """Return (kind, content) of an object, or raise ObjectError."""
        return self._remembered(oid) or self._found(oid, _Folder.content)

    def head(self, oid: str) -> tuple[str, int]:
        """Return (kind, size of the content in bytes) without reading the content, or raise ObjectError."""
        found = self._remembered(oid)
        if found:
            return found[0].decode(), len(found[1])
        kind, size = self._found(oid, _Folder.head)
        return kind.decode(), size

    def size(self, oid: str) -> int:
        return self.head(oid)[1]

    def exists(self, oid: str) -> bool:
        if self._remembered(oid):
            return True
        with self._lock:
            return any(folder.has(oid) for folder in self._folders)

    def _remembered(self, oid: str) -> tuple[bytes, bytes] | None:
        waiting = self._waiting
        return waiting[oid] if waiting and oid in waiting else self._kept.read(oid)

    @property
    def _waiting(self) -> dict[str, tuple[bytes, bytes]] | None:
        return getattr(self._own, "waiting", None)

    def _found(self, oid: str, ask: Callable[[_Folder, str], Answer | None]) -> Answer:
        with self._lock:
            for _ in range(LOOKS):
                for folder in self._folders:
                    answer = ask(folder, oid)
                    if answer is not None:
                        return answer
        raise ObjectError(oid=oid, why="it is not there")

    def loose(self) -> Iterator[str]:
        """Yield the ids of the objects that have files of their own."""
        for folder in os.listdir(self._path):
            if len(folder) == 2:
                yield from (folder + name for name in os.listdir(os.path.join(self._path, folder)) if len(name) == 38)

    def write(self, kind: bytes, data: bytes) -> str:
        """Store an object and return its id."""
        raw = b"%s %d\0%s" % (kind, len(data), data)
        oid = hashlib.sha1(raw).hexdigest()
        waiting = self._waiting
        if waiting is not None:
            # Write it even if it exists: a `git gc` may be about to delete the existing copy.
            waiting[oid] = kind, data
            return oid
        with contextlib.suppress(OSError):
            os.utime(self._folders[0].file(oid))
            return oid
        self._loose(oid, raw)
        return oid

    @contextlib.contextmanager
    def together(self) -> Iterator[None]:
        """Collect what this thread writes in the context, and write it to disk together at the end or by `flush`.

        The caller must call `flush` before a ref names a new object and before Git reads it. At the end of the context,
        refs must name what is to stay; a `git gc` that runs between the flush and that end does no harm. If an
        exception leaves the context, what was not flushed is forgotten.
        """
        if self._waiting is not None:
            yield
            return
        self._own.waiting, self._own.loose = {}, {}
        with self._lock:
            self._writers += 1
        try:
            yield
            self.flush()
        finally:
            self._secure(self._own.loose)
            self._own.waiting = self._own.loose = None
            with self._lock:
                self._writers -= 1
                if not self._writers:
                    self._kept.rest() if self.lasting else self._kept.release()

    def flush(self) -> None:
        """Write what this thread has waiting to disk.

        It goes into packs that are kept if a bot runs, if there are many objects, or if a running `git gc` could take
        them. A few objects go into files of their own, because otherwise each submission would make a pack.
        """
        waiting = self._waiting
        if not waiting:
            return
        if self.lasting or len(waiting) > FEW or self._collecting():
            self._pack(waiting)
        else:
            for oid, (kind, data) in waiting.items():
                self._loose(oid, b"%s %d\0%s" % (kind, len(data), data))
            self._own.loose |= waiting
        self._own.waiting = {}

    def rescue(self) -> bool:
        """Write again, safe from `git gc`, what this thread has flushed in `together`; tell whether there was anything."""
        loose = getattr(self._own, "loose", None) or {}
        self._pack(loose)
        return bool(loose)

    def _secure(self, loose: dict[str, tuple[bytes, bytes]]) -> None:
        """Save these loose objects from `git gc`, now that refs name them.

        A `git gc` that began before the refs named them may yet take them; one that has ended may have taken them.
        """
        if loose and self._collecting():
            return self._pack(loose)
        for oid, (kind, data) in loose.items():
            if not os.path.exists(self._folders[0].file(oid)):
                self._loose(oid, b"%s %d\0%s" % (kind, len(data), data))

    def _collecting(self) -> bool:
        """Tell whether a `git gc` runs, by the file gc.pid, which exists as long as it runs."""
        return os.path.exists(os.path.join(os.path.dirname(self._path), "gc.pid"))

    @contextlib.contextmanager
    def synced(self) -> Iterator[None]:
        """Let the caller make durable, in the context, what was written before.

        What this thread has waiting is flushed first. After the context, the packs that newer ones replaced are
        removed.
        """
        self.flush()
        replaced = self._kept.replaced
        yield
        self._kept.drop(replaced)

    def _pack(self, objects: dict[str, tuple[bytes, bytes]]) -> None:
        self._kept.add(objects, len(objects) > FEW)

    def _loose(self, oid: str, raw: bytes) -> None:
        """Write an object to a file of its own, whole or not at all.

        The file has no name until it is whole, so a kill leaves nothing. On a file system without such files it is done
        as Git does it: a file with another name is written and then renamed.

        dulwich's add_object is not used because it locks the object's own path: of two writers of the same object one
        fails, and the lock of a killed writer makes every later one fail, for good.
        """
        # Git's own `prune` recognizes leftovers by this prefix.
        write(os.path.join(self._path, oid[:2], "tmp_obj_"), self._folders[0].file(oid), zlib.compress(raw, packs.QUICK), False)


class _Folder:
    """An object folder: the hub's own, or one that it borrows from."""

    def __init__(self, path: str) -> None:
        from dulwich.object_store import DiskObjectStore

        self.path = path
        self._disk = DiskObjectStore(path, pack_delta_cache_size=DELTAS)
        self._packs: list[_Pack] = []

    def borrowed(self) -> list[str]:
        return [os.fspath(store.path) for store in self._disk.alternates if isinstance(store, type(self._disk))]

    def file(self, oid: str) -> str:
        return os.path.join(self.path, oid[:2], oid[2:])

    def has(self, oid: str) -> bool:
        return os.path.exists(self.file(oid)) or bool(self._in_packs(oid, lambda *_: True))

    def content(self, oid: str) -> tuple[bytes, bytes] | None:
        packed = self._beginning(oid, MOST + 1)
        if packed is None:
            return self._in_packs(oid, _Pack.content)
        try:
            unpacking = zlib.decompressobj()
            raw = unpacking.decompress(packed, MOST)
        except zlib.error as error:
            raise ObjectError(oid=oid, why=str(error)) from error
        if len(packed) > MOST or unpacking.unconsumed_tail:
            raise ObjectError(oid=oid, why=_TOO_LARGE)
        head, _, data = raw.partition(b"\0")
        kind, _, size = head.partition(b" ")
        if hashlib.sha1(raw).hexdigest() != oid or kind not in packs.KINDS or size != b"%d" % len(data):
            raise ObjectError(oid=oid, why="its content is another one's")
        return kind, data

    def head(self, oid: str) -> tuple[bytes, int] | None:
        packed = self._beginning(oid, packs.BEGINNING)
        if packed is None:
            return self._in_packs(oid, _Pack.head)
        with contextlib.suppress(zlib.error):
            head, end, _ = zlib.decompressobj().decompress(packed, 64).partition(b"\0")
            kind, _, size = head.partition(b" ")
            if end and kind in packs.KINDS and size.isdigit():
                return kind, int(size)
        raise ObjectError(oid=oid, why="its head is not one that Git writes")

    def _beginning(self, oid: str, most: int) -> bytes | None:
        """Return the first `most` bytes of the object's own file, or None if it has none."""
        try:
            with open(os.open(self.file(oid), os.O_RDONLY | os.O_NONBLOCK), "rb") as file:
                return folders.read(file, most)
        except OSError:
            return None

    def _in_packs(self, oid: str, ask: Callable[[_Pack, str, int], Answer]) -> Answer | None:
        known = self._packs
        for _ in range(2):
            for pack in self._packs:
                try:
                    found = ask(pack, oid, pack.pack.index.object_offset(bytes.fromhex(oid)))
                except KeyError:
                    continue
                except (KeyboardInterrupt, SystemExit, ObjectError):
                    raise
                except BaseException as error:
                    # Any exception is caught: dulwich's compiled parts panic on some hostile packs.
                    # A pack that is being deleted loses its index first; then its errors mean nothing.
                    if os.path.exists(pack.path) and os.path.exists(pack.idx):
                        raise ObjectError(oid=oid, why=f"{type(error).__name__}: {error}") from error
                    continue
                self._packs = [pack, *(other for other in self._packs if other is not pack)]
                return found
            if self._packs is known:
                there = {pack.path: pack for pack in known}
                listed = (_Pack(pack) for pack in self._disk.packs)
                self._packs = [there.get(pack.path, pack) for pack in listed]
        return None


class _Pack:
    """A pack as dulwich has it, and its bytes."""

    def __init__(self, pack: Any) -> None:
        self.pack, self.path, self.idx = pack, pack._basename + ".pack", pack._basename + ".idx"
        self._content: mmap.mmap | None = None

    def head(self, oid: str, offset: int) -> tuple[bytes, int]:
        return self._measured(offset)[:2]

    def content(self, oid: str, offset: int) -> tuple[bytes, bytes]:
        if self._measured(offset)[2] > MOST:
            raise ObjectError(oid=oid, why=_TOO_LARGE)
        number, data = self.pack.get_raw(bytes.fromhex(oid))
        return packs.NAMES[number], bytes(data)

    def _measured(self, offset: int) -> tuple[bytes, int, int]:
        if self._content is None:
            with open(self.path, "rb") as file:
                self._content = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        return packs.measured(self._content, offset, self.pack.index.object_offset)


_TOO_LARGE = f"it is larger than {MOST >> 20} MiB"


def _opened(path: str) -> list[_Folder]:
    """List a folder of objects, the folders that it borrows from, and those that these borrow from."""
    found: list[_Folder] = []
    paths = [path]
    while paths and len(found) < 100:
        one = paths.pop(0)
        if one not in {folder.path for folder in found}:
            found.append(_Folder(one))
            paths += found[-1].borrowed()
    return found
