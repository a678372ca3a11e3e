"""The place of the demonstration: a folder with a repository, made for it and removed at its end."""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from json import dumps

from agentctl.demo import agent
from agentctl.engine import processes
from agentctl.git import process
from agentctl.git.repository import Hub, find

HERE = os.path.dirname(os.path.abspath(__file__))
AGENTS = 8
SUITE = (sys.executable, "-E", "-s", "-S", "-B", "-m", "unittest", "-q")
"""The command that runs the project's tests; what Python finds in the environment makes no difference to it."""
AGENT = (sys.executable, "-I", "-S", os.path.join(HERE, "agent.py"))
TASKS = os.path.join(HERE, "tasks.yaml")


@dataclass(frozen=True)
class Place:
    folder: str
    hub: Hub

    @property
    def project(self) -> str:
        return os.path.join(self.folder, "kit")


@contextlib.contextmanager
def place(keep: bool) -> Iterator[Place]:
    """Make a temporary folder with the project's repository.

    At the end of the block, what still runs there is killed and the folder is removed; with `keep` the files stay.
    """
    folder = os.path.realpath(tempfile.mkdtemp(prefix="agentctl-demo-"))
    try:
        yield Place(folder, make(os.path.join(folder, "kit")))
    finally:
        with contextlib.suppress(OSError):
            processes.sweep(Hub(os.path.join(folder, "kit", ".git"), None).mark)
        if not keep:
            _remove(folder)


def _remove(folder: str) -> None:
    """Remove the folder, again and again for a while: a process that was just killed may still be writing in it."""
    for _ in range(50):
        shutil.rmtree(folder, ignore_errors=True)
        if not os.path.lexists(folder):
            return
        time.sleep(0.1)


def make(project: str) -> Hub:
    """Make the project's repository with its first commit, which has the policy, and return it as a hub."""
    os.makedirs(project)
    for path, text in agent.unpack("project.txt").items():
        full = os.path.join(project, path)
        os.makedirs(os.path.dirname(full), exist_ok=True)
        with open(full, "w", encoding="utf-8") as file:
            file.write(text.replace("@GATE@", dumps(shlex.join(SUITE))))
    who = {
        f"GIT_{role}_{what}": value
        for role in ("AUTHOR", "COMMITTER")
        for what, value in (("NAME", "agentctl demo"), ("EMAIL", "demo@localhost"))
    }
    for words in (
        ("init", "--quiet", "--initial-branch=main", "--template="),
        ("add", "--all"),
        ("commit", "--quiet", "--message", "Begin"),
    ):
        process.run(words, cwd=project, env=who)
    return find(project)
