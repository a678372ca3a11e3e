"""The judgement of Git on files that it reads by their names.

Who has set fetch.fsckObjects takes no history in which one of them is unfit: a .gitmodules with an address that would be an
option, say. Of all else that Git refuses there, commits and trees are looked at wherever they are read (`git.objects`).
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from agentctl.core.queue.admission_rules import folded
from agentctl.core.text.printable import encoded
from agentctl.git import borrowing, process
from agentctl.git.objects import EMPTY_TREE, TREE
from agentctl.git.repository import Hub

_MAY_BE_READ = re.compile(r"\.git[am]|g.*~")
"""How a name begins that Git may take for .gitattributes or .gitmodules; NTFS has short names for them, such as gi7eba~1."""


@dataclass(frozen=True, slots=True)
class Named:
    """A file or folder as it stands in a tree."""

    name: str
    mode: int = TREE
    oid: str = EMPTY_TREE


def may_be_read(name: str) -> bool:
    """Tell whether Git may read a file of this name; a name too many costs a process, and nothing else."""
    return bool(_MAY_BE_READ.match(folded(name)))


def named(path: str, mode: int, oid: str) -> Iterator[Named]:
    """Yield a file, and each folder above it, that Git may read as a file."""
    *folders, name = path.split("/")
    yield from (Named(folder) for folder in folders if may_be_read(folder))
    if may_be_read(name):
        yield Named(name, mode, oid)


def refusals(hub: Hub, files: Iterable[Named]) -> dict[Named, str]:
    """Return those of `files` that `git fsck --strict` refuses, each with its reason."""
    with borrowing.place(hub.git_dir) as (place, aside):
        aside.write(b"tree", b"")
        trees = {
            aside.write(b"tree", b"%o %s\0%s" % (file.mode, encoded(file.name), bytes.fromhex(file.oid))): file for file in files
        }
        asked = ["fsck", "--strict", "--no-full", "--no-dangling", "--no-reflogs", "--no-progress", *trees]
        done = process.run(asked, git_dir=place, cwd=os.path.join(place, "files"), ok=range(128))
    said = re.findall(rb"^error in [a-z]+ ([0-9a-f]{40}): (.*)$", done.stderr, re.MULTILINE)
    reasons = {oid.decode(): why.decode(errors="replace") for oid, why in said}
    return {file: why for tree, file in trees.items() if (why := reasons.get(tree) or reasons.get(file.oid))}
