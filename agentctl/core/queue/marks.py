"""The marks as values: the ids that each ref of the bot may have by the bot's own doing.

A ref has one id, or, from before a move until after it, two: the old and the new. A kill in between leaves the ref at
either. An empty id means that the ref does not exist.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from agentctl.core.text.json_form import Struct, dump, load, replace

_Id = Annotated[str, msgspec.Meta(pattern=r"\A([0-9a-f]{40})?\Z")]


class Marks(Struct, frozen=True, omit_defaults=False):
    refs: dict[str, Annotated[tuple[_Id, ...], msgspec.Meta(min_length=1)]] = {}
    """The ids of each ref, by its full name; the last id is the newest."""
    adopt: _Id = ""
    """A tip of trunk that a person accepts, whoever made it."""
    version: Literal[1] = 1

    def ours(self, ref: str, found: str | None) -> bool:
        """Tell whether the bot may have left `ref` like this; always True for a ref that the bot never wrote."""
        return ref not in self.refs or (found or "") in self.refs[ref]

    def newest(self, ref: str) -> str:
        """Return the id that the bot wrote last, or was about to write."""
        return self.refs[ref][-1]

    def moving(self, ref: str, old: str | None, new: str | None, again: bool = False) -> Marks:
        """Return the marks for the time while the bot moves `ref`, perhaps `again` before an earlier move is settled."""
        before = self.refs.get(ref, ())
        first = before if again and before[-1:] == ((old or ""),) else ((old or ""),)
        return replace(self, refs={**self.refs, ref: (*first, new or "")})

    def settled(self, ref: str, found: str | None) -> Marks:
        """Return the marks for the time after a move, when `ref` is at `found`."""
        return replace(self, refs={**self.refs, ref: (found or "",)})


def encode(marks: Marks) -> bytes:
    return msgspec.json.format(dump(marks), indent=1) + b"\n"


def decode(data: bytes) -> Marks:
    """Return the marks from JSON. Raise ValueError for what `encode` does not write."""
    return load(Marks, data)
