"""Three-way merges of trees, without a worktree.

Where the two sides changed different paths, they are merged in process, else by `git merge-tree`. It runs in a place
without configuration, so that no program runs that the hub's configuration names.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice

from agentctl.core.queue.admission_rules import folded
from agentctl.git import borrowing, merge_attributes
from agentctl.git.objects import EMPTY_TREE, EXECUTABLE, FILE, GITLINK, SYMLINK, TREE, Entries, Entry, ObjectError, Objects
from agentctl.git.process import run
from agentctl.git.repository import Hub
from agentctl.git.store import Store


@dataclass(frozen=True, slots=True)
class Merged:
    tree: str
    """The id of the merged tree, with conflict markers in it if `conflicts` is not empty."""
    conflicts: tuple[str, ...] = ()
    """The paths in conflict."""
    messages: str = ""
    same: tuple[str, ...] = ()
    """(new name, the name that it is the same as) if everything merged, but some file systems take two names for one."""
    nothing: bool = False
    """True if everything merged and the merge changes nothing."""


def merge(hub: Hub, base: str, ours: str, theirs: str) -> Merged:
    """Merge the change from tree `base` to tree `theirs` into tree `ours`, with the result that Git would give."""
    if ours == base or theirs == ours:
        return Merged(theirs)
    if theirs == base:
        return Merged(ours)
    try:
        return Merged(_woven(hub.objects, base, ours, theirs))
    except _Entangled:
        return by_git(hub, base, ours, theirs)


class _Entangled(Exception):
    """Both sides changed the same path, or paths that a rename may connect."""


DEEP = 200
"""Levels of directories that are looked into."""
ORDINARY = frozenset((TREE, FILE, EXECUTABLE, SYMLINK, GITLINK))


def _woven(objects: Objects, base: str, ours: str, theirs: str, depth: int = 0) -> str:
    """Return the merged tree, with each entry from the side that changed it.

    Where no path was changed by both sides, this is also Git's result, whatever Git takes for renames. The content of a
    renamed file is merged only if the other side changed or removed it under its old name. A collision with its new
    name is a path that both sides changed. A directory counts as renamed only if it is gone on one side; so a file that
    the other side added there is a change to a directory that one side removed. Paths that both sides added or both
    removed may be ends of such renames.

    Raises _Entangled where this is not certain.
    """
    if depth > DEEP:
        raise _Entangled
    was, here, there = objects.tree(base), objects.tree(ours), objects.tree(theirs)
    for entries in (was, here, there):
        if not ORDINARY.issuperset(mode for mode, _ in entries.values()) or (TREE, EMPTY_TREE) in entries.values():
            raise _Entangled
    merged = dict(here)
    for name in _differing(was, there):
        old, mine, its = was.get(name), here.get(name), there.get(name)
        if mine == old:
            made = its
        elif not (old and mine and its):
            raise _Entangled
        elif old[0] == mine[0] == its[0] == TREE:
            made = TREE, _woven(objects, old[1], mine[1], its[1], depth + 1)
        elif mine != its or TREE in (old[0], mine[0]):
            raise _Entangled
        else:
            made = mine
        if made and made != (TREE, EMPTY_TREE):
            merged[name] = made
        else:
            del merged[name]
    return objects.write_tree(merged) if merged else EMPTY_TREE


def _differing(was: Entries, now: Entries) -> list[bytes]:
    return [name for name, entry in now.items() if was.get(name) != entry] + [name for name in was if name not in now]


def by_git(hub: Hub, base: str, ours: str, theirs: str) -> Merged:
    """Merge as `merge` does, but by Git alone, in a place of its own.

    What Git makes lies there first. It comes into the hub in the same way as what we write, so it is safe from `git gc`
    until a ref names it.

    `--merge-base` came with Git 2.40; three commits made for this merge say the same to Git 2.38.
    """
    objects = hub.objects
    objects.store.flush()
    with borrowing.place(hub.git_dir) as (place, aside):
        root = _commit(aside, base, b"base")
        left, right = _commit(aside, ours, b"trunk", root), _commit(aside, theirs, b"change", root)
        files = os.path.join(place, "files")
        merge_attributes.lay_out(files, merge_attributes.found(objects, ours, _meeting(objects, base, ours, theirs)))
        done = run(
            ["merge-tree", "--write-tree", "-z", "--name-only", "--messages", left, right],
            git_dir=place,
            cwd=files,
            env={"GIT_WORK_TREE": files},
            ok=(0, 1),
        )
        for oid in set(aside.loose()) - {root, left, right}:
            objects.store.write(*aside.read(oid))
    tree, *rest = done.stdout.decode(errors="surrogateescape").split("\0")
    if done.returncode == 0:
        return Merged(tree)
    end = rest.index("")
    return Merged(tree, tuple(dict.fromkeys(rest[:end])), "\n".join(_messages(rest[end + 1 :])))


def _commit(store: Store, tree: str, name: bytes, *parents: str) -> str:
    lines = [b"tree " + tree.encode(), *(b"parent " + oid.encode() for oid in parents)]
    return store.write(b"commit", b"\n".join(lines) + b"\nauthor x <x> 0 +0000\ncommitter x <x> 0 +0000\n\n" + name)


def _meeting(objects: Objects, base: str, ours: str, theirs: str) -> Iterator[str]:
    """Yield the paths that both sides may have changed, under the names that they have in the end."""
    renamed = False
    for path, _, _, status in _changed(objects, base, theirs, b""):
        yield path
        renamed = renamed or (status != "A" and not objects.at(ours, path))
    if renamed:
        yield from (path for path, _, _, status in _changed(objects, base, ours, b"") if status == "A")


def _messages(fields: list[str]) -> list[str]:
    """Return the texts among <count> path... <type> <text> records."""
    found = []
    while fields and fields[0].isdigit():
        count = int(fields[0])
        found.append(fields[count + 2].strip())
        fields = fields[count + 3 :]
    return found


def diff(hub: Hub, old: str, new: str, paths: tuple[str, ...] = (), limit: int = 65536) -> str:
    """Return a patch from one tree to another, cut at `limit` characters."""
    args = ["diff-tree", "-r", "-p", "--no-color", "--no-ext-diff", "--no-textconv", old, new]
    text = hub.git(*args, *(("--", *(":(literal)" + path for path in paths)) if paths else ()))
    return text if len(text) <= limit else text[:limit] + "\n... (cut)\n"


def added(hub: Hub, olds: Sequence[str], new: str, most: int) -> list[tuple[str, int, str, str]]:
    """List what `changed` lists and what differs from each of `olds` (of a merge: its parents), up to `most` + 1."""
    entries = list(islice(changed(hub, olds[0], new), most + 1))
    for other in olds[1:]:
        own = {(path, oid) for path, _, oid, _ in changed(hub, other, new)}
        entries = [entry for entry in entries if (entry[0], entry[2]) in own]
    return entries


def changed(hub: Hub, old: str, new: str) -> Iterator[tuple[str, int, str, str]]:
    """Yield (path, new mode, new object id, status letter) of what differs between two trees or commits.

    The order is Git's. The mode and the id are zero for a deleted path. A rename is a deletion and an addition. Raises
    ObjectError for trees nested more than DEEP, and reads no further than is asked for.
    """
    objects = hub.objects
    return _changed(objects, objects.tree_of(old), objects.tree_of(new), b"")


def _changed(objects: Objects, old: str, new: str, prefix: bytes) -> Iterator[tuple[str, int, str, str]]:
    if prefix.count(b"/") > DEEP:
        raise ObjectError(oid=new, why=f"its directories are nested more than {DEEP} deep, the most that is supported")
    was, now = objects.tree(old), objects.tree(new)
    found: list[tuple[bytes, tuple[str, str] | None, Entry | None, Entry | None]] = []
    for name in _differing(was, now):
        before, after = was.get(name), now.get(name)
        # A file and a directory of the same name are two entries, which sort to different places.
        below = _subtree(before), _subtree(after)
        if below != (EMPTY_TREE, EMPTY_TREE):
            found.append((name + b"/", below, None, None))
        before, after = _leaf(before), _leaf(after)
        if before or after:
            found.append((name, None, before, after))
    for name, trees, before, after in sorted(found, key=lambda f: f[0]):
        if trees:
            yield from _changed(objects, *trees, prefix + name)
            continue
        path = (prefix + name).decode(errors="surrogateescape")
        status = "A" if not before else "D" if not after else "T" if _kind(before) != _kind(after) else "M"
        yield path, *(after or (0, "0" * 40)), status


def _subtree(entry: Entry | None) -> str:
    """Return the tree below an entry that is a directory, and the empty tree for any other."""
    return entry[1] if entry and entry[0] == TREE else EMPTY_TREE


def _leaf(entry: Entry | None) -> Entry | None:
    """Return an entry, or None if it is a directory."""
    return entry if entry and entry[0] != TREE else None


def collisions(hub: Hub, old: str, new: str) -> Iterator[tuple[str, str]]:
    """Yield (path, other path) of what is new in the second of two trees or commits and the same as another path there.

    They are the same for a file system that ignores case and Unicode form.
    """
    objects = hub.objects
    return _collisions(objects, objects.tree_of(old), objects.tree_of(new), b"")


def _collisions(objects: Objects, old: str, new: str, prefix: bytes) -> Iterator[tuple[str, str]]:
    if prefix.count(b"/") > DEEP:
        raise ObjectError(oid=new, why=f"its directories are nested more than {DEEP} deep, the most that is supported")
    was, now = objects.tree(old), objects.tree(new)
    if fresh := [name for name in now if name not in was]:
        same: dict[bytes, list[bytes]] = {}
        for name in now:
            same.setdefault(_folded(name), []).append(name)
        for name in fresh:
            for other in same[_folded(name)]:
                if other != name:
                    yield os.fsdecode(prefix + name), os.fsdecode(prefix + other)
                    break
    for name, (mode, oid) in now.items():
        before = was.get(name, (TREE, EMPTY_TREE))
        if mode == TREE and before != (mode, oid):
            yield from _collisions(objects, before[1] if before[0] == TREE else EMPTY_TREE, oid, prefix + name + b"/")


@lru_cache(100_000)
def _folded(name: bytes) -> bytes:
    if name.isascii():
        return name.lower()
    return folded(name.decode(errors="surrogateescape")).encode("utf-8", "surrogatepass")


def _kind(entry: Entry) -> int:
    """Return the type of a file, without its permissions."""
    return entry[0] & 0o170000
