"""The command line of agentctl, killed before its n-th effect.

    python -m bench.killed N FILE ARGUMENT...

An effect is what changes the world outside of the process: a file is opened for writing (this counts once more when
it is open and still empty), renamed, removed, linked, made, or changed in size or mode; a Git that writes is started,
or any other process. The number of effects is written to FILE.
"""

from __future__ import annotations

import os
import signal
import sys
from typing import Any

WRITES = frozenset(
    (
        "branch",
        "clean",
        "commit",
        "config",
        "fetch",
        "gc",
        "hash-object",
        "merge",
        "pack-refs",
        "push",
        "read-tree",
        "repack",
        "reset",
        "switch",
        "symbolic-ref",
        "update-index",
        "update-ref",
        "worktree",
        "write-tree",
        "add",
        "init",
        "clone",
        "unpack-objects",
        "index-pack",
        "checkout-index",
    )
)
EVENTS = frozenset(
    ("os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.link", "os.symlink", "os.truncate", "os.chmod", "os.utime")
)
OPENED = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


class Killer:
    def __init__(self, fatal: int, counted: str) -> None:
        self.fatal, self.seen, self.counted = fatal, 0, counted

    def hear(self, event: str, args: tuple[Any, ...]) -> None:
        """Count an audit event if it is an effect."""
        if event == "open" and isinstance(args[2], int) and args[2] & OPENED and not _harmless(args[0]):
            self.count()
            if self.count(strike=False):
                # There is no event after a call, but the profiler hears what Python does next: it returns from the call.
                sys.setprofile(lambda *_: os.kill(os.getpid(), signal.SIGKILL))
        elif event in EVENTS or (event == "subprocess.Popen" and _writes(args[1])):
            self.count()

    def count(self, strike: bool = True) -> bool:
        self.seen += 1
        if self.seen == self.fatal and strike:
            os.kill(os.getpid(), signal.SIGKILL)
        return self.seen == self.fatal

    def tell(self) -> None:
        sys.stdout.flush()
        with open(self.counted, "w") as file:
            file.write(str(self.seen))


def _harmless(path: object) -> bool:
    return not isinstance(path, (str, bytes)) or os.fsdecode(path).startswith(("/dev/", "/proc/"))


def _writes(argv: object) -> bool:
    words = [os.fsdecode(word) for word in argv] if isinstance(argv, (list, tuple)) else [str(argv)]
    return os.path.basename(words[0]) != "git" or bool(WRITES.intersection(words))


def main() -> None:
    fatal, counted, *sys.argv[1:] = sys.argv[1:]
    from agentctl import cli, signals

    killer = Killer(int(fatal), counted)
    sys.addaudithook(killer.hear)
    sys.dont_write_bytecode = True
    status = cli.run(sys.argv[1:], signals.install)
    seen = killer.seen
    killer.fatal, killer.seen = 0, seen
    killer.tell()
    sys.exit(status)


if __name__ == "__main__":
    main()
