"""The .gitattributes by which `git merge` in a checkout would merge, laid out for a Git that has no
checkout. A driver of somebody's own is configuration, and that Git has none: what there is is built
in, text, binary, union, or no merge at all.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping

from agentctl.git.objects import EXECUTABLE, FILE, TREE, Objects

NAME = b".gitattributes"
LARGEST = 1 << 20
"""Bytes of a file that is heeded."""
_SPEAKS = re.compile(rb"merge|binary")
"""A file says nothing of merges without one of these words: the attribute, or the built-in macro that holds it."""
_NO_FOLDER = frozenset((b"", b".", b"..", b".git"))


def found(objects: Objects, tree: str, paths: Iterable[str]) -> dict[bytes, bytes]:
    """Content by folder (empty for the top) of each file of attributes on the way to `paths` in a
    tree; nothing if none of them says anything of merges."""
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
    """Empty if there is none that Git would read: it follows no link."""
    mode, oid = objects.tree(tree).get(NAME, (0, ""))
    return objects.blob(oid) if mode in (FILE, EXECUTABLE) and objects.size(oid) <= LARGEST else b""


def lay_out(place: str, files: Mapping[bytes, bytes]) -> None:
    """Write them into a folder."""
    for folder, text in files.items():
        path = os.path.join(os.fsencode(place), folder)
        os.makedirs(path, exist_ok=True)
        with open(os.path.join(path, NAME), "wb") as file:
            file.write(text)
