"""Git that sees the hub's objects and nothing else of it: in a Git directory of our own, without
configuration, attributes, hooks or refs.

What the hub's own configuration may name (gpg, drivers of diff and merge, textconv, a remote that
has missing objects fetched, files to include) is not there to be run.
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
"""Commands that need no more than objects, if they are given these by id."""
_PREFIX = "agentctl-git-"
_free: list[str] = []
_made: set[str] = set()
_lock = threading.Lock()


def run(git_dir: str, args: Sequence[str], **options: Unpack[process.Options]) -> subprocess.CompletedProcess[bytes]:
    """As `process.run` in a hub, for commands that are given objects by id."""
    with place() as made:
        return process.run(args, git_dir=made, cwd=made, env={"GIT_OBJECT_DIRECTORY": objects(git_dir)}, **options)


def objects(git_dir: str) -> str:
    return os.path.join(git_dir, "objects")


@contextlib.contextmanager
def place() -> Iterator[str]:
    """A Git directory with nothing in it, for one caller at a time. Whoever puts a file there takes
    it away again. It is used anew, for to make and remove one takes longer than most Gits; it goes
    with the process, or with `sweep`."""
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
    """True unless somebody tidied up in the folder of temporary files, or put something there."""
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
    """Remove what killed processes left."""
    folder = tempfile.gettempdir()
    for name in os.listdir(folder):
        pid = name.removeprefix(_PREFIX).partition("-")[0]
        if name.startswith(_PREFIX) and process.ended(pid):
            shutil.rmtree(os.path.join(folder, name), ignore_errors=True)
