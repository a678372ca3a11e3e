"""Trunk goes to a remote after each landing, and only forward (`publish:`), without keeping the bot waiting."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

from agentctl.bot import upstream
from agentctl.core import refnames
from agentctl.core.notices import Told, Upstream
from agentctl.core.policy.policy import Policy
from agentctl.errors import AgentctlError, Refused
from agentctl.git.remote import Away, Declined, NoSuchRef, Remote
from agentctl.git.repository import Hub
from agentctl.git.station import SEEN
from agentctl.git.transactions import Move

REST, LONGEST = 15.0, 600.0
"""Seconds from one look at the remote to the next, and the most while it fails."""
LAST = 60.0
"""Seconds that the end waits for what is under way."""


class Publisher:
    def __init__(self, hub: Hub, tell: Callable[[Told], None], wake: Callable[[], None]) -> None:
        self._hub, self._tell, self._wake = hub, tell, wake
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="publish")
        self._under_way: Future[None] | None = None
        self._next, self._pause, self._told = 0.0, REST, ""
        self._refused = ("", "")
        """(trunk, what was seen at the remote) that do not go forward."""

    @property
    def trouble(self) -> str:
        """Why trunk is not published; empty if it is, or is about to be."""
        return f"trunk is not published: {self._told}" if self._told else ""

    def turn(self, policy: Policy, trunk: str) -> None:
        """Begin to look at the remote and to push the commit `trunk`, if that is due."""
        if self._under_way and self._under_way.done():
            self._hear(self._under_way.exception())
            self._under_way = None
        now = time.monotonic()
        if self._under_way or not policy.publish or self._hub.station:
            return
        if now >= self._next or self.waits(policy, trunk):
            self._next = now + REST
            self._under_way = self._thread.submit(self._exchange, policy, trunk)
            self._under_way.add_done_callback(lambda _: self._wake())

    def waits(self, policy: Policy, trunk: str) -> bool:
        """Tell whether trunk is still to be pushed, and the remote takes it as far as is known."""
        if not policy.publish or self._hub.station or self._told:
            return False
        there = upstream.tip(self._hub, policy)
        return bool(self._under_way) or there != trunk and self._refused != (trunk, there)

    def _exchange(self, policy: Policy, trunk: str) -> None:
        """Look at trunk at the remote, and push the commit `trunk` if that goes forward; raise what hinders it."""
        remote, ref, seen = self._hub.remote(policy.publish), refnames.branch(policy.trunk), upstream.followed(policy)
        before, there = self._hub.here.get(seen), self._look(remote, ref)
        if there and before and not self._hub.holds(there, before):
            raise Refused(
                f"{policy.trunk} at {policy.publish} was moved by somebody else, and not forward; what has landed is undone with "
                f"`agentctl revert`, and this puts it back: git push --force {policy.publish} {before}:{ref}"
            )
        self._see(seen, there, before)
        if there == trunk:
            return
        if there and not self._hub.holds(trunk, there):
            self._refused = trunk, there
            return
        move = Move(ref, there, trunk)
        remote.upload([move])
        done = remote.push([move])
        if done.declined:
            raise Declined(remote=policy.publish, ref=ref, said=done.said)
        if done.unknown:
            raise Away(remote=policy.publish, said=done.said)
        if not done.contended:
            self._see(seen, trunk, there or before)

    def _look(self, remote: Remote, ref: str) -> str | None:
        """Bring a branch of the remote, and return its tip; None if there is none."""
        came = f"{SEEN}came/{ref}"
        try:
            remote.fetch([f"+{ref}:{came}"])
        except NoSuchRef:
            return None
        return self._hub.here.get(came)

    def _see(self, seen: str, there: str | None, before: str | None) -> None:
        if there and there != before:
            moved = self._hub.here.transaction("seen at the remote")
            moved.update(seen, there, before)
            moved.commit()

    def _hear(self, error: BaseException | None) -> None:
        if error is None:
            if self._told:
                self._tell(Upstream("trunk is published again"))
            self._told, self._pause = "", REST
            return
        if not isinstance(error, AgentctlError):
            raise error
        self._pause = min(2 * self._pause, LONGEST)
        self._next = time.monotonic() + self._pause
        if error.message != self._told:
            self._tell(Upstream(f"trunk is not published: {error.message}; it is tried again"))
            self._told = error.message

    def close(self) -> None:
        """Wait a little for what is under way."""
        with contextlib.suppress(Exception):
            if self._under_way:
                self._under_way.result(LAST)
        self._thread.shutdown(wait=False, cancel_futures=True)
