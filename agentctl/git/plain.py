"""Git that sees the hub's objects and nothing else of the hub.

It runs in a Git directory of our own, without configuration, attributes, hooks or refs. So Git cannot run or use what
the hub's own configuration may name: gpg, drivers of diff and merge, textconv, a remote from which missing objects are
fetched, files to include.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Iterator, Sequence
from typing import Unpack

from agentctl.git import process

ASKS_OBJECTS = frozenset(("cat-file", "diff-tree", "log", "merge-base", "merge-tree", "rev-list"))
"""Commands that need only objects, if the objects are given to them by id."""
_PREFIX = "agentctl-git-"
_free: list[str] = []
_made: set[str] = set()
_lock = threading.Lock()


def run(git_dir: str, args: Sequence[str], **options: Unpack[process.Options]) -> subprocess.CompletedProcess[bytes]:
    """Run Git as `process.run` does in a hub, for commands that are given objects by id."""
    with place() as made:
        return process.run(args, git_dir=made, cwd=made, env={"GIT_OBJECT_DIRECTORY": objects(git_dir)}, **options)


def objects(git_dir: str) -> str:
    return os.path.join(git_dir, "objects")


@contextlib.contextmanager
def place() -> Iterator[str]:
    """Lend a Git directory with nothing in it to one caller at a time.

    A caller that puts a file there must remove it again. The directory is used again later, because making and removing
    one takes longer than most Git commands. It is removed when the process ends or, after a kill, by `sweep`.
    """
    made = _taken()
    try:
        yield made
    finally:
        with _lock:
            _free.append(made)


def _taken() -> str:
    with _lock:
        while _free:
            made = _free.pop()
            if made in _made and f"{_PREFIX}{os.getpid()}-" in made and _pristine(made):
                return made
    made = tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-")
    for name in ("refs", "objects", "objects/info", "files"):
        os.mkdir(os.path.join(made, name))
    with open(os.path.join(made, "HEAD"), "w") as file:
        file.write("ref: refs/heads/none\n")
    _made.add(made)
    return made


def _pristine(made: str) -> bool:
    """Tell whether the directory is as it was made.

    It is not if somebody cleaned up the folder of temporary files, or put something there.
    """
    try:
        return (
            set(os.listdir(made)) == {"HEAD", "refs", "objects", "files"}
            and not os.listdir(os.path.join(made, "refs"))
            and not os.listdir(os.path.join(made, "files"))
        )
    except OSError:
        return False


@atexit.register
def _remove() -> None:
    for made in _made:
        if f"{_PREFIX}{os.getpid()}-" in made:
            shutil.rmtree(made, ignore_errors=True)


def sweep() -> None:
    """Remove the Git directories that killed processes left."""
    folder = tempfile.gettempdir()
    for name in os.listdir(folder):
        pid = name.removeprefix(_PREFIX).partition("-")[0]
        if name.startswith(_PREFIX) and process.ended(pid):
            shutil.rmtree(os.path.join(folder, name), ignore_errors=True)
