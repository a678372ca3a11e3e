"""The files of a folder compared with an index, and how they are taken in as blobs and trees.

All of it goes through a scratch directory, so that content is what the user's own Git would make of it.
"""

from __future__ import annotations

import contextlib
import filecmp
import hashlib
import os
import re
import shutil
import stat
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from agentctl.core.text import globs
from agentctl.core.text.json_form import quoted
from agentctl.errors import Infrastructure
from agentctl.git import folders
from agentctl.git.conversion import SESSION
from agentctl.git.objects import EXECUTABLE, FILE, GITLINK, SYMLINK
from agentctl.git.scratch import Scratch


@dataclass(frozen=True, slots=True)
class ListedFile:
    path: str
    """The path; that of a nested repository ends with a slash."""
    mode: int = 0
    """The mode in the index; 0 if the index does not have the path, and then `oid` is empty."""
    oid: str = ""
    gone: bool = False


@dataclass(frozen=True, slots=True)
class Files:
    """How the files of a folder differ from a commit."""

    changed: tuple[str, ...] = ()
    """Paths of the commit whose files are changed or gone; where a folder is a link now, all that the commit has in it."""
    added: tuple[str, ...] = ()
    """Paths that are not in the commit and that Git does not ignore."""
    submodules: tuple[str, ...] = ()
    """Paths of submodules that hold files."""
    hidden: tuple[str, ...] = ()
    """Files and folders that cannot be read, and changed or added files under an alien filter."""

    @property
    def dirty(self) -> tuple[str, ...]:
        return self.changed + self.added


def listed(look: Scratch, *options: str) -> list[ListedFile]:
    """List the paths of the index whose files are changed or gone; with the option -o, also paths that the index lacks."""
    tags: dict[str, str] = {}
    for field in look.fields("ls-files", "-z", "-t", "-m", "-d", *options):
        # A path that is gone is listed as changed too.
        tags[field[2:]] = field[0] if field[0] != "C" else tags.get(field[2:], "C")
    known = facts(look, {path for path, tag in tags.items() if tag != "?"})
    return [ListedFile(path, *known.get(path, (0, "")), gone=tag == "R") for path, tag in tags.items()]


def staged(look: Scratch) -> Iterator[tuple[int, str, str]]:
    """Yield (mode, object id, path) of each entry of the index, without holding all of them."""
    for entry in _STAGED.finditer(look.run("ls-files", "-s", "-z").stdout):
        yield int(entry[1], 8), entry[2].decode(), entry[3].decode(errors="surrogateescape")


_STAGED = re.compile(rb"([0-7]+) ([0-9a-f]+) [0-3]\t([^\0]*)\0")


def facts(look: Scratch, paths: set[str]) -> dict[str, tuple[int, str]]:
    """Return (mode, object id) that the index has for each of `paths`."""
    return {path: (mode, oid) for mode, oid, path in staged(look) if path in paths} if paths else {}


def only_converted(look: Scratch, entries: list[ListedFile]) -> set[str]:
    """Return those of the changed paths whose file is exactly what a checkout of the index would write.

    Such a file differs from its blob only by line endings or a filter, and nobody changed it.
    """
    top, copies = look.work_tree or "", look.path + ".copies"
    plain = [
        entry
        for entry in entries
        if not entry.gone and entry.mode in (FILE, EXECUTABLE) and _mode(os.path.join(top, entry.path)) == entry.mode
    ]
    if not plain:
        return set()
    folders.remove(copies)
    try:
        look.run(
            "checkout-index",
            "-z",
            "--stdin",
            f"--prefix={copies}/",
            ok=(0, 1, 128),
            stdin="".join(entry.path + "\0" for entry in plain).encode(errors="surrogateescape"),
        )
        return {entry.path for entry in plain if _same(os.path.join(top, entry.path), os.path.join(copies, entry.path))}
    finally:
        folders.remove(copies)


