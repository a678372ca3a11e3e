"""What the bot wrote last, kept outside the refs: `agentctl/marks.json` in the Git directory.

Whoever can push to a hub can move any of its refs, and so can an agent's slip; no push and no
`update-ref` reaches this file. For each ref that the bot alone moves it holds the ids which that may have by the bot's
doing (`core.queue.marks`). What a ref holds besides is a stranger's: not read, not believed, and told.

What was only taken from a ref, by deleting it or moving it back, the next bot puts back. What was
put in its place is for a person to judge (`agentctl bot restore`, `agentctl bot adopt`), except
while a bot runs: no other can have written it. A hub without the file, a clone or one of an older
version, is taken as it is by the first bot that starts there; but verdicts without a ledger are
nobody's.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from agentctl.core import refnames
from agentctl.core.queue import marks as codec
from agentctl.core.queue.marks import Marks
from agentctl.core.text.json_form import replace
from agentctl.engine.locks import Held
from agentctl.errors import Contended, Refused
from agentctl.git import folders
from agentctl.git.refs import Blocked, Transaction
from agentctl.git.repository import Hub

FILE = "marks.json"
OWN = (refnames.STATE, refnames.VERDICTS)
"""What the bot alone writes, besides trunk, whose moves by others are `hub.foreign`'s."""
LOOKS = 10


def path(hub: Hub) -> str:
    return os.path.join(hub.own, FILE)


def read(hub: Hub) -> Marks:
    """Without anything in them if there are none that can be read."""
    try:
        return codec.decode(folders.content(path(hub)) or b"")
    except ValueError:
        return Marks()


def edit(hub: Hub, change: Callable[[Marks], Marks], sync: bool = True) -> None:
    """By rename. Synced, so that after a power cut no ref can be newer than what is written here."""
    os.makedirs(hub.own, exist_ok=True)
    with _locked(hub):
        data, made = codec.encode(change(read(hub))), path(hub) + ".new"
        with open(os.open(made, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600), "wb") as file:
            file.write(data)
            if sync:
                file.flush()
                os.fsync(file.fileno())
        os.rename(made, path(hub))


@contextlib.contextmanager
def _locked(hub: Hub) -> Iterator[None]:
    """Between the bot and a person's commands; held for the time of one small write."""
    folder = os.open(hub.own, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)


@contextlib.contextmanager
def moving(hub: Hub, ref: str, old: str | None, new: str | None) -> Iterator[None]:
    """Within, the bot moves `ref` from `old` to `new`, or fails to, raising Contended or Blocked."""
    if old == new:
        yield
        return
    edit(hub, lambda marks: marks.moving(ref, old, new))
    try:
        yield
    except (Contended, Blocked):
        edit(hub, lambda marks: marks.settled(ref, old), sync=False)
        raise
    edit(hub, lambda marks: marks.settled(ref, new), sync=False)


@dataclass(frozen=True, slots=True)
class Strange:
    """A ref that is not as the bot left it."""

    ref: str
    own: str
    """What the bot wrote last; empty for no ref."""
    found: str | None
    lost: bool
    """The object that the bot wrote is gone too."""
    taken: bool
    """It has nothing that the bot's has not."""

    @property
    def text(self) -> str:
        left = f"the bot left it at {self.own[:12]}" if self.own else "the bot left none"
        if self.found is None:
            said = f"{self.ref} was deleted by somebody else; {left}"
        elif self.taken:
            said = f"{self.ref} was moved back to {self.found[:12]} by somebody else; {left}"
        else:
            said = f"{self.ref} is at {self.found[:12]}, which the bot has not written; {left}"
        return said + (", which is no longer in the repository" if self.lost else "")

    @property
    def mend(self) -> str:
        """The command that brings it back, or where nothing can, that goes on without."""
        return ADOPT if self.lost else RESTORE


RESTORE, ADOPT = "agentctl bot restore", "agentctl bot adopt"


def strange(hub: Hub, ref: str) -> Strange | None:
    """How `ref` differs from what the bot wrote last; None if it does not."""
    if not (differs := _differs(hub, ref)):
        return None
    own, found = differs
    lost = bool(own) and not hub.objects.exists(own)
    return Strange(ref, own, found, lost, found is None or bool(own) and not lost and hub.holds(own, found))


def _differs(hub: Hub, ref: str) -> tuple[str, str | None] | None:
    """(what the bot wrote last, what is there), if that is another."""
    for _ in range(LOOKS):
        marks = read(hub)
        found = hub.refs.get(ref)
        if marks.ours(ref, found):
            return None
        # A bot that runs may have moved both in between.
        if read(hub) == marks:
            return marks.newest(ref), found
    return None


