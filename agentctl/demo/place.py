"""The place of the demonstration: a folder with a repository, made for it and removed at its end."""

from __future__ import annotations

import contextlib
import os
import shlex
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from json import dumps

from agentctl.demo import agent
from agentctl.git.repository import Hub
from agentctl.hub import throwaway

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
    """Make the project's repository, with the policy in its first commit; with `keep` its files stay."""
    files = {path: text.replace("@GATE@", dumps(shlex.join(SUITE))) for path, text in agent.unpack("project.txt").items()}
    with throwaway.repository("demo", "kit", files, "agentctl demo", keep) as hub:
        assert hub.top
        yield Place(os.path.dirname(hub.top), hub)
