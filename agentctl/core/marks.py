"""What the bot wrote last, as values: the ids that each of its refs may have by its own doing.

One id; or two, the old and the new, from before a move until after it: a kill in between leaves
the ref at either. An empty id stands for no ref.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from agentctl.core.shape import loads

VERSION = 1
_OID = re.compile(r"[0-9a-f]{40}|")


@dataclass(frozen=True, slots=True)
class Marks:
    refs: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """By full name; the last id is the newest."""
    adopt: str = ""
    """A tip of trunk that a person takes for right, whoever made it."""

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
    held = {"version": VERSION, "refs": {ref: list(ids) for ref, ids in marks.refs.items()}, "adopt": marks.adopt}
    return (json.dumps(held, indent=1, sort_keys=True) + "\n").encode()


def decode(data: bytes) -> Marks:
    """Raises ValueError for what `encode` does not write."""
    held = loads(data)
    if not isinstance(held, dict) or held.get("version") != VERSION or not isinstance(held.get("refs"), dict):
        raise ValueError(f"no marks of version {VERSION}")
    refs = {ref: tuple(ids) for ref, ids in held["refs"].items() if isinstance(ids, list)}
    ids = [one for listed in refs.values() for one in listed] + [held.get("adopt")]
    if len(refs) < len(held["refs"]) or not all(refs.values()) or \
            not all(isinstance(one, str) and _OID.fullmatch(one) for one in ids):
        raise ValueError("an id is no object's")
    return Marks(refs, held["adopt"])