def _same(path: str, other: str) -> bool:
    try:
        return filecmp.cmp(path, other, shallow=False)
    except OSError:
        return False


def _mode(path: str) -> int:
    """Return the mode that a tree would have for a path; 0 for what no tree can hold."""
    try:
        found = os.lstat(path)
    except OSError:
        return 0
    if stat.S_ISLNK(found.st_mode):
        return SYMLINK
    if stat.S_ISDIR(found.st_mode):
        return GITLINK
    return (EXECUTABLE if found.st_mode & 0o100 else FILE) if stat.S_ISREG(found.st_mode) else 0


def under(look: Scratch, paths: Iterable[str], filters: frozenset[str]) -> set[str]:
    """Return those of `paths` that the attributes put under one of these filters."""
    asked = "".join(path + "\0" for path in paths) if filters else ""
    told = look.fields("check-attr", "-z", "--stdin", "filter", stdin=asked.encode(errors="surrogateescape")) if asked else []
    return {path for path, name in zip(told[::3], told[2::3]) if name in filters}


def differing(
    look: Scratch, commit: str, absent: frozenset[str] = frozenset(), at: str = "", alien: frozenset[str] = frozenset()
) -> Files:
    """Compare the files with a commit.

    This reads `commit` into the index of `look`, unless the index is `at` it already. What the index knows of files
    that were checked out earlier is kept. Paths that are `absent` on purpose (in a sparse checkout) do not count as
    gone. Changed files under an `alien` filter are `hidden`, because it is not known what they are as blobs.
    """
    if commit != at:
        look.run("read-tree", "--reset", commit)
    top = look.work_tree or ""
    # The option goes before what a .gitignore says, which may take all folders in.
    inner, behind = by_folders(look)
    found = [e for e in listed(look, "-o", "--exclude-standard", f"--exclude=/{SESSION}/") if e.path not in behind]
    found += behind.values()
    strange = under(look, (entry.path for entry in found if not entry.gone), alien)
    same = only_converted(look, [entry for entry in found if entry.mode and entry.path not in strange])
    changed: list[str] = []
    added: list[str] = []
    hidden = sorted(strange)
    for entry in found:
        full = os.path.join(top, entry.path)
        if entry.path in strange:
            continue
        if entry.mode and entry.mode != GITLINK:
            if entry.path not in same and not (entry.gone and entry.path in absent):
                (changed if entry.gone or _mode(full) and _readable(full) else hidden).append(entry.path)
        elif not entry.mode and not entry.path.endswith("/") and _mode(full):
            (added if _readable(full) else hidden).append(entry.path)
    return Files(*map(tuple, (changed, added, inner, hidden)))


def states(look: Scratch, paths: Sequence[str]) -> dict[str, str]:
    """Return what is at each path: mode and object id of a file, the target of a link, "" if nothing is; others are left out.

    Nothing is at a path of which a folder is a link.
    """
    found, plain = dict.fromkeys(beyond_links(look.work_tree or "", paths), ""), dict[str, int]()
    for path in paths:
        if path in found:
            continue
        full = os.path.join(look.work_tree or "", path)
        mode = _mode(full)
        if mode == SYMLINK:
            found[path] = f"{mode:o} {quoted(os.readlink(full))}"
        elif not os.path.lexists(full):
            found[path] = ""
        elif mode in (FILE, EXECUTABLE) and "\n" not in path and _readable(full):
            plain[path] = mode
    names = "".join(f"{path}\n" for path in plain).encode(errors="surrogateescape")
    oids = look.text("hash-object", "--stdin-paths", stdin=names).split() if plain else []
    return found | {path: f"{mode:o} {oid}" for (path, mode), oid in zip(plain.items(), oids, strict=True)}


def digest(look: Scratch, patterns: Sequence[str], seed: str = "") -> str:
    """Return a digest of the files of the index that one of the globs matches, and of the seed."""
    known = hashlib.sha256(seed.encode())
    for mode, oid, path in staged(look) if patterns else ():
        if any(globs.matches(pattern, path) for pattern in patterns):
            known.update(f"{mode:o} {oid}\t{path}\0".encode(errors="surrogateescape"))
    return known.hexdigest()


