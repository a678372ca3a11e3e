"""What the bot wrote last, as values: the ids that each of its refs may have by its own doing.

One id; or two, the old and the new, from before a move until after it: a kill in between leaves
the ref at either. An empty id stands for no ref.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from agentctl.core.text.json_form import Struct, dump, load, replace

_Id = Annotated[str, msgspec.Meta(pattern=r"\A([0-9a-f]{40})?\Z")]


class Marks(Struct, frozen=True, omit_defaults=False):
    refs: dict[str, Annotated[tuple[_Id, ...], msgspec.Meta(min_length=1)]] = {}
    """By full name; the last id is the newest."""
    adopt: _Id = ""
    """A tip of trunk that a person takes for right, whoever made it."""
    version: Literal[1] = 1

    def ours(self, ref: str, found: str | None) -> bool:
        """True if the bot may have left `ref` like this. Of a ref that it never wrote anything goes."""
        return ref not in self.refs or (found or "") in self.refs[ref]

    def newest(self, ref: str) -> str:
        """What the bot wrote, or was about to write."""
        return self.refs[ref][-1]

    def moving(self, ref: str, old: str | None, new: str | None) -> Marks:
        """The marks while the bot moves `ref`."""
        return replace(self, refs={**self.refs, ref: (old or "", new or "")})

    def settled(self, ref: str, found: str | None) -> Marks:
        """The marks after it: `ref` is as `found`."""
        return replace(self, refs={**self.refs, ref: (found or "",)})


def encode(marks: Marks) -> bytes:
    return msgspec.json.format(dump(marks), indent=1) + b"\n"


def decode(data: bytes) -> Marks:
    """Raises ValueError for what `encode` does not write."""
    return load(Marks, data)
