"""A file in which a process of this repository tells commands in other terminals about itself.

It says nothing once that process has ended.
"""

from __future__ import annotations

import contextlib
from typing import Any, TypeVar

import msgspec

from agentctl.core.text.json_form import Plain, Struct, dump, load
from agentctl.engine import owner
from agentctl.git import folders

LONGEST = 1 << 16
"""The most bytes of such a file."""

Kind = TypeVar("Kind")


class Told(Struct, frozen=True):
    owner: Plain
    said: Any


def write(path: str, said: object) -> None:
    folders.put(path, dump(Told(owner.identity(), said)).decode())


def read(path: str, kind: type[Kind]) -> Kind | None:
    """Return what the process says; None if it has ended, or if the file is no such file."""
    with contextlib.suppress(msgspec.MsgspecError, ValueError):
        told = load(Told, folders.content(path, LONGEST) or b"")
        return msgspec.convert(told.said, kind) if owner.alive(told.owner) else None
    return None
