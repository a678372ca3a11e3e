"""Scratch directories: Git directories of ours, for looking at what somebody else may have written.

A Git that runs in a folder obeys what lies in its Git directory: configuration, hooks, attributes, flags in the index.
So Git never runs in a Git directory that an agent or a gate can write. It runs in a scratch directory instead, which
holds only what is written here, and it reads and writes objects in the folders that are named to it.
"""

from __future__ import annotations

import functools
import os
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from agentctl.git import conversion, fifos, modes, process
from agentctl.git.repository import Hub

PRIVATE: tuple[conversion.Setting, ...] = (("core.sharedrepository", "0600"),)
"""Settings for a scratch directory whose index nobody else may read."""

REMEMBERED = 1000
_written: dict[str, tuple[str, tuple[int, int] | None]] = {}
"""What was written to each scratch directory, and when; mostly the same is to be written again."""
LAST = "HEAD"
"""The file of a scratch directory that is written last."""

PLAIN: tuple[conversion.Setting, ...] = (
    ("core.repositoryformatversion", "0"),
    ("core.bare", "false"),
    ("core.safecrlf", "false"),
    ("core.logallrefupdates", "false"),
    ("diff.ignoresubmodules", "all"),
    ("submodule.recurse", "false"),
    ("index.version", "2"),
    ("core.untrackedcache", "false"),
    ("core.commitgraph", "false"),
    ("core.multipackindex", "false"),
    ("core.sparsecheckout", "false"),
)


@dataclass(frozen=True, slots=True)
class Scratch:
    path: str
    objects: str
    """The folder that objects are written to and read from."""
    borrowed: tuple[str, ...] = ()
    """Further folders that objects are read from."""
    work_tree: str | None = None
    index: str | None = None
    env: Mapping[str, str] = field(default_factory=dict)

    def run(
        self, *args: str, stdin: bytes = b"", source: str | None = None, ok: Sequence[int] = (0,)
    ) -> subprocess.CompletedProcess[bytes]:
        return process.run(
            args,
            git_dir=self.path,
            cwd=self.work_tree or self.path,
            env=self.environment,
            stdin=stdin,
            source=source,
            ok=ok,
            free=functools.partial(fifos.clear, self.work_tree) if self.work_tree else None,
        )

    def text(self, *args: str, stdin: bytes = b"", source: str | None = None, ok: Sequence[int] = (0,)) -> str:
        done = self.run(*args, stdin=stdin, source=source, ok=ok)
        return done.stdout.decode(errors="surrogateescape").removesuffix("\n")

    def fields(self, *args: str, stdin: bytes = b"") -> list[str]:
        """Return the fields of an output in which each field ends with a NUL."""
        return self.run(*args, stdin=stdin).stdout.decode(errors="surrogateescape").split("\0")[:-1]

    @property
    def environment(self) -> dict[str, str]:
        named = {
            "GIT_OBJECT_DIRECTORY": self.objects,
            "GIT_LITERAL_PATHSPECS": "1",
            "GIT_ALTERNATE_OBJECT_DIRECTORIES": ":".join(map(quoted, self.borrowed)),
        }
        if self.work_tree:
            named["GIT_WORK_TREE"] = self.work_tree
        if self.index:
            named["GIT_INDEX_FILE"] = self.index
        return {**self.env, **named}


def quoted(path: str) -> str:
    """Return a folder of objects as Git reads it from a list: in quotes if a character in it is special there."""
    if not any(c in path for c in ':"\n\\#'):
        return path
    return '"' + path.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'


def write(
    path: str,
    settings: tuple[conversion.Setting, ...] = (),
    refs: Mapping[str, str] | None = None,
    info: Mapping[str, str] | None = None,
    head: str = "ref: refs/heads/none",
) -> None:
    """Make a scratch directory at `path`, or make it anew.

    `refs` are object ids by full name; `info` is the content of files below info/.
    """
    wanted = repr((settings, refs, info, head))
    if _written.get(path) == (wanted, _last(path)):
        return
    for folder in ("objects", "refs", "info"):
        modes.folder(os.path.join(path, folder))
    listed = "".join(f"{oid} {name}\n" for name, oid in sorted((refs or {}).items()))
    files = {
        "packed-refs": listed,
        "config": conversion.encoded((*PLAIN, *settings)),
        **{f"info/{name}": (info or {}).get(name, "") for name in ("exclude", "attributes", "sparse-checkout")},
        LAST: head + "\n",
    }
    for name, text in files.items():
        with open(os.path.join(path, name), "w", errors="surrogateescape", opener=modes.opener) as file:
            file.write(text)
    if len(_written) > REMEMBERED:
        _written.clear()
    _written[path] = wanted, _last(path)


def _last(path: str) -> tuple[int, int] | None:
    """Return (inode, nanoseconds of the last change) of the file that is written last; None if there is none."""
    try:
        found = os.stat(os.path.join(path, LAST))
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns


def for_files(
    hub: Hub,
    path: str,
    work_tree: str,
    index: str,
    objects: str,
    borrowed: tuple[str, ...],
    extra: tuple[conversion.Setting, ...] = (),
    info: Mapping[str, str] | None = None,
) -> Scratch:
    """Make a scratch directory that turns files into blobs and back as the user's Git does.

    Filters are given the user's environment.
    """
    write(
        path,
        (*conversion.settings(hub), *extra),
        info={"exclude": conversion.info(hub, "exclude"), "attributes": conversion.info(hub, "attributes"), **(info or {})},
    )
    closed = process.command([], None)[1]
    return Scratch(path, objects, borrowed, work_tree, index, {**process.child_environment(), **closed})
