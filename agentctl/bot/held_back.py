"""What keeps queued changes from the planner: a freeze, and approvals that they lack.

To the planner such a change is not there: it is neither tested nor landed, and keeps its place. So does what comes after
it. Which approvals a change needs is asked of the policy in force in every turn.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from agentctl.bot import added_keys, upstream
from agentctl.bot.turn import Turn
from agentctl.core.notices import Unapproved
from agentctl.core.policy.policy import ApprovalRule, Policy
from agentctl.core.queue import approvals
from agentctl.core.queue.admission_rules import protector
from agentctl.core.queue.approvals import Asked, Lack
from agentctl.core.queue.events import Paused, Resumed
from agentctl.core.queue.model import Change
from agentctl.core.queue.records import PATHS, AgainstRules, Queued
from agentctl.core.queue.state import State
from agentctl.core.tasks import reviewing
from agentctl.core.text.printable import printable
from agentctl.errors import fault_of
from agentctl.git.merge import changed
from agentctl.git.repository import Hub
from agentctl.hub import approvals as known_approvals
from agentctl.hub import policy_file
from agentctl.hub.pause import Pause


class HeldBack:
    """The changes that one bot holds back; what it remembers, a new one finds out again."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self.paused: Pause | None = None
        self._rules: tuple[ApprovalRule, ...] = ()
        self._asked: dict[str, tuple[Asked, ...]] = {}
        """The rules that each queued change has to satisfy, by key."""
        self._told: set[str] = set()
        self._held: set[str] = set()
        """The keys of the changes that the last look held back."""

    def heed(self, turn: Turn, paused: Pause | None) -> None:
        """Note that the queue is paused, frozen or neither, and tell of it if that is new."""
        if paused != self.paused:
            turn.happen(Paused(str(paused), paused.effect) if paused else Resumed())
        self.paused = paused

    def thawed(self, turn: Turn, policy: Policy) -> tuple[Change, ...]:
        """Return the queued changes that are neither frozen nor lack approvals, and tell once of each that lacks some."""
        frozen = self.paused or Pause()
        lacking = self._lacking(turn, policy)
        for key, lacks in lacking.items():
            if key not in self._told:
                needed = approvals.whole(lacks, turn.state.queue[key].change.agent)
                turn.notice(Unapproved(key, needed, "; ".join(reviewing.ways(key, lacks, policy.agents))))
        self._told = {*lacking}
        free = tuple(c for c in turn.state.changes if not frozen.holds(c.priority) and c.key not in lacking)
        self._held = turn.state.queue.keys() - {c.key for c in free}
        return free

    def _lacking(self, turn: Turn, policy: Policy) -> dict[str, tuple[Lack, ...]]:
        """Return the rules that queued changes do not satisfy, by key."""
        queue = turn.state.queue if policy.approvals else {}
        if self._rules != policy.approvals:
            self._rules, self._asked = policy.approvals, {}
        self._asked = {key: self._asked[key] for key in self._asked.keys() & queue.keys()}
        found = {
            key: approvals.lacking(self._of(policy, queued), queued.change.agent, queued.approvals)
            for key, queued in queue.items()
        }
        return {key: lacks for key, lacks in found.items() if lacks}

    def _of(self, policy: Policy, queued: Queued) -> tuple[Asked, ...]:
        if queued.key not in self._asked:
            with fault_of(queued.key):
                self._asked[queued.key] = known_approvals.asked(self._hub, policy, queued)
        return self._asked[queued.key]

    def keeps(self, turn: Turn, policy: Policy, base: str, landing: Iterable[tuple[str, str]]) -> bool:
        """Tell whether some change that is about to land may not, and reject those that break a rule only there.

        `landing` has (key, commit that carries the change) in order, on top of `base`.
        """
        free, kept = {c.key for c in self.thawed(turn, policy)}, False
        for key, carrying in landing:
            queued = turn.state.queue[key]
            broken = self._broken(policy, queued, base, carrying)
            if key in free and broken:
                turn.reject(key, broken, broken.rules[0])
            kept, base = kept or key not in free or bool(broken), carrying
        return kept

    def _broken(self, policy: Policy, queued: Queued, base: str, carrying: str) -> AgainstRules | None:
        """Return the rule that a change breaks only where it lands; None if it breaks none.

        What trunk takes in from the branch that it follows may edit everything, but leaves a policy by which trunk can go.
        """
        joins = queued.change.joins
        moved, protected = ("", False) if joins else self._elsewhere(policy, queued, base, carrying)
        if moved:
            return AgainstRules((f"trunk has moved what it edits: {moved}; rebase it on trunk",), protected)
        if wrong := policy_file.refusals(self._hub, base, carrying, policy.trunk):
            mend = f"mend it on {upstream.name(policy)}" if joins else "rebase it on trunk, and mend it"
            return AgainstRules((f"trunk could not go by the policy that it would leave there: {wrong[0]}; {mend}",))
        return None

    def _elsewhere(self, policy: Policy, queued: Queued, base: str, carrying: str) -> tuple[str, bool]:
        """Return (which rule about paths a change breaks only where it lands, whether a path is protected); "" for none.

        These are the rules of protected files, of approvals and of keys.
        """
        landing = tuple(path for path, *_ in changed(self._hub, base, carrying))
        if protected := [path for path in landing if protector(path, policy.protect)]:
            return f"it would change {_named(protected)}, which no change may touch", True
        if paths := known_approvals.beyond(self._hub, policy, queued, base, carrying):
            return f"it would change {_named(paths)}, which needs approvals", False
        own = {*queued.work.places}
        if len(own) >= PATHS or not own.issuperset(landing):
            return "; ".join(added_keys.refusals(self._hub, policy, base, carrying, [])[:1]), False
        return "", False

    def all_of(self, state: State) -> bool:
        """Tell whether all that is queued is held back, or comes after what is."""
        held = self._held & state.queue.keys()
        if not held:
            return False
        left = {key: {*record.change.after} for key, record in state.queue.items() if key not in held}
        names = {state.queue[key].change.id for key in held}
        while behind := {key for key, after in left.items() if not names.isdisjoint(after)}:
            names |= {state.queue[key].change.id for key in behind}
            left = {key: after for key, after in left.items() if key not in behind}
        return not left


def _named(paths: Sequence[str]) -> str:
    return ", ".join(map(printable, paths[: approvals.NAMED]))
