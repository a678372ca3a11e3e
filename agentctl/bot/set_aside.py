"""Failures of agentctl itself on a change, for which nobody else's work may wait.

The change is tried a second time. If that fails too and the machine is found well, the change is set aside with the
error as evidence. Some failures end the bot itself, so that nobody is left to count them. They are counted by a note:
the bot writes down what it is at work on, and a bot that dies leaves its note behind.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator

from agentctl.core.text.json_form import dump, load
from agentctl.errors import is_ours, told
from agentctl.git import modes, plain
from agentctl.git.repository import Hub

TIMES = 2
"""The number of failures on a change at which agentctl gives it up."""


def try_machine(hub: Hub) -> None:
    """Do something that has nothing to do with any change, and raise what goes wrong.

    This is done before a change is blamed.
    """
    path = hub.own_path("at-work", "trial")
    with open(path, "wb", opener=modes.opener) as file:
        file.write(bytes(4096))
        os.fsync(file.fileno())
    os.unlink(path)
    plain.run(hub.git_dir, ["hash-object", "--stdin"], stdin=b"well?")


class Attempts:
    """How often agentctl failed on each of some names, deaths of the bot included."""

    def __init__(self, hub: Hub, what: str) -> None:
        self._hub = hub
        self._counts: dict[str, int] = {}
        self._why: dict[str, str] = {}
        self._note = os.open(hub.own_path("at-work", what + ".json"), os.O_RDWR | os.O_CREAT, 0o600)
        with contextlib.suppress(OSError, ValueError):
            for name, count in load(dict[str, int], os.pread(self._note, 1 << 20, 0)).items():
                self.failed(name, "the bot died while it was at work on it", count)

    def failed(self, name: str, why: str, times: int = 1) -> None:
        """Count `times` more failures on `name`, and remember why."""
        self._counts[name] = self._counts.get(name, 0) + times
        self._why[name] = why

    def given_up(self, name: str) -> str:
        """Return why `name` is not to be tried again; empty if it may be tried."""
        return self._why[name] if self._counts.get(name, 0) >= TIMES else ""

    def forgive(self, names: Iterable[str]) -> None:
        """Forget the failures on `names`, with which all has gone well in the end."""
        if self._counts:
            for name in names:
                self._counts.pop(name, None)
            self._write(self._counts)

    @contextlib.contextmanager
    def on(self, name: str) -> Iterator[None]:
        """Charge an error inside the context to `name`, and suppress it.

        Before the failure is charged at which agentctl gives `name` up, the machine is tried. Raises errors that are
        not the fault of `name`.
        """
        self._write({**self._counts, name: self._counts.get(name, 0) + 1})
        try:
            yield
        except Exception as error:
            if not is_ours(error):
                raise
            if self._counts.get(name, 0) + 1 >= TIMES:
                try_machine(self._hub)
            self.failed(name, told(error))
        finally:
            self._write(self._counts)

    def _write(self, counts: dict[str, int]) -> None:
        """Write the note, ignoring errors: if the note is lost, something is only tried once more."""
        data = dump(counts) if counts else b""
        with contextlib.suppress(OSError):
            os.ftruncate(self._note, 0)
            os.pwrite(self._note, data, 0)

    def close(self) -> None:
        os.close(self._note)
