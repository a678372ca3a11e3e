"""Moves of trunk by somebody else: they are noticed, told, and adopted only if they go forward.

A new tip that descends from where the bot left trunk is adopted and tested, unless the policy says `foreign: stop`:
then it waits for a person. A tip that does not descend from there always waits for a person, and so does a deleted
trunk; otherwise what landed would be lost without a word. While a move waits, nothing lands. The queue still admits
changes, and tests them on the trunk that the bot knows, as if it were paused.

    agentctl bot restore    put trunk back to where the bot left it
    agentctl bot adopt      accept trunk as it is

Both commands keep the other tip in a salvage ref where it would be lost. Who moved trunk cannot be known: any program
that runs as the user may have done it.
"""

from __future__ import annotations

from dataclasses import dataclass

from agentctl.core import refnames
from agentctl.core.queue import admission_rules
from agentctl.core.queue.records import Landed
from agentctl.core.queue.state import State
from agentctl.core.text import globs
from agentctl.core.text.printable import printable
from agentctl.engine.locks import Held
from agentctl.errors import Contended, NotFound, PolicyError, Refused
from agentctl.git import checkouts
from agentctl.git.merge import changed
from agentctl.git.objects import ObjectError
from agentctl.git.repository import Hub
from agentctl.hub import landed, marks
from agentctl.hub.ledger import Ledger
from agentctl.hub.marks import ADOPT, RESTORE
from agentctl.hub.policy_file import in_force, read_policy
from agentctl.messages import some


@dataclass(frozen=True, slots=True)
class Move:
    old: str
    """The commit at which the bot left trunk."""
    new: str
    """The commit at which trunk is now; empty if the branch is gone."""
    forward: bool
    """True if `new` descends from `old`."""
    lost: bool
    """True if `old` is no longer in the repository."""

    @property
    def text(self) -> str:
        if not self.new:
            said = f"trunk was deleted by somebody else; the bot left it at {self.old[:12]}"
        elif self.forward:
            said = (
                f"trunk was moved from {self.old[:12]} to {self.new[:12]} by somebody else, which the policy "
                "refuses (foreign: stop)"
            )
        else:
            said = f"trunk was moved from {self.old[:12]} to {self.new[:12]} by somebody else, and not forward"
        return said + (f"; {self.old[:12]} is no longer in the repository" if self.lost else "")

    @property
    def way_back(self) -> str:
        return ADOPT if self.lost else RESTORE

    @property
    def ways(self) -> str:
        """The commands that a person may type."""
        if not self.new or self.lost:
            return self.way_back
        return f"{RESTORE}; or, to take it as it is: {ADOPT}"

    @property
    def refusal(self) -> Refused:
        return Refused(f"{self.text}: nothing lands", hint=self.ways)


def look(hub: Hub, trunk: str, state: State) -> Move | None:
    """Return how trunk differs from where the bot left it or is about to move it; None if it does not."""
    ref, under_way = refnames.branch(trunk), state.landing
    tip = hub.refs.get(ref) or ""
    old = state.trunk or _high_water(hub, ref)
    if not old or tip == old or (under_way and tip == under_way.staged.commit):
        return None
    return Move(old, tip, bool(tip) and hub.holds(tip, old), not hub.objects.exists(old))


def _high_water(hub: Hub, ref: str) -> str:
    """Return where the bot last put trunk according to the marks, for a hub that has lost its ledger; empty if unknown."""
    known = marks.read(hub)
    return known.newest(ref) if ref in known.refs else ""


def refused(hub: Hub, move: Move) -> bool:
    """Tell whether only a person may adopt the move; a move forward is judged by the policy in force before it."""
    if not move.forward:
        return True
    try:
        return read_policy(hub, move.old).foreign == "stop"
    except (PolicyError, ObjectError):
        return False


def stop(hub: Hub, trunk: str, state: State) -> Move | None:
    """Return the move of trunk because of which nothing lands until a person decides; None if there is none."""
    move = look(hub, trunk, state)
    if not move or (move.new and marks.read(hub).adopt == move.new):
        return None
    return move if refused(hub, move) else None


