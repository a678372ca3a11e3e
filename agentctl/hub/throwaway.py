"""A repository that is made for one purpose, and removed with all that still runs in it."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping

from agentctl.engine import processes
from agentctl.git import process
from agentctl.git.repository import Hub, find


@contextlib.contextmanager
def repository(purpose: str, name: str, files: Mapping[str, str], by: str, keep: bool = False) -> Iterator[Hub]:
    """Make the repository `name` in a temporary folder called by its purpose, with one commit of these files `by` somebody.

    At the end of the block, what still runs there is killed and the folder is removed; with `keep` the files stay.
    """
    folder = os.path.realpath(tempfile.mkdtemp(prefix=f"agentctl-{purpose}-"))
    top = os.path.join(folder, name)
    try:
        yield _begun(top, files, by)
    finally:
        with contextlib.suppress(OSError):
            processes.sweep(Hub(os.path.join(top, ".git"), None).mark)
        if not keep:
            _remove(folder)


def _begun(top: str, files: Mapping[str, str], by: str) -> Hub:
    for path, text in files.items():
        full = os.path.join(top, path)
        os.makedirs(os.path.dirname(full), exist_ok=True)
        with open(full, "w", encoding="utf-8") as file:
            file.write(text)
    who = {
        f"GIT_{role}_{what}": value
        for role in ("AUTHOR", "COMMITTER")
        for what, value in (("NAME", by), ("EMAIL", f"{by.split()[-1]}@localhost"))
    }
    for words in (
        ("init", "--quiet", "--initial-branch=main", "--template="),
        ("add", "--all"),
        ("commit", "--quiet", "--message", "Begin"),
    ):
        process.run(words, cwd=top, env=who)
    return find(top)


def _remove(folder: str) -> None:
    """Remove the folder, again and again for a while: a process that was just killed may still be writing in it."""
    for _ in range(50):
        shutil.rmtree(folder, ignore_errors=True)
        if not os.path.lexists(folder):
            return
        time.sleep(0.1)
