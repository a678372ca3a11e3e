"""Pausing or freezing the queue: the ref refs/agentctl/pause.

While the ref stands, the queue is paused: the bot admits and tests changes, but lands none. Or it is frozen: changes
below a priority are neither tested nor landed, and the others go on.

The ref names a commit without files or parents whose subject is a JSON object: by, reason, at, below. Whoever can write
refs can create or delete it, whether or not a bot runs.
"""

from __future__ import annotations

import json
import math
import time
from typing import Annotated, Any

import msgspec

from agentctl.core import refnames
from agentctl.core.text.json_form import Struct, dump
from agentctl.errors import Contended, Refused
from agentctl.git import ref_files, refs, stale_locks
from agentctl.git.objects import EMPTY_TREE, ObjectError
from agentctl.git.refs import Ref
from agentctl.git.repository import Hub

LONGEST, LONGEST_NAME = 2_000, 100
"""The most characters of a reason and of a name; what is longer is cut."""


class Pause(Struct, frozen=True):
    by: str = ""
    reason: str = ""
    at: float = 0.0
    """When it began; 0 if the ref does not tell, for example because it was made by hand."""
    below: int | None = None
    """The lowest priority at which changes are still tested and land, if this is a freeze; None for a pause."""

    def __str__(self) -> str:
        what = "paused" if self.below is None else f"frozen below priority {self.below}"
        return f"{what}{' by ' + self.by if self.by else ''}{': ' + self.reason if self.reason else ''}"

    @property
    def effect(self) -> str:
        held = "nothing lands" if self.below is None else "nothing below is tested or lands"
        return f"{held} until: agentctl queue resume"

    def holds(self, priority: int) -> bool:
        """Tell whether this keeps a change of that priority from being tested."""
        return self.below is not None and priority < self.below


_FAR = 1 << 53
_FIELDS: dict[str, Any] = {
    "by": str,
    "reason": str,
    "at": Annotated[float, msgspec.Meta(ge=0, le=1 << 40)],
    "below": Annotated[int, msgspec.Meta(ge=-_FAR, le=_FAR)] | None,
}


def parse(ref: Ref | None) -> Pause | None:
    """Return what the ref says; None if there is none. Any ref pauses the queue, whatever it holds.

    Each fact is read by itself, so that one that cannot be read does not take the others with it. If that is `below`,
    the queue is paused and not only frozen.
    """
    if ref is None:
        return None
    if not ref.subject.lstrip().startswith("{"):
        return Pause()
    try:
        # Unlike `load`, this reads half of a surrogate pair too.
        said = json.loads(ref.subject, parse_int=_number)
    except (ValueError, RecursionError):
        return Pause(reason="what its ref says cannot be read")
    told, odd = {}, []
    for name in _FIELDS.keys() & said.keys():
        try:
            told[name] = msgspec.convert(said[name], _FIELDS[name])
        except msgspec.ValidationError:
            odd.append(name)
    unread = f"its ref says {' and '.join(sorted(odd))} in a way that cannot be read" if odd else ""
    reason = _cut(told.pop("reason", ""), LONGEST)
    return Pause(
        _cut(told.pop("by", ""), LONGEST_NAME), "; ".join(filter(None, (reason, unread))), told.get("at", 0.0), told.get("below")
    )


def _number(text: str) -> float:
    return int(text) if len(text) < 20 else math.inf


def _cut(text: str, most: int) -> str:
    return text[:most] + "..." if len(text) > most else text


def seen(hub: Hub, names: ref_files.Names) -> Pause | None:
    """Return the pause according to a listing of refs, or None. A broken ref pauses the queue like any other."""
    if refnames.PAUSE in names.odd:
        return Pause(reason=f"its ref is broken: {names.odd[refnames.PAUSE]}")
    oid = names.oids.get(refnames.PAUSE)
    try:
        return parse(refs.describe(hub.objects, refnames.PAUSE, oid)) if oid else None
    except ObjectError as error:
        return Pause(reason=f"its ref is broken: {error.message}")


def read(hub: Hub) -> Pause | None:
    return seen(hub, hub.refs.names([refnames.PAUSE]))


def pause(hub: Hub, by: str, reason: str, below: int | None = None, now: float | None = None) -> Pause:
    """Pause or freeze the queue, and return the pause.

    If the same pause is there already, it is returned. Raises Refused if the queue is paused or frozen already in
    another way, for another reason or by somebody else.
    """
    by, reason = _cut(by, LONGEST_NAME), _cut(reason, LONGEST)
    wanted = Pause(by, reason, time.time() if now is None else now, below)
    hub.objects.write_tree({})
    made = hub.objects.write_commit(EMPTY_TREE, [], dump(wanted), wanted.at)
    create = hub.refs.transaction("pause")
    create.create(refnames.PAUSE, made)
    try:
        create.commit()
    except Contended:
        there = read(hub)
        if not there:
            raise
        if (there.by, there.reason, there.below) == (by, reason, below):
            return there
        raise Refused(f"the queue is {there} already", hint="agentctl queue resume") from None
    hub.sync()
    return wanted


def resume(hub: Hub) -> Pause | None:
    """End the pause, and return it; return None if there was none."""
    there = hub.refs.read([refnames.PAUSE]).get(refnames.PAUSE)
    if there:
        delete = hub.refs.transaction("resume")
        delete.delete(refnames.PAUSE, there.oid)
        delete.commit()
        hub.sync()
    else:
        # A killed command may have deleted the ref and left its locks.
        stale_locks.clear(hub.git_dir, stale_locks.ref_locks(hub.git_dir))
    return parse(there)
