"""git update-ref killed half-way: some refs have moved, the rest are locked by a dead process.

A transaction is all or nothing against other writers, not against a kill. Here real Git
carries out the first part of one, takes the locks of the rest, and is killed.
"""

import os
import subprocess
import time

import pytest

from agentctl.git import process
from tests.crash.test_landing import Crash, begin, holds  # noqa: F401
from tests.support.hub import Repo


class Killer:
    """Kills the n-th update-ref after some of its commands; what comes later does not happen."""

    def __init__(self, monkeypatch):
        self.fatal = self.done = self.seen = self.commands = 0
        self.over = False
        self._real = process._called
        monkeypatch.setattr(process, "_called", self._run)

    def arm(self, fatal, done):
        self.fatal, self.done, self.seen, self.commands, self.over = fatal, done, 0, 0, False

    def disarm(self):
        self.arm(0, 0)

    def _run(self, argv, **options):
        if self.over:
            raise Crash(argv[-1])
        if "update-ref" in argv:
            self.seen += 1
            if self.seen == self.fatal:
                self.over = True
                self._half(argv, options)
                raise Crash("update-ref")
        return self._real(argv, **options)

    def _half(self, argv, options):
        commands = split(options["input"])
        self.commands, done = len(commands), min(self.done, len(commands) - 1)
        if done:
            self._real(argv, **options | {"input": b"".join(commands[:done])}).check_returncode()
        options = {key: options[key] for key in ("cwd", "env")}
        with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, **options) as git:
            git.stdin.write(b"start\0" + b"".join(commands[done:]) + b"prepare\0")
            git.stdin.flush()
            assert [git.stdout.readline() for _ in range(2)] == [b"start: ok\n", b"prepare: ok\n"]
            git.kill()


def split(data):
    """The commands of a transaction, in the order in which Git carries them out."""
    inner = data.removeprefix(b"start\0").removesuffix(b"commit\0")
    arguments, fields, found = {b"create": 2, b"update": 3, b"delete": 2}, inner.split(b"\0")[:-1], []
    while fields:
        count = arguments[fields[0].split()[0]]
        found.append(b"\0".join(fields[:count]) + b"\0")
        fields = fields[count:]
    return sorted(found, key=lambda command: command.startswith(b"delete"))


def stale(repo):
    """The locks that a dead Git left, made older than any that a living one holds."""
    found = [path for path in (repo.path / ".git").rglob("*.lock") if "agentctl/locks" not in str(path)]
    for path in found:
        os.utime(path, (time.time() - 60,) * 2)
    return found


def cut_off(begin, killer, fatal, done):
    """Kill one transaction after `done` commands, and let the next bot finish. How many
    commands the transaction had; 0 if there was none of that number."""
    repo = begin(fatal)
    killer.arm(fatal, done)
    try:
        Repo(repo.path).drain()
    except Crash:
        pass
    commands = killer.commands
    killer.disarm()
    assert bool(stale(repo)) == bool(commands)
    Repo(repo.path).drain()
    assert stale(repo) == []
    holds(repo)
    return commands


def places(commands, every):
    """After how many commands it is killed besides at once."""
    return range(1, commands) if every else range(max(1, commands - 1), commands)


@pytest.mark.parametrize("every", [False, pytest.param(True, marks=pytest.mark.slow)], ids=["first and last", "every"])
def test_each_transaction_cut_off(begin, monkeypatch, every):  # noqa: F811
    killer, fatal = Killer(monkeypatch), 1
    while commands := cut_off(begin, killer, fatal, 0):
        for done in places(commands, every):
            cut_off(begin, killer, fatal, done)
        fatal += 1
    assert fatal > 5
