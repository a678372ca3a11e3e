"""What the answer to a rejected submission says: the file verdict.json of its outbox ref."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Annotated

import msgspec

from agentctl.core.text.json_form import Oid, dump, load

_Id = Annotated[str, msgspec.Meta(pattern=r"\A([0-9a-f]{40})?\Z")]
"""The id of an object, or nothing."""
_Number = Annotated[int, msgspec.Meta(ge=-(1 << 53), le=1 << 53)]


class Other(msgspec.Struct, frozen=True):
    """Another commit that landed."""

    commit: Oid
    change: str = ""
    subject: str = ""


class Facts(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a rejection rests on. The ledger has why in types of its own: this is for agents.

    Each field is checked where the file is read; a file may hold more.
    """

    kind: str = ""
    change: str = ""
    """The key of the submission."""
    why: str = ""
    trunk: _Id = ""
    rules: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()
    """The paths that conflict, quoted."""
    messages: str = ""
    conflicting: tuple[Other, ...] = msgspec.field(default=(), name="with")
    landed: tuple[Other, ...] = ()
    """What landed since the change's base."""
    certificate: str = ""
    by: str = ""
    """Who refuses the change in a review."""
    step: str = ""
    exit: _Number | None = None
    commit: _Id = ""
    base: _Id = ""
    probe: _Number = 0
    chain: tuple[str, ...] = ()
    gate: str = ""
    failed: _Id = ""
    passed: _Id = ""


def encode(said: Facts) -> bytes:
    return msgspec.json.format(dump(said), indent=1)


def decode(data: bytes) -> Facts:
    """Return the facts from JSON. Raise ValueError if one of them is not of its type."""
    return load(Facts, data)


KEPT, YOUNG = 1000, 86_400.0
"""How many answers are kept, the newest, and the seconds for which each is: what they are about stands in the ledger too."""
ENOUGH, AT_A_TIME = KEPT + 100, 200
"""From how many answers on old ones go, and how many at a time."""


def outdated(written: Mapping[str, float], needed: Collection[str], now: float) -> list[str]:
    """Return the answers that go, the oldest first; `written` has when each was written, and no `needed` one goes."""
    oldest = sorted(written, key=lambda name: (written[name], name))[: max(0, len(written) - KEPT)]
    return [name for name in oldest if is_old(written[name], now) and name not in needed][:AT_A_TIME]


def is_old(written: float, now: float) -> bool:
    return written <= now - YOUNG
