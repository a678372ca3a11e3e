"""The .gitattributes by which `git merge` in a checkout would merge, laid out for a Git without a checkout.

A merge driver of somebody's own needs configuration, and that Git has none. So only built-in merges remain: text,
binary, union, or no merge at all.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping

from agentctl.git.objects import EXECUTABLE, FILE, TREE, Objects

NAME = b".gitattributes"
LARGEST = 1 << 20
"""Bytes of the largest attributes file that counts."""
_SPEAKS = re.compile(rb"merge|binary")
"""A file that says anything of merges has one of these words: the attribute, or the built-in macro that sets it."""
_NO_FOLDER = frozenset((b"", b".", b"..", b".git"))


def found(objects: Objects, tree: str, paths: Iterable[str]) -> dict[bytes, bytes]:
    """Return the content of each attributes file on the way to `paths` in a tree, by folder.

    The top folder is the empty name. The result is empty if no file says anything of merges.
    """
    files: dict[bytes, bytes] = {}
    folders: dict[bytes, str | None] = {b"": tree}
    for path in paths:
        parts, folder = os.fsencode(path).split(b"/")[:-1], b""
        for part in [None, *parts]:
            if part is not None:
                above = folders[folder]
                folder = folder + b"/" + part if folder else part
                if folder not in folders:
                    entry = objects.tree(above).get(part) if above and part.lower() not in _NO_FOLDER else None
                    folders[folder] = entry[1] if entry and entry[0] == TREE else None
            here = folders[folder]
            if here is None:
                break
            if folder not in files:
                files[folder] = _content(objects, here)
    kept = {folder: text for folder, text in files.items() if text}
    return kept if any(_SPEAKS.search(text) for text in kept.values()) else {}


def _content(objects: Objects, tree: str) -> bytes:
    """Return the content of a folder's attributes file; empty if there is none that Git would read.

    Git does not follow a link there.
    """
    mode, oid = objects.tree(tree).get(NAME, (0, ""))
    return objects.blob(oid) if mode in (FILE, EXECUTABLE) and objects.size(oid) <= LARGEST else b""


def lay_out(place: str, files: Mapping[bytes, bytes]) -> None:
    """Write attributes files into a folder."""
    for folder, text in files.items():
        path = os.path.join(os.fsencode(place), folder)
        os.makedirs(path, exist_ok=True)
        with open(os.path.join(path, NAME), "wb") as file:
            file.write(text)
