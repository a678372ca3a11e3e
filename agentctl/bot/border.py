"""The one place where what lies in the inbox becomes requests.

Nothing in the inbox is trusted. Each turn reads a bounded part of it, and serves the agents in rotation. A request that
does not pass is answered by itself and does not affect others.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Mapping
from itertools import chain

from agentctl.bot import admit, set_aside
from agentctl.bot.turn import Turn
from agentctl.core import refnames
from agentctl.core.notices import passed_over
from agentctl.core.policy.policy import Policy
from agentctl.core.queue import inbox_turns
from agentctl.core.queue import request as requests
from agentctl.core.queue.request import Request, Submit, Unfit
from agentctl.errors import Fault, fault_of
from agentctl.git import connectivity, refs
from agentctl.git.objects import ObjectError
from agentctl.git.ref_files import Names
from agentctl.git.repository import Hub

TURN = 500
"""The most requests that one turn takes in all; with the requests that they come after, twice as many."""
EACH = 100
"""The most requests that one turn takes from one agent."""
RESTLESS = 20
"""The number of turns that skip a ref which moved during a turn."""


class Border:
    """The border between the inbox and one bot."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._last = ""
        """The agent that was served last."""
        self._restless: dict[str, int] = {}
        self._told: set[str] = set()
        self._tried = set_aside.Attempts(hub, "admit")
        self._asked: dict[str, str] = {}
        """The refs of the requests that the last turn took, by the key of the request."""
        self._digested: list[str] = []
        """The refs that the last turn took out of the inbox."""
        self._more = False

    def take(self, turn: Turn, policy: Policy, names: Names) -> None:
        """Take the requests that are due, decide on each, and apply the effects.

        Raises Fault if an effect fails in a way that the request may have caused. Other errors that it raises come from
        the machine, the ledger, or somebody who moved a ref, never from a request.
        """
        self._name(turn, names)
        waiting = self._waiting(names.oids)
        queued = Counter(record.change.agent for record in turn.state.queue.values())
        heard = inbox_turns.fitting(
            waiting, lambda agent: inbox_turns.MOST_QUEUED - queued[agent], lambda ref: not turn.state.queued(_change_of(ref))
        )
        taken, self._last = inbox_turns.choose(heard, TURN, EACH, self._last)
        self._more = len(taken) < sum(map(len, heard.values()))
        asked = self._with_dependencies(taken, heard, waiting, names.oids)
        self._asked, self._digested = {}, []
        broken = self._broken(turn, asked)
        for one in requests.dependencies_first(sorted(asked, key=lambda r: (r.change, r.revision, r.agent))):
            self._digest(turn, policy, one, broken.get(one.head, ""))

    def done(self) -> bool:
        """Note that the turn has ended as it should, and tell whether requests are left for the next one."""
        self._tried.forgive(self._digested)
        return self._more

    def blames(self, fault: Fault) -> bool:
        """Tell whether the fault that made a turn void is about a request that came in with that turn.

        If so, the failure is counted against the request.
        """
        ref = self._asked.get(fault.name)
        if ref:
            self._tried.failed(ref, fault.why)
        return ref is not None

    def moved(self, ref: str) -> None:
        """Note that a turn could not end because somebody moved `ref`.

        Nobody who keeps to the protocol moves a ref of the inbox. Other requests must not wait because of it, so the
        ref is skipped for RESTLESS turns.
        """
        if ref.startswith(refnames.INBOX):
            self._restless[ref] = RESTLESS

    def _waiting(self, oids: Mapping[str, str]) -> dict[str, list[str]]:
        """Return the refs of requests by agent, for each agent sorted by change and revision."""
        found: dict[str, list[tuple[str, int, str]]] = {}
        for ref in oids:
            if not ref.startswith(refnames.INBOX) or self._rests(ref):
                continue
            try:
                agent, change, revision = refnames.split_submission(ref, refnames.INBOX)
            except ValueError:
                continue
            found.setdefault(agent, []).append((change, revision, ref))
        return {agent: [ref for *_, ref in sorted(listed)] for agent, listed in found.items()}

    def _rests(self, ref: str) -> bool:
        left = self._restless.get(ref, 0)
        if left > 1:
            self._restless[ref] = left - 1
        elif left:
            del self._restless[ref]
        return left > 0

    def _with_dependencies(
        self, taken: Iterable[str], heard: Mapping[str, list[str]], waiting: Mapping[str, list[str]], oids: Mapping[str, str]
    ) -> list[Request]:
        """Return the requests of the refs `taken`, together with waiting requests that they come after.

        They are taken together because a change in `after` that is not queued by then counts as landed long ago. A
        request waits longer if it comes after a request for which there is no room now.
        """
        asked = {ref: self._read(ref, oids[ref]) for ref in taken}
        if not any(isinstance(one, Submit) and one.after for one in asked.values()):
            return [*asked.values()]
        by_change: dict[str, list[str]] = {}
        for ref in chain.from_iterable(waiting.values()):
            by_change.setdefault(_change_of(ref), []).append(ref)
        todo, may = deque(asked.values()), {*chain.from_iterable(heard.values())}
        left: set[str] = set()
        more = False
        while todo:
            one = todo.popleft()
            for ref in chain.from_iterable(
                by_change.get(change, ()) for change in (one.after if isinstance(one, Submit) else ())
            ):
                if ref not in asked and ref in may and len(asked) < 2 * TURN:
                    asked[ref] = self._read(ref, oids[ref])
                    todo.append(asked[ref])
                elif ref not in asked:
                    left.add(_change_of(ref))
                    more = more or ref in may
        self._more = self._more or more
        return [one for one in asked.values() if not isinstance(one, Submit) or left.isdisjoint(one.after)]

    def _read(self, ref: str, oid: str) -> Request:
        try:
            found = refs.describe(self._hub.objects, ref, oid)
            asked = requests.parse(ref, oid, found.kind, found.target, found.target_kind, found.subject)
        except ObjectError as error:
            agent, change, revision = refnames.split_submission(ref, refnames.INBOX)
            return Unfit(ref, oid, agent, change, revision, oid, why=f"it cannot be read: {error.message}")
        assert asked, ref
        return asked

    def _broken(self, turn: Turn, asked: Iterable[Request]) -> dict[str, str]:
        heads = [one.head for one in asked if isinstance(one, Submit) or (isinstance(one, Unfit) and one.whole)]
        return connectivity.broken(self._hub.git_dir, heads, [turn.state.trunk])

    def _digest(self, turn: Turn, policy: Policy, one: Request, broken: str) -> None:
        """Decide on one request, and apply the effect.

        A request on which agentctl fails is tried again in the next turn. If it fails again, the request is set aside.
        """
        one, effect = admit.numbered(turn, one), None
        self._asked[one.key] = one.ref
        if not self._tried.given_up(one.ref):
            with self._tried.on(one.ref):
                effect = admit.decide(turn, policy, one, broken)
        if why := self._tried.given_up(one.ref):
            effect = admit.set_aside(turn, one, why, not broken)
        if effect:
            turn.refs.delete(one.ref, one.oid)
            self._digested.append(one.ref)
            with fault_of(one.key):
                effect()

    def close(self) -> None:
        self._tried.close()

    def _name(self, turn: Turn, names: Names) -> None:
        """Tell once of each odd thing among the refs, and of each inbox ref whose name is not that of a request.

        The doctor tells of them whenever it is asked.
        """
        odd = {name: why for name, why in names.odd.items()} | {
            ref: "its name is not that of a request"
            for ref in names.oids
            if ref.startswith(refnames.INBOX) and not refnames.is_submission(ref)
        }
        for notice in passed_over(odd, self._told):
            turn.notice(notice)
        self._told |= odd.keys()


def _change_of(ref: str) -> str:
    return refnames.split_submission(ref, refnames.INBOX)[1]
