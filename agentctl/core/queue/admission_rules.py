"""Which changed files a change may hold: only those that every machine can check out safely.

The rules follow what Git refuses to check out with core.protectHFS and core.protectNTFS, plus the limits and the
protected globs of the policy. Names are compared in the form that `folded` gives them. So a file cannot reach a
protected or an existing file under a name that some file system takes for the same. Globs are those of `globs`, matched
without regard to case and Unicode form.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from agentctl.core.policy.policy import Limits
from agentctl.core.text.globs import matches
from agentctl.core.text.printable import decoded, encoded, printable

FILE, PROGRAM, SYMLINK, GITLINK = 0o100644, 0o100755, 0o120000, 0o160000
REPORTED = 50
NAME = 255
"""The longest component of a path, in bytes."""
_READ_BY_GIT = frozenset((".gitmodules", ".gitattributes", ".gitignore", ".mailmap"))

_IGNORED_BY_HFS = re.compile("[\u200c-\u200f\u202a-\u202e\u206a-\u206f\ufeff]")
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")
_SAME = "where case and Unicode form do not count, the same name as"
_DRIVE = re.compile(r"[A-Za-z]:")


@dataclass(frozen=True, slots=True)
class ChangedFile:
    """A file that differs between trunk and the change."""

    path: bytes | str
    mode: int
    """The mode as in a tree, such as 0o100644; for a deleted file, the mode that it had."""
    size: int = 0
    """The size of the blob, in bytes."""
    target: bytes | str | None = None
    """Where a symbolic link leads; None for other files."""
    deleted: bool = False


def check(entries: Iterable[ChangedFile], limits: Limits, protect: Iterable[str]) -> list[str]:
    """List the refusals, each naming a printable path and the rule; empty if the change is admitted.

    Reads at most limits.change_files + 1 of the entries, so a tree that expands without end may be handed in lazily.
    Lists at most REPORTED refusals.
    """
    taken = list(islice(entries, limits.change_files + 1))
    found = _refusals(taken, limits, [folded(pattern) for pattern in protect])
    listed = list(islice(found, REPORTED + 1))
    return [*listed[:REPORTED], "more refusals follow"] if len(listed) > REPORTED else listed


def same_name(path: str, other: str) -> str:
    """Return the refusal of a path that some file systems take for the same as another one."""
    return f"{printable(path)}: {_SAME} {printable(other)}"


def folded(name: str) -> str:
    """Return the form in which names are compared: without case, composition and the characters that HFS+ ignores."""
    kept = unicodedata.normalize("NFD", _IGNORED_BY_HFS.sub("", name))
    return unicodedata.normalize("NFC", kept.casefold())


def _refusals(taken: list[ChangedFile], limits: Limits, protect: list[str]) -> Iterator[str]:
    yield from _totals(taken, limits)
    sound: list[str] = []
    for entry in taken:
        path = decoded(entry.path)
        wrong = list(_path_size(entry, path, limits))
        if not wrong:
            wrong += _protected(path, protect)
            if not entry.deleted:
                wrong += [*_names(path), *_kind(entry, path, limits)]
                sound.append(path)
        yield from (f"{printable(path)}: {rule}" for rule in wrong)
    yield from _collisions(sound)


def _totals(taken: list[ChangedFile], limits: Limits) -> Iterator[str]:
    if len(taken) > limits.change_files:
        path = printable(taken[-1].path)
        yield f"{path}: one file more than limits.change_files ({limits.change_files})"
    total = 0
    for entry in taken:
        total += 0 if entry.deleted else entry.size
        if total > limits.change_bytes:
            path = printable(entry.path)
            yield f"{path}: brings the change over limits.change_bytes ({limits.change_bytes})"
            return


def _path_size(entry: ChangedFile, path: str, limits: Limits) -> Iterator[str]:
    raw = entry.path
    length = len(raw if isinstance(raw, bytes) else encoded(raw))
    if length > limits.path:
        yield f"a path of {length} bytes, over limits.path ({limits.path})"
    elif path.count("/") >= limits.depth:
        yield f"{path.count('/') + 1} components, over limits.depth ({limits.depth})"


def _protected(path: str, protect: list[str]) -> Iterator[str]:
    if pattern := protector(path, protect):
        yield f"protected by {printable(pattern)}"


def protector(path: str, protect: Sequence[str]) -> str | None:
    """Return the first pattern of `protect` that keeps changes from a path, or None."""
    name = folded(path)
    return next((pattern for pattern in protect if matches(pattern, name)), None)


def _names(path: str) -> Iterator[str]:
    parts = path.split("/")
    if any(part in ("", ".", "..") for part in parts):
        yield "an empty, . or .. component"
    longest = max(len(encoded(part)) for part in parts)
    if longest > NAME:
        yield f"a name of {longest} bytes, more than file systems take ({NAME})"
    if _CONTROL.search(path):
        yield "a control character in the name"
    if _reaches_git(path):
        yield "a name that some file systems take for .git"


def _reaches_git(path: str) -> bool:
    """Tell whether some file system takes a component of the path for .git.

    NTFS also separates by a backslash, drops dots and spaces at the end, and takes what follows a colon for a stream of
    the same file.
    """
    parts = re.split(r"[/\\]", folded(path))
    stems = (part.split(":")[0].rstrip(". ") for part in parts)
    return any(stem in (".git", "git~1") for stem in stems)


def _for_git(path: str) -> bool:
    """Tell whether Git reads a file of that name, and so follows no symbolic link there.

    Git does not even check out a .gitmodules that is a symbolic link.
    """
    name = re.split(r"[/\\]", folded(path))[-1].split(":")[0].rstrip(". ")
    return name in _READ_BY_GIT or bool(re.fullmatch(r"(gitmod~[1-4]|gi7eba~\d)", name))


def _kind(entry: ChangedFile, path: str, limits: Limits) -> Iterator[str]:
    if entry.mode == SYMLINK and _for_git(path):
        yield "a symbolic link in the place of a file that Git reads"
    elif entry.mode == SYMLINK:
        yield from _link(entry.target, path, limits)
    elif entry.mode == GITLINK:
        if not limits.allow_submodules:
            yield "a submodule, which limits.allow_submodules forbids"
    elif entry.mode not in (FILE, PROGRAM):
        yield f"mode {entry.mode:o} is not one that Git writes"


def _link(target: bytes | str | None, path: str, limits: Limits) -> Iterator[str]:
    leads = decoded(target or "")
    parts = leads.split("/")
    if not leads or "\0" in leads:
        yield "a symbolic link without a target"
    elif len(leads) > limits.path:
        yield f"a symbolic link longer than limits.path ({limits.path})"
    elif leads[0] in "/\\" or _DRIVE.match(leads):
        yield "an absolute symbolic link"
    elif _climbs(parts, path.count("/")):
        yield "a symbolic link that leaves the tree, or climbs by .. after a name"
    elif _reaches_git(leads):
        yield "a symbolic link into .git"


def _climbs(parts: list[str], depth: int) -> bool:
    """Tell whether a link may lead out of the tree.

    A .. after a name is refused at any depth: that name may be a link itself, and then .. leads elsewhere. If .. stands
    only in front, no chain of links gets out.
    """
    steps = [part for part in parts if part not in ("", ".")]
    ups = next((i for i, part in enumerate(steps) if part != ".."), len(steps))
    return ups > depth or ".." in steps[ups:]


def _collisions(paths: list[str]) -> Iterator[str]:
    """List the refusals of names that collide, of files and of their directories.

    A/x and a/y collide too, because they meet in one directory. The search uses a trie over folded components. With
    whole prefixes as keys, a few hostile paths could fill the memory.
    """
    nodes: dict[tuple[int, str], tuple[int, str]] = {}
    told: set[tuple[int, str]] = set()
    for path in paths:
        parent, parts = 0, path.split("/")
        for i, part in enumerate(parts):
            node, other = nodes.setdefault((parent, folded(part)), (len(nodes) + 1, part))
            if other != part and (node, part) not in told:
                told.add((node, part))
                before = "/".join(parts[: i + 1])
                yield same_name(before, other)
            if other != part:
                break
            parent = node
