"""What people put on the branch that trunk follows is taken in.

That branch is one of the hub, which the bot does not move (`upstream:`), or trunk's namesake at a remote (`publish:`). What is
new there and builds on trunk is taken as a push to trunk itself would be. Anything else is queued like a submission: it is
merged, tested, and lands under a merge commit, so that the branch can go on from trunk. What would leave a policy by which trunk
cannot go is queued too, and rejected where it would land.
"""

from __future__ import annotations

from enum import StrEnum
from itertools import islice

from agentctl.bot.turn import Turn
from agentctl.core import notices, refnames
from agentctl.core.policy.policy import Policy
from agentctl.core.queue.events import Admitted
from agentctl.core.queue.model import Change
from agentctl.core.queue.records import PATHS, Queued, Rejected, Superseded, Work, next_revision
from agentctl.core.queue.request import PRIORITY
from agentctl.core.text.json_form import quoted
from agentctl.git.merge import changed
from agentctl.git.repository import Hub
from agentctl.git.station import SEEN
from agentctl.hub import policy_file

NAME = "upstream"
"""The change, and the author, as which what is taken in stands in the queue."""
AGAIN = 3600.0
"""Seconds after which what was rejected is tried once more: trunk may have changed in between."""


def followed(policy: Policy) -> str:
    """Return the full name of the ref that trunk follows; empty if it follows none."""
    if policy.publish:
        return f"{SEEN}heads/{policy.trunk}"
    return refnames.branch(policy.upstream) if policy.upstream else ""


def tip(hub: Hub, policy: Policy) -> str:
    """Return the commit of the branch that trunk follows, as far as it is known; empty if there is none."""
    ref = followed(policy)
    return ((hub.here if policy.publish else hub.refs).get(ref) or "") if ref else ""


def name(policy: Policy) -> str:
    """Return what people call the branch that trunk follows."""
    return f"{policy.publish}/{policy.trunk}" if policy.publish else policy.upstream


class Stands(StrEnum):
    """Where a commit stands that trunk is to take in."""

    HELD = "trunk holds it"
    AHEAD = "it builds on trunk"
    APART = "neither holds the other"
    UNRELATED = "they share no history"


class Upstream:
    def __init__(self, hub: Hub, trunk: str) -> None:
        self._hub, self._trunk = hub, trunk
        self._looked = "", "", Stands.HELD
        """The last answer of `_stands`, after what it was about."""
        self._rests = "", 0.0
        """A commit that was rejected, and until when it rests."""

    def forward(self, policy: Policy) -> None:
        """Move trunk to what builds on it, unless the policy has a person decide of such moves; the caller adopts it.

        Trunk is not moved to a policy by which it cannot go.
        """
        new, old = tip(self._hub, policy), self._hub.refs.get(refnames.branch(self._trunk))
        if not new or not old or policy.foreign == "stop" or self._stands(new, old) is not Stands.AHEAD:
            return
        if not policy_file.refusals(self._hub, old, new, self._trunk):
            move = self._hub.refs.transaction(f"taken in from {name(policy)}")
            move.update(refnames.branch(self._trunk), new, old)
            move.commit()

    def take_in(self, turn: Turn, policy: Policy) -> None:
        """Queue what trunk and the branch that it follows do not share; what is queued and is that no longer, is ended."""
        new, queued, trunk = tip(self._hub, policy), turn.state.queued(NAME), turn.state.trunk
        if not new:
            return
        stands = self._stands(new, trunk)
        if queued and (stands is Stands.HELD or queued.change.head != new):
            # What people took back since would land again.
            self._end(turn, queued, f"{name(policy)} is at {new[:12]} now" + ", which trunk holds" * (stands is Stands.HELD))
        elif queued or self._rests[0] == new and turn.now < self._rests[1]:
            return
        if stands is Stands.HELD:
            return
        before = [*turn.ledger.all_of(NAME), *(record for record in turn.draft.ended if record.change.id == NAME)]
        last = next((record for record in reversed(before) if record.change.head == new), None)
        if stands is Stands.UNRELATED:
            self._rests = new, turn.now + AGAIN
            turn.notice(notices.Upstream(f"{name(policy)} shares no history with trunk, and is not taken in"))
        elif isinstance(last, Rejected) and turn.now < last.at + AGAIN:
            self._rests = new, last.at + AGAIN
        else:
            self._admit(turn, policy, new, next_revision(before, ()))

    def _end(self, turn: Turn, queued: Queued, said: str) -> None:
        turn.happen(Superseded(change=queued.change, at=turn.now, work=queued.work, approvals=queued.approvals, said=said))

    def _admit(self, turn: Turn, policy: Policy, head: str, revision: int) -> None:
        change = Change(
            id=NAME,
            revision=revision,
            head=head,
            agent=NAME,
            seq=turn.state.seq + 1,
            admitted=float(int(turn.now)),
            priority=PRIORITY,
            joins=True,
        )
        base = self._hub.git("merge-base", turn.state.trunk, head).split("\n")[0]
        paths = tuple(quoted(path) for path, *_ in islice(changed(self._hub, base, head), PATHS))
        turn.happen(Admitted(Queued(change, Work(base, f"what came to {name(policy)}", paths))))

    def _stands(self, new: str, trunk: str) -> Stands:
        if self._looked[:2] != (new, trunk):
            if self._hub.holds(trunk, new):
                found = Stands.HELD
            elif self._hub.holds(new, trunk):
                found = Stands.AHEAD
            else:
                found = Stands.APART if self._hub.git("merge-base", trunk, new, ok=(0, 1)) else Stands.UNRELATED
            self._looked = new, trunk, found
        return self._looked[2]