def findings(hub: Hub) -> list[Strange]:
    """Every ref of the bot's that is not as the bot left it."""
    return [odd for ref in OWN if (odd := strange(hub, ref))]


def tip(hub: Hub, ref: str) -> str | None:
    """What `ref` is by the bot's doing, whatever somebody else has made of it since. The ref
    itself where the bot has not written it, or where what it wrote is gone."""
    if not (differs := _differs(hub, ref)):
        return hub.refs.get(ref)
    own, found = differs
    if own and not hub.objects.exists(own):
        return found if ref == refnames.STATE else None
    return own or None


def begin(hub: Hub, held: Held) -> None:
    """Take the refs for right where nothing is known of them. Needs the proof of the bot's lock."""
    with _locked(hub), contextlib.suppress(FileNotFoundError):  # What a killed bot had begun to write.
        os.unlink(path(hub) + ".new")
    state, known = hub.refs.get(refnames.STATE), read(hub)
    there = {ref: hub.refs.get(ref) if state else None for ref in OWN if ref not in known.refs}
    for ref, found in there.items():
        edit(hub, lambda marks: marks.settled(ref, found))


def make_sound(hub: Hub, held: Held) -> list[Strange]:
    """At the start of a bot: put back what was taken from its refs, and verdicts whatever is there.
    Returns what was put back; raises Refused if a person has to judge."""
    odd = findings(hub)
    for one in odd:
        if one.ref == refnames.STATE and (one.lost or not one.taken):
            raise Refused(one.text, hint=one.mend + ("" if one.lost else f"; or, to go on from what is there: {ADOPT}"))
    return [one for one in odd if put_back(hub, one)]


def guard(hub: Hub, seen: Mapping[str, str], held: Held) -> list[Strange]:
    """While a bot runs: put back whatever somebody else has made of its refs, whose object ids by
    name are among those `seen`. Returns what was put back."""
    known = read(hub)
    moved = [ref for ref in OWN if not known.ours(ref, seen.get(ref))]
    odd = [found for ref in moved if (found := strange(hub, ref))]
    for one in odd:
        if one.lost and one.ref == refnames.STATE:
            raise Refused(one.text, hint=one.mend)
    return [one for one in odd if put_back(hub, one)]


def put_back(hub: Hub, odd: Strange) -> bool:
    """Make a ref again what the bot left. What is in its place is kept in a salvage ref, unless it
    is verdicts. False if it was moved meanwhile; the next turn looks again."""
    own = odd.own if not odd.lost else ""
    move = hub.refs.transaction("put back")
    if own:
        move.update(odd.ref, own, odd.found)
    elif odd.found:
        move.delete(odd.ref, odd.found)
    if odd.found and not odd.taken and odd.ref != refnames.VERDICTS:
        keep(hub, odd.found, move)
    try:
        move.commit()
    except Contended:
        return False
    # A bot that runs may have gone on from there.
    edit(hub, lambda marks: marks.settled(odd.ref, own) if marks.newest(odd.ref) == odd.own else marks)
    return True


def keep(hub: Hub, oid: str, refs_: Transaction) -> str:
    """Have a salvage ref made for what a ref is moved away from, unless one holds it; its name."""
    there = hub.refs.read([refnames.SALVAGE])
    held = next((name for name, ref in there.items() if ref.oid == oid), "")
    if held:
        return held
    folder = refnames.SALVAGE + "moved/"
    numbers = [
        int(name.removeprefix(folder)) for name in there if name.startswith(folder) and name.removeprefix(folder).isdecimal()
    ]
    made = f"{folder}{max(numbers, default=0) + 1}"
    refs_.create(made, oid)
    return made


def accept(hub: Hub, ref: str) -> None:
    """Take `ref` for right as it is."""
    found = hub.refs.get(ref)
    edit(hub, lambda marks: marks.settled(ref, found))


def adopt(hub: Hub, tip: str) -> None:
    """Have the bot take `tip` for trunk at its next turn; empty: nothing."""
    edit(hub, lambda marks: replace(marks, adopt=tip))


def follow_trunk(hub: Hub, trunk: str, tip: str) -> None:
    """The bot knows trunk to be at `tip`; whatever a person asked it to adopt is done with."""
    ref, known = refnames.branch(trunk), read(hub)

    def followed(marks: Marks) -> Marks:
        others = {name: ids for name, ids in marks.refs.items() if not name.startswith("refs/heads/")}
        return Marks({**others, ref: (tip,)})

    if known.adopt or known.refs.get(ref) != (tip,):
        edit(hub, followed)
