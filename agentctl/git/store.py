"""Where objects lie: one file each, or many in one pack. Raw: their kind and their bytes.

What an agent wrote is hostile: an object is believed only if it hashes to its name, and
whatever goes wrong in reading one becomes ObjectError.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import struct
import threading
import zlib
from collections.abc import Iterator

from agentctl.errors import AgentctlError

FEW = 64
"""Objects written together that get files of their own: a pack for each turn of an idle bot
would make every Git slower that looks for an object."""
QUICK = 1
"""Level of compression."""
KINDS = {b"commit": 1, b"tree": 2, b"blob": 3, b"tag": 4}
_NAMES = {number: kind for kind, number in KINDS.items()}


class ObjectError(AgentctlError):
    """object {oid} cannot be read: {why}"""

    code = "object"
    hint = "git fsck"


class Store:
    """The object folder of one hub. Safe to use from several threads."""

    def __init__(self, git_dir: str) -> None:
        from dulwich.object_store import DiskObjectStore

        self._path = os.path.join(git_dir, "objects")
        self._packs = DiskObjectStore(self._path)
        self._lock = threading.RLock()
        self._gatherer: int | None = None
        """The thread that writes together. What others write is theirs to name at once."""
        self._waiting: dict[str, tuple[bytes, bytes]] = {}

    def close(self) -> None:
        self._packs.close()

    def _file(self, oid: str) -> str:
        return os.path.join(self._path, oid[:2], oid[2:])

    def read(self, oid: str) -> tuple[bytes, bytes]:
        """(kind, content). Raises ObjectError."""
        waiting = self._waiting.get(oid)
        if waiting:
            return waiting
        try:
            with open(self._file(oid), "rb") as file:
                raw = zlib.decompress(file.read())
        except OSError:
            return self._read_packed(oid)
        except zlib.error as error:
            raise ObjectError(oid=oid, why=str(error)) from error
        head, _, data = raw.partition(b"\0")
        kind, _, size = head.partition(b" ")
        if hashlib.sha1(raw).hexdigest() != oid or kind not in KINDS or size != b"%d" % len(data):
            raise ObjectError(oid=oid, why="its content is another one's")
        return kind, data

    def _read_packed(self, oid: str) -> tuple[bytes, bytes]:
        try:
            return self._once(oid)
        except ObjectError:
            # It may have moved: a repack removes the packs, and the files, that its new pack holds.
            with self._lock:
                self._packs.close()
            return self._once(oid)

    def _once(self, oid: str) -> tuple[bytes, bytes]:
        with self._lock:
            try:
                number, data = self._packs.get_raw(oid.encode())
                return _NAMES[number], bytes(data)
            except (KeyboardInterrupt, SystemExit):
                raise
            except BaseException as error:
                # Anything: dulwich's compiled parts panic on some hostile packs.
                raise ObjectError(oid=oid, why=f"{type(error).__name__}: {error}") from error

    def exists(self, oid: str) -> bool:
        if oid in self._waiting or os.path.exists(self._file(oid)):
            return True
        with self._lock:
            return oid.encode() in self._packs

    def size(self, oid: str) -> int:
        """Bytes of its content; of an object in a file only the head is read."""
        if oid not in self._waiting:
            with contextlib.suppress(OSError, zlib.error, ValueError), open(self._file(oid), "rb") as file:
                head, end, _ = zlib.decompressobj().decompress(file.read(256), 64).partition(b"\0")
                if end:
                    return int(head.split(b" ")[1])
        return len(self.read(oid)[1])

    def write(self, kind: bytes, data: bytes) -> str:
        """Store an object; returns its id."""
        raw = b"%s %d\0%s" % (kind, len(data), data)
        oid = hashlib.sha1(raw).hexdigest()
        gathers = self._gatherer == threading.get_ident()
        if gathers and oid in self._waiting:
            return oid
        with contextlib.suppress(OSError):
            # A fresh date keeps a `git gc` from pruning it before a ref holds it.
            os.utime(self._file(oid))
            return oid
        if gathers:
            self._waiting[oid] = kind, data
        else:
            self._loose(oid, raw)
        return oid

    @contextlib.contextmanager
    def together(self) -> Iterator[None]:
        """What this thread writes within reaches the disk at its end, or before that by
        `flush`, which is owed before a ref names it and before Git is to read it. If this is
        left by an exception, what was not flushed is forgotten."""
        self._gatherer = threading.get_ident()
        try:
            yield
            self.flush()
        finally:
            self._gatherer, self._waiting = None, {}

    def flush(self) -> None:
        """Write what this thread has waiting: a few objects to files, many to one pack, synced."""
        if not self._waiting or self._gatherer != threading.get_ident():
            return
        if len(self._waiting) > FEW:
            self._pack(self._waiting)
        else:
            for oid, (kind, data) in self._waiting.items():
                self._loose(oid, b"%s %d\0%s" % (kind, len(data), data))
        self._waiting = {}

    def _loose(self, oid: str, raw: bytes) -> None:
        """A file without a name that is given one when it is whole: a kill leaves nothing. Where the file
        system has no such files, as Git does it: a file of another name, then a rename.

        dulwich's add_object locks the object's own path: of two writers of the same object
        one fails, and a killed writer's lock makes every later one fail, for good.
        """
        folder = os.path.join(self._path, oid[:2])
        with contextlib.suppress(FileExistsError):
            os.mkdir(folder)
        # Git's own `prune` knows leftovers by this name.
        self._rename(os.path.join(folder, "tmp_obj_"), self._file(oid), zlib.compress(raw, QUICK), False)

    def _pack(self, objects: dict[str, tuple[bytes, bytes]]) -> None:
        """The pack, then its index, which makes it count."""
        packed, index = encode_pack(objects)
        folder = os.path.join(self._path, "pack")
        os.makedirs(folder, exist_ok=True)
        name = os.path.join(folder, "pack-" + packed[-20:].hex())
        self._rename(os.path.join(folder, "tmp_pack_"), name + ".pack", packed, True)
        self._rename(os.path.join(folder, "tmp_idx_"), name + ".idx", index, True)

    @classmethod
    def _rename(cls, prefix: str, path: str, content: bytes, sync: bool) -> None:
        if cls._linked(path, content, sync):
            return
        made = prefix + os.urandom(8).hex()
        try:
            with open(os.open(made, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o444), "wb") as file:
                file.write(content)
                if sync:
                    file.flush()
                    os.fsync(file.fileno())
            os.rename(made, path)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(made)
            raise


    @staticmethod
    def _linked(path: str, content: bytes, sync: bool) -> bool:
        """False, with nothing done, if there are no nameless files here."""
        try:
            handle = os.open(os.path.dirname(path), os.O_TMPFILE | os.O_WRONLY, 0o444)
        except (AttributeError, OSError):
            return False
        with open(handle, "wb") as file:
            file.write(content)
            file.flush()
            if sync:
                os.fsync(handle)
            try:
                # With a descriptor it is linkat(2) that follows the link, and not link(2).
                os.link(f"/proc/self/fd/{handle}", path, src_dir_fd=handle, follow_symlinks=True)
            except FileExistsError:
                pass
            except OSError as error:
                if error.errno == errno.ENOSPC:
                    raise
                return False
        return True


def encode_pack(objects: dict[str, tuple[bytes, bytes]]) -> tuple[bytes, bytes]:
    """(pack, its index), both of version 2, by gitformat-pack(5); no deltas."""
    parts, offsets, sums = [b"PACK" + struct.pack(">II", 2, len(objects))], {}, {}
    at = len(parts[0])
    for oid, (kind, data) in objects.items():
        entry = _entry_head(KINDS[kind], len(data)) + zlib.compress(data, QUICK)
        offsets[oid], sums[oid] = at, zlib.crc32(entry)
        parts.append(entry)
        at += len(entry)
    if at >= 1 << 31:
        raise ValueError("a pack of more than 2 GiB")
    content = b"".join(parts)
    trailer = hashlib.sha1(content).digest()
    names = sorted(objects)
    fanout, first = [0] * 256, [int(name[:2], 16) for name in names]
    for byte in first:
        fanout[byte] += 1
    for n in range(1, 256):
        fanout[n] += fanout[n - 1]
    index = b"".join([
        b"\377tOc", struct.pack(">I", 2), struct.pack(">256I", *fanout), bytes.fromhex("".join(names)),
        struct.pack(f">{len(names)}I", *(sums[name] for name in names)),
        struct.pack(f">{len(names)}I", *(offsets[name] for name in names)), trailer])
    return content + trailer, index + hashlib.sha1(index).digest()


def _entry_head(number: int, size: int) -> bytes:
    """Kind and size of a packed object: four bits of the size, then seven in each byte."""
    byte, size, out = number << 4 | size & 15, size >> 4, bytearray()
    while size:
        out.append(byte | 128)
        byte, size = size & 127, size >> 7
    out.append(byte)
    return bytes(out)