def findings(hub: Hub) -> list[tuple[str, str]]:
    """Return (what is wrong, the command that mends it) for all that others did to trunk and the bot's refs."""
    found, move = [(odd.text, odd.mend) for odd in marks.findings(hub)], stopped(hub, Ledger.read(hub).state())
    return found + ([(f"{move.text}: nothing lands", move.way_back)] if move else [])


def stopped(hub: Hub, state: State) -> Move | None:
    """Return what `stop` returns, without being told which branch is trunk: the policy may be gone with the branch."""
    name = known_trunk(hub) or hub.station and hub.config("agentctl.trunk")
    return stop(hub, name, state) if name else None


def tip(hub: Hub, trunk: str) -> str:
    """Return trunk's tip or, where the branch is gone, the commit at which the bot left it: work goes on from there.

    Raises Refused, with the way back, if that commit is gone too, and NotFound if the bot has never been there.
    """
    if found := hub.refs.get(refnames.branch(trunk)):
        return found
    move = look(hub, trunk, Ledger.read(hub).state())
    if move and not move.new and move.lost:
        raise move.refusal
    # Somebody may have put it back by now.
    return move.old if move and not move.new else hub.trunk_tip(trunk)


def known_trunk(hub: Hub) -> str:
    """Return the branch that the marks record as trunk; empty if they record none."""
    return next((ref.removeprefix("refs/heads/") for ref in marks.read(hub).refs if ref.startswith("refs/heads/")), "")


def trunk_of(hub: Hub) -> str:
    """Return the branch that the marks record as trunk or, without marks as in a clone, the one that policies name.

    Raises PolicyError and NotFound.
    """
    return known_trunk(hub) or in_force(hub)[1].trunk


def _lost_trunk(hub: Hub) -> str:
    """Return the branch that is to be restored: as `trunk_of` or, where it was deleted, by the commit that the ledger names."""
    try:
        return trunk_of(hub)
    except (PolicyError, NotFound):
        last = Ledger.read(hub).trunk()
        if not (last and hub.objects.exists(last)):
            raise
        return read_policy(hub, last).trunk


def trace(hub: Hub, trunk: str, new: str) -> str:
    """Return a hint at who moved a branch to `new`: what its reflog says, or at a station, whose reflog only tells who fetched, its author."""
    if hub.station and new:
        author = hub.objects.commit(new).author.decode(errors="replace").partition(" <")[0]
        return f" (its newest commit is by {printable(author, 100)})"
    ref = hub.refs.local(refnames.branch(trunk))
    said = hub.git("reflog", "-n1", "--format=%H%x00%gn%x00%gs", ref, "--", ok=(0, 128))
    tip, *words = said.split("\0")
    found = printable(", ".join(word for word in words if word), 200)
    return f" (its reflog names {found})" if tip == new and found else ""


def grave(hub: Hub, new: str, old: str) -> str:
    """Return what a person should know of a move of trunk, forward from `old` to `new`, that no gate can tell.

    The move may be a slip, made in a checkout that did not follow its branch; or it may switch off the tests of the
    other changes. Empty if there is nothing to say.
    """
    try:
        undone = landed.undoes(hub, new, old)
        protect = [admission_rules.folded(pattern) for pattern in read_policy(hub, old).protect]
        closed = [
            path for path, *_ in changed(hub, old, new) if any(globs.matches(p, admission_rules.folded(path)) for p in protect)
        ]
    except (ObjectError, PolicyError):
        return ""
    return (f"; it makes {some(undone)} again as before something that came to trunk lately" if undone else "") + (
        f"; it changes what no change may touch: {some(closed)}" if closed else ""
    )


def restore(hub: Hub) -> list[str]:
    """Put trunk and the bot's refs back to where the bot left them; return what was done, in words.

    Raises Refused if what the bot left is gone, and Contended if one of the refs moves meanwhile.
    """
    done = []
    for odd in marks.findings(hub):
        if odd.lost and odd.ref == refnames.STATE:
            raise Refused(odd.text, hint=odd.mend)
        if not marks.put_back(hub, odd):
            raise Contended(f"{odd.ref} is being moved")
        done.append(f"{odd.ref} is back at {odd.own[:12]}" if odd.own and not odd.lost else f"{odd.ref} is empty again")
    trunk = _lost_trunk(hub)
    move = look(hub, trunk, Ledger.read(hub).state())
    if move and refused(hub, move):
        done.append(_move_back(hub, trunk, move))
    return done


