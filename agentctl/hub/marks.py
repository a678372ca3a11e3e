"""The marks: what the bot wrote last, kept outside the refs, in `agentctl/marks.json` of the Git directory.

Whoever can push to a hub can move any of its refs, and so can a slip of an agent; but no push and no `update-ref`
reaches this file. For each ref that the bot alone moves, it holds the ids that the ref may have by the bot's doing
(`core.queue.marks`). If a ref holds anything else, that is a stranger's: it is not read and not believed, but reported.

If a ref was only deleted or moved back, the next bot puts it back. If something else was put in its place, a person has
to judge (`agentctl bot restore`, `agentctl bot adopt`), except while a bot runs: then no other bot can have written it.
A hub without the file, such as a clone or a hub of an older version, is accepted as it is by the first bot that starts
there; but verdicts without a ledger are not accepted. Where the hub stands on a remote, the bots of other stations write
the same refs: each station accepts what continues that which it knew.
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
from agentctl.git import folders, modes
from agentctl.git.repository import Hub
from agentctl.git.transactions import Blocked, Transaction

FILE = "marks.json"
OWN = (refnames.STATE, refnames.VERDICTS)
"""The refs that the bot alone writes, besides trunk: `hub.foreign` deals with moves of trunk by others."""
LOOKS = 10


def path(hub: Hub) -> str:
    return os.path.join(hub.own, FILE)


def read(hub: Hub) -> Marks:
    """Return the marks; empty ones if there are none that can be read."""
    try:
        return codec.decode(folders.content(path(hub)) or b"")
    except ValueError:
        return Marks()


def edit(hub: Hub, change: Callable[[Marks], Marks], sync: bool = True) -> None:
    """Change the marks, by a rename.

    They are synced, so that after a power cut no ref can be newer than the marks; `sync` can turn that off.
    """
    os.makedirs(hub.own, exist_ok=True)
    with _locked(hub):
        data, made = codec.encode(change(read(hub))), path(hub) + ".new"
        with open(made, "wb", opener=modes.opener) as file:
            file.write(data)
            if sync:
                file.flush()
                os.fsync(file.fileno())
        os.rename(made, path(hub))


@contextlib.contextmanager
def _locked(hub: Hub) -> Iterator[None]:
    """Hold the lock that the bot and a person's commands share, for the time of one small write."""
    folder = os.open(hub.own, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)


@contextlib.contextmanager
def moving(hub: Hub, ref: str, old: str | None, new: str | None) -> Iterator[None]:
    """Keep the marks right while the body of the `with` block moves `ref` from `old` to `new`.

    If the body raises Contended or Blocked, the ref was not moved.
    """
    if old == new:
        yield
        return
    edit(hub, lambda marks: marks.moving(ref, old, new, bool(hub.station)))
    try:
        yield
    except (Contended, Blocked):
        edit(hub, lambda marks: marks.settled(ref, old), sync=False)
        raise
    hub.refs.once_settled(lambda done: edit(hub, lambda marks: marks.settled(ref, new if done else old), sync=False))


@dataclass(frozen=True, slots=True)
class Strange:
    """A ref that is not as the bot left it."""

    ref: str
    own: str
    """The object id that the bot wrote last; empty for no ref."""
    found: str | None
    lost: bool
    """True if the object that the bot wrote is gone too."""
    taken: bool
    """True if the ref was deleted or moved back, so that it holds nothing that the bot's own does not."""

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
        """The command that brings the ref back or, if nothing can, the one that goes on without it."""
        return ADOPT if self.lost else RESTORE


RESTORE, ADOPT = "agentctl bot restore", "agentctl bot adopt"


def strange(hub: Hub, ref: str) -> Strange | None:
    """Return how `ref` differs from what the bot wrote last; None if it does not."""
    if not (differs := _differs(hub, ref)):
        return None
    own, found = differs
    lost = bool(own) and not hub.objects.exists(own)
    return Strange(ref, own, found, lost, found is None or bool(own) and not lost and hub.holds(own, found))


def _differs(hub: Hub, ref: str) -> tuple[str, str | None] | None:
    """Return (what the bot wrote last, what is there now) if the two differ, else None."""
    for _ in range(LOOKS):
        marks = read(hub)
        found = hub.refs.get(ref)
        if marks.ours(ref, found):
            return None
        if hub.station and found and (not marks.newest(ref) or hub.holds(found, marks.newest(ref))):
            # The bot of another station went on from there.
            accept(hub, ref)
            return None
        # A running bot may have changed marks and ref in between.
        if read(hub) == marks:
            return marks.newest(ref), found
    return None


