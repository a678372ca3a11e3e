"""The folder in an agent's worktree through which agentctl and the session tell each other something.

The variable AGENTCTL_SESSION names it. It is in no change: Git is told to ignore it (`conversion.info`). It is the
agent's to write in, so nothing in it is trusted, and no link in it is followed.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator

from agentctl.git import folders
from agentctl.git.conversion import SESSION

VARIABLE = "AGENTCTL_SESSION"
NEWS = "news.md"
"""What the agent is told while it works."""
HANDOFF = "handoff.md"
"""What the agent tells whoever goes on."""
DONE = "done"
"""That a planner or a reviewer is done with its task, and why."""
TASKS = "tasks.yaml"
"""Tasks that a planner adds."""
LONGEST = 64_000
"""The bytes of a file of the agent's that are read."""


def path(worktree: str) -> str:
    return os.path.join(worktree, SESSION)


def make(worktree: str) -> str:
    """Make the folder anew and return its path. Raises OSError if something of trunk's is in its place."""
    folders.drop(worktree, SESSION)
    with _opened(worktree):
        return path(worktree)


def tell(worktree: str, text: str) -> None:
    """Put the news into the folder, whole or not at all; no text takes them away."""
    with _opened(worktree) as folder:
        if not text:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(NEWS, dir_fd=folder)
            return
        new = f".{os.urandom(8).hex()}"
        handle = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600, dir_fd=folder)
        with open(handle, "w", encoding="utf-8", errors="backslashreplace") as file:
            file.write(text)
        os.rename(new, NEWS, src_dir_fd=folder, dst_dir_fd=folder)


def said(worktree: str, name: str) -> str:
    """Return what the agent wrote into a file of the folder; empty if there is none; a long one is cut."""
    with contextlib.suppress(OSError), _opened(worktree, make=False) as folder:
        handle = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=folder)
        with open(handle, "rb") as file:
            if stat.S_ISREG(os.fstat(handle).st_mode):
                return file.read(LONGEST).decode(errors="replace").strip()
    return ""


@contextlib.contextmanager
def _opened(worktree: str, make: bool = True) -> Iterator[int]:
    """Open the folder, which is made if it is not there; without `make`, raise FileNotFoundError then."""
    with contextlib.ExitStack() as opened:
        at = None
        for name in (worktree, *SESSION.split("/")):
            if at is not None and make:
                with contextlib.suppress(FileExistsError):
                    os.mkdir(name, 0o700, dir_fd=at)
            at = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=at)
            opened.callback(os.close, at)
        assert at is not None
        yield at