def _move_back(hub: Hub, trunk: str, move: Move) -> str:
    if move.lost:
        raise Refused(move.text, hint=move.ways)
    back, kept = hub.refs.transaction("trunk restored"), ""
    back.update(refnames.branch(trunk), move.old, move.new or None)
    if move.new and not hub.holds(move.old, move.new):
        kept = marks.keep(hub, move.new, back)
    marks.adopt(hub, "")
    # Checkouts first: after a kill in between, the same command still knows which commit they are at.
    behind = checkouts.bring_along(hub, trunk, move.new, move.old) if move.new else []
    back.commit()
    hub.sync()
    return (
        f"{trunk} is back at {move.old[:12]}"
        + (f"; {move.new[:12]} is kept as {kept}" if kept else "")
        + "".join(f"; local changes keep the checkout {path} from following" for path in behind)
    )


def adopt_ledger(hub: Hub, held: Held) -> list[str]:
    """Accept the ledger as it is, and with it the verdicts; return what was done, in words.

    The ledger that the bot left is kept in a salvage ref, if it is still there. Needs the proof of the bot's lock.
    """
    odd = next((odd for odd in marks.findings(hub) if odd.ref == refnames.STATE), None)
    if not odd:
        return []
    keep, kept = hub.refs.transaction("ledger adopted"), ""
    if odd.own and not odd.lost:
        kept = marks.keep(hub, odd.own, keep)
        keep.commit()
        hub.sync()
    # The ledger last: after a kill in between, the same command begins again.
    for ref in (refnames.VERDICTS, refnames.STATE):
        marks.accept(hub, ref)
    told = f"{odd.ref} is taken for right " + (f"at {odd.found[:12]}" if odd.found else "as it is: there is none")
    names = [] if odd.found else labels(hub)
    return [
        told + (f"; what it was is kept as {kept}" if kept else ""),
        *(
            [
                f"trunk's own history names {len(names)} changes that landed, the last {names[0]}: a new ledger does not "
                "know them, and what is submitted again may land again"
            ]
            if names
            else []
        ),
    ]


def labels(hub: Hub) -> list[str]:
    """Return the changes that the labels of the commits on trunk name, newest first: a sign, but not a proof."""
    tip = hub.refs.get(refnames.branch(trunk_of(hub)))
    form = "--format=%(trailers:key=Agentctl-Change,valueonly,separator=%x2c)"
    return [printable(name) for name in hub.git("log", "--first-parent", form, tip).split()] if tip else []


def adopt(hub: Hub) -> list[str]:
    """Have the bot accept trunk as it is from its next turn on; return what was done, in words.

    Raises Refused if the branch is gone.
    """
    trunk = trunk_of(hub)
    ledger = Ledger.read(hub)
    move = stop(hub, trunk, ledger.state())
    if not move:
        return []
    if not move.new:
        raise Refused(move.text, hint=move.ways)
    kept = ""
    if not move.lost and not move.forward:
        keep = hub.refs.transaction("trunk adopted")
        kept = marks.keep(hub, move.old, keep)
        keep.commit()
    marks.adopt(hub, move.new)
    hub.sync()
    ended = [record for record in ledger.ended() if isinstance(record, Landed)]
    away = landed.gone(hub, move.new, [record.commit for record in ended])
    names = [record.key for record in ended if record.commit in away]
    return [
        f"{trunk} is taken for right at {move.new[:12]} from the bot's next turn on",
        *([f"{move.old[:12]} is kept as {kept}"] if kept else []),
        *(
            [f"no longer on it: {', '.join(names[:20])}{f' and {len(names) - 20} more' if len(names) > 20 else ''}"]
            if names
            else []
        ),
    ]