def by_folders(look: Scratch) -> tuple[list[str], dict[str, ListedFile]]:
    """Return what of the index only a look at the folders tells.

    These are (the submodules whose folders hold files; the files, by path, that are gone since one of their folders is a
    link now). Git lists none of those files that reads the same through the link.
    """
    top = look.work_tree or ""
    linked, full = _linked(top), list[str]()
    gone = dict[str, ListedFile]()
    for mode, oid, path in staged(look):
        if mode == GITLINK and folders.identity(os.path.join(top, path)) and os.listdir(os.path.join(top, path)):
            full.append(path)
        if linked(path.rpartition("/")[0]):
            gone[path] = ListedFile(path, mode, oid, gone=True)
    return full, gone


def other_kinds(look: Scratch) -> bool:
    """Tell whether something of another kind stands in the place of a file or folder of the index, such as a link.

    A check-out takes it away.
    """
    top = look.work_tree or ""
    linked = _linked(top)
    for mode, _, path in staged(look):
        if linked(path.rpartition("/")[0]):
            return True
        try:
            there = os.lstat(os.path.join(top, path)).st_mode
        except NotADirectoryError:
            return True
        except OSError:
            continue
        if stat.S_IFMT(there) != (stat.S_IFDIR if mode == GITLINK else stat.S_IFMT(mode)):
            return True
    return False


def _readable(path: str) -> bool:
    """Tell whether a path can be read; a file of ours is given the permission if it lacks it.

    The answer is always True for a link.
    """
    if _mode(path) not in (FILE, EXECUTABLE):
        return True
    for _ in range(2):
        if os.access(path, os.R_OK):
            return True
        with contextlib.suppress(OSError):
            os.chmod(path, stat.S_IMODE(os.lstat(path).st_mode) | stat.S_IRUSR)
    return False


def tree_with(look: Scratch, paths: tuple[str, ...]) -> str:
    """Write the tree of the index with `paths` as the files have them now, and return its id."""
    if paths:
        enter(look, paths)
    return look.text("write-tree")


def enter(look: Scratch, paths: tuple[str, ...]) -> None:
    """Make the index hold `paths` as the files have them now."""
    beyond = beyond_links(look.work_tree or "", paths)
    if beyond:
        lines = "".join(f"0 {'0' * 40}\t{path}\0" for path in beyond)
        look.run("update-index", "-z", "--index-info", stdin=lines.encode(errors="surrogateescape"))
        paths = tuple(path for path in paths if path not in beyond)
    look.run(
        "update-index",
        "--add",
        "--remove",
        "--replace",
        "-z",
        "--stdin",
        stdin="".join(path + "\0" for path in paths).encode(errors="surrogateescape"),
    )


def beyond_links(top: str, paths: Iterable[str]) -> set[str]:
    """Return those of the paths of which a folder is a link now: what is there is no part of the worktree."""
    linked = _linked(top)
    return {path for path in paths if linked(path.rpartition("/")[0])}


def _linked(top: str) -> Callable[[str], bool]:
    """Return a function that tells whether a folder below `top` is a link, or is in one."""
    links = {"": False}

    def linked(folder: str) -> bool:
        if folder not in links:
            links[folder] = linked(folder.rpartition("/")[0]) or os.path.islink(os.path.join(top, folder))
        return links[folder]

    return linked


def fresh_index(copy: str, source: str) -> None:
    """Copy an index with its date, by which Git knows which entries to look at twice."""
    for stale in (copy, copy + ".lock"):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(stale)
    try:
        shutil.copy2(source, copy)
    except FileNotFoundError:
        return
    except OSError as error:
        raise Infrastructure(f"cannot copy {source}: {error.strerror}") from error
