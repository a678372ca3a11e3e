"""A Git directory for one question to Git that needs objects of a hub, and objects beside them that the hub shall not get."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator

from agentctl.git import plain
from agentctl.git.scratch import quoted
from agentctl.git.store import Store


@contextlib.contextmanager
def place(git_dir: str) -> Iterator[tuple[str, Store]]:
    """Lend (a Git directory that borrows the objects of a hub, the store for what is added); both are empty afterwards."""
    with plain.place() as made:
        store, alternates = Store(made), os.path.join(made, "objects", "info", "alternates")
        try:
            with open(alternates, "wb") as file:
                file.write(os.fsencode(quoted(plain.objects(git_dir))) + b"\n")
            yield made, store
        finally:
            os.unlink(alternates)
            for oid in store.loose():
                os.unlink(os.path.join(made, "objects", oid[:2], oid[2:]))
            for name in os.listdir(os.path.join(made, "files")):
                _gone(os.path.join(made, "files", name))


def _gone(path: str) -> None:
    shutil.rmtree(path) if os.path.isdir(path) else os.unlink(path)