def findings(hub: Hub) -> list[Strange]:
    """Return every ref in OWN that is not as the bot left it."""
    return [odd for ref in OWN if (odd := strange(hub, ref))]


def tip(hub: Hub, ref: str) -> str | None:
    """Return where the bot left `ref`, whatever somebody else has made of it since.

    If the bot never wrote the ref, return where it is now. If what the bot wrote is gone, do so for the ledger, and
    return None for any other ref.
    """
    if not (differs := _differs(hub, ref)):
        return hub.refs.get(ref)
    own, found = differs
    if own and not hub.objects.exists(own):
        return found if ref == refnames.STATE else None
    return own or None


def begin(hub: Hub, held: Held) -> None:
    """Accept the refs that have no marks as they are; needs the proof of the bot's lock.

    If there is no ledger, the marks then say that there are no verdicts either: verdicts without a ledger are not
    accepted.
    """
    with _locked(hub), contextlib.suppress(FileNotFoundError):  # A killed bot may have begun to write this file.
        os.unlink(path(hub) + ".new")
    state, known = hub.refs.get(refnames.STATE), read(hub)
    there = {ref: hub.refs.get(ref) if state else None for ref in OWN if ref not in known.refs}
    for ref, found in there.items():
        edit(hub, lambda marks: marks.settled(ref, found))


def make_sound(hub: Hub, held: Held) -> list[Strange]:
    """Put back what was taken from the bot's refs, at the start of a bot; return what was put back.

    Verdicts are put back whatever stands in their place. Raises Refused if a person has to judge the ledger.
    """
    odd = findings(hub)
    for one in odd:
        if one.ref == refnames.STATE and (one.lost or not one.taken):
            raise Refused(one.text, hint=one.mend + ("" if one.lost else f"; or, to go on from what is there: {ADOPT}"))
    return [one for one in odd if put_back(hub, one)]


def guard(hub: Hub, seen: Mapping[str, str], held: Held) -> list[Strange]:
    """Put the bot's refs back, whatever somebody else has made of them, while a bot runs; return what was put back.

    `seen` maps names of refs to object ids. Raises Refused if the ledger that the bot wrote is gone.
    """
    known = read(hub)
    moved = [ref for ref in OWN if not known.ours(ref, seen.get(ref))]
    odd = [found for ref in moved if (found := strange(hub, ref))]
    for one in odd:
        if one.lost and one.ref == refnames.STATE:
            raise Refused(one.text, hint=one.mend)
    return [one for one in odd if put_back(hub, one)]


def put_back(hub: Hub, odd: Strange) -> bool:
    """Put a ref back to where the bot left it; return False if it was moved meanwhile: the next turn looks again.

    What stands in its place is kept in a salvage ref, unless the bot's own history holds it or the ref is that of the
    verdicts.
    """
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
    # A running bot may have gone on from there.
    edit(hub, lambda marks: marks.settled(odd.ref, own) if marks.newest(odd.ref) == odd.own else marks)
    return True


def keep(hub: Hub, oid: str, refs_: Transaction) -> str:
    """Add to a transaction a salvage ref for `oid`, unless one holds it already; return the name of the salvage ref."""
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
    """Accept `ref` as it is."""
    found = hub.refs.get(ref)
    edit(hub, lambda marks: marks.settled(ref, found))


def adopt(hub: Hub, tip: str) -> None:
    """Have the bot accept `tip` as trunk at its next turn; an empty `tip` cancels this."""
    edit(hub, lambda marks: replace(marks, adopt=tip))


def follow_trunk(hub: Hub, trunk: str, tip: str) -> None:
    """Note that the bot knows trunk to be at `tip`; this also ends what a person asked the bot to adopt."""
    ref, known = refnames.branch(trunk), read(hub)

    def followed(marks: Marks) -> Marks:
        others = {name: ids for name, ids in marks.refs.items() if not name.startswith("refs/heads/")}
        return Marks({**others, ref: (tip,)})

    if known.adopt or known.refs.get(ref) != (tip,):
        edit(hub, followed)
