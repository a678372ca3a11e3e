"""Git that sees the hub's objects and nothing else of it: in a Git directory made for one call,
without configuration, attributes, hooks or refs.

What the hub's own configuration may name (gpg, drivers of diff and merge, textconv, a remote that
has missing objects fetched, files to include) is not there to be run.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence

from agentctl.git import process

ASKS_OBJECTS = frozenset(("cat-file", "diff-tree", "log", "merge-base", "merge-tree", "rev-list"))
"""Commands that need no more than objects, if they are given these by id."""
_NAME = "agentctl-git-{pid}-"


def run(git_dir: str, args: Sequence[str], **options) -> subprocess.CompletedProcess[bytes]:
    """As `process.run` in a hub, for commands that are given objects by id."""
    with place() as made:
        return process.run(args, git_dir=made, cwd=made, env={"GIT_OBJECT_DIRECTORY": objects(git_dir)}, **options)


def objects(git_dir: str) -> str:
    return os.path.join(git_dir, "objects")


@contextlib.contextmanager
def place() -> Iterator[str]:
    """An empty Git directory, removed at the end."""
    made = tempfile.mkdtemp(prefix=_NAME.format(pid=os.getpid()))
    try:
        os.mkdir(os.path.join(made, "refs"))
        with open(os.path.join(made, "HEAD"), "w") as file:
            file.write("ref: refs/heads/none\n")
        yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)


def sweep() -> None:
    """Remove what killed processes left."""
    folder, prefix = tempfile.gettempdir(), _NAME.partition("{")[0]
    for name in os.listdir(folder):
        pid = name.removeprefix(prefix).partition("-")[0]
        if name.startswith(prefix) and pid.isdecimal() and not _alive(int(pid)):
            shutil.rmtree(os.path.join(folder, name), ignore_errors=True)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        pass
    return True
