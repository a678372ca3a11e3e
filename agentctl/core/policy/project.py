"""A project: a folder of a repository that one tool chain builds and tests."""

from __future__ import annotations

import json
import posixpath
import tomllib
from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import cached_property

from agentctl.core.text.json_form import Plain


@dataclass(frozen=True, slots=True)
class Project:
    language: str
    folder: str
    """Where it is; empty for the top."""
    because: str
    """What tells so, as a sentence."""
    gate: str
    """The command that tests it, in its folder."""
    setup: str = ""
    """The command that installs what it needs, in its folder; empty if it needs none."""
    setup_on: tuple[str, ...] = ()
    keep: tuple[str, ...] = ()
    tested: bool = True
    """Whether the gate is one that the project itself names, and not one that would run tests if there were any."""


@dataclass(frozen=True)
class Files:
    """The tracked files in a folder, by paths from there."""

    folder: str
    every: Collection[str]
    """The paths of all files of the repository."""
    read: Callable[[str], str | None]
    """Return the text of a file of the repository, or None if there is no such file."""

    @cached_property
    def paths(self) -> tuple[str, ...]:
        start = self.folder + "/" if self.folder else ""
        return tuple(path[len(start) :] for path in self.every if path.startswith(start))

    @cached_property
    def names(self) -> frozenset[str]:
        """The names of the files that are in the folder itself."""
        return frozenset(path for path in self.paths if "/" not in path)

    def has(self, name: str) -> bool:
        return name in self.names

    def below(self, name: str) -> bool:
        """Tell whether there is a file or folder of this name."""
        return name in self.names or any(path.startswith(name + "/") for path in self.paths)

    def text(self, name: str) -> str:
        """Return the text of a file; empty if there is none."""
        return self.read(posixpath.join(self.folder, name)) or ""

    @staticmethod
    def table(value: Plain, *keys: str) -> dict[str, Plain]:
        """Return the table under these keys; empty if there is none."""
        for key in keys:
            value = value.get(key, {}) if isinstance(value, dict) else {}
        return value if isinstance(value, dict) else {}


def of_json(text: str) -> dict[str, Plain]:
    """Return an object; empty if the text is none."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def of_toml(text: str) -> dict[str, Plain]:
    """Return a document; empty if the text is none."""
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError):
        return {}
