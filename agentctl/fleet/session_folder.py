"""The folder in an agent's worktree through which agentctl and the session tell each other something.

The variable AGENTCTL_SESSION names it. It is in no change: Git is told to ignore it (`conversion.info`). It is the
agent's to write in, so nothing in it is trusted, and no link in it is followed.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

from agentctl.core.text.printable import printable
from agentctl.git import folders, modes
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
BLOCKED = "blocked"
"""If it is there, the agent cannot go on without a person; its text says why."""
LONGEST = 8_000
"""The bytes of a handoff that are kept: it stands in the task's ref, and in the next prompt."""
LONGEST_LIST = 1 << 20
"""The bytes of the longest list of tasks; a longer one is none, since half of a list would be another list."""
LONGEST_REASON = 1000


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


def said(worktree: str, name: str, most: int = LONGEST) -> str:
    """Return what the agent wrote into a file of the folder, up to `most` bytes of it; empty if there is none."""
    with contextlib.suppress(OSError), _opened(worktree, make=False) as folder:
        with folders.opened(name, folder) as file:
            return folders.read(file, most).decode(errors="replace").strip()
    return ""


def reason(worktree: str, name: str) -> str:
    """Return why the agent says what a file of that name says, in one line; empty if there is no such file."""
    with contextlib.suppress(OSError), _opened(worktree, make=False) as folder:
        os.stat(name, dir_fd=folder, follow_symlinks=False)
        return printable(" ".join(said(worktree, name).split()), LONGEST_REASON) or "it does not say why"
    return ""


def block(folder: str, reason: str) -> None:
    """Say, in the folder at this path, that the agent cannot go on without a person."""
    modes.write(os.path.join(folder, BLOCKED), reason + "\n")


def finish(folder: str, reason: str) -> None:
    """Say, in the folder at this path, that the task of a planner or a reviewer is done."""
    modes.write(os.path.join(folder, DONE), reason + "\n")


def blocked_since(worktree: str) -> float:
    """Return when the agent said that it cannot go on; 0 if it has not."""
    with contextlib.suppress(OSError), _opened(worktree, make=False) as folder:
        return os.stat(BLOCKED, dir_fd=folder, follow_symlinks=False).st_mtime
    return 0.0


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
