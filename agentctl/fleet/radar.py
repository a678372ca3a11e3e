"""The radar of a fleet: while sessions run and trunk moves, what each has is merged with trunk on trial.

An agent whose work conflicts with trunk is told at once, and not only when the merge queue rejects it. Looks are taken
one at a time in a thread of their own, so that no turn of the supervisor waits for one. A session is looked at when
trunk or its HEAD has moved, and once in a while for what it has not committed; not as long as trunk is where it began.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

from agentctl.core.notices import Conflicting, Told
from agentctl.core.queue.answer import Other
from agentctl.core.tasks import news
from agentctl.core.tasks.ending import too_far_behind
from agentctl.core.text.json_form import quoted
from agentctl.core.text.plural import many
from agentctl.core.text.printable import printable
from agentctl.errors import AgentctlError
from agentctl.fleet.looking import Sight, look
from agentctl.fleet.session import SessionRun
from agentctl.git import private_repository, worktrees
from agentctl.git.repository import Hub
from agentctl.git.worktrees import Worktree
from agentctl.hub.ledger import Ledger
from agentctl.messages import some

log = logging.getLogger(__name__)

EVERY = 1.0
"""Seconds between two rounds in which it is asked who is to be looked at, if nobody was."""
AGAIN = 30.0
"""Seconds after which a session that is behind trunk, or could not be seen, is looked at again: its files may have changed."""
REST = 3.0
"""After a look, no other begins for so many times as long as it took: looks take a quarter of one processor at most."""


@dataclass(slots=True)
class _Watched:
    """What is known of a session."""

    run: SessionRun
    tree: Worktree
    base: str = ""
    at: tuple[str, str] = ("", "")
    """(trunk's tip, HEAD) when it was looked at last."""
    when: float = 0.0
    again: float = math.inf
    """When it is looked at again though nothing moved."""
    told: tuple[str, ...] = ()
    """The paths that the agent has been told of."""


@dataclass(slots=True)
class _Seen:
    sight: Sight | None
    """None if what the agent has could not be seen."""
    tasks: dict[str, str] = field(default_factory=dict)
    """The task of each landed change that is told of, by the change's key."""
    seconds: float = 0.0


class Radar:
    def __init__(self, hub: Hub, trunk: str, wake: threading.Event) -> None:
        """Begin to look; `wake` is set when a look is over."""
        self._hub, self._trunk, self._wake = hub, trunk, wake
        self._watched: dict[str, _Watched] = {}
        self._looking: tuple[_Watched, Future[_Seen]] | None = None
        self._next = 0.0
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="radar")

    def turn(self, runs: Iterable[SessionRun], tip: str, limit: int) -> list[Told]:
        """Take in the look that is over, begin the next one that is due, and return what there is to tell.

        A session that conflicts with trunk may be behind it by `limit` commits (agents.behind); 0 is no limit.
        """
        now, known = time.monotonic(), self._watched
        self._watched = {
            run.work.agent: seen
            if (seen := known.get(run.work.agent)) and seen.run is run
            else _Watched(run, worktrees.of_agent(self._hub, run.work.agent))
            for run in runs
        }
        told = self._take_in(now, limit)
        if not self._looking and now >= self._next:
            due = [(watched.when, agent, at) for agent, watched in self._watched.items() if (at := _due(watched, tip, now))]
            self._next = now + EVERY
            for _, agent, at in sorted(due)[:1]:
                watched = self._watched[agent]
                watched.at, watched.when, watched.again = at, now, math.inf
                future = self._pool.submit(_look, self._hub, watched.tree, tip)
                future.add_done_callback(lambda _: self._wake.set())
                self._looking = watched, future
        return told

    def _take_in(self, now: float, limit: int) -> list[Told]:
        if not self._looking or not self._looking[1].done():
            return []
        (watched, future), self._looking = self._looking, None
        seen = future.result()
        self._next = now + REST * seen.seconds
        sight = seen.sight
        watched.again = math.inf if sight and not sight.behind else now + AGAIN
        if sight and sight.under_way:
            # At the end of a rebase HEAD may be where it was in the middle of it.
            watched.again = now + EVERY
        elif sight and self._watched.get(watched.run.work.agent) is watched:
            return self._judge(watched, sight, seen.tasks, limit)
        return []

    def _judge(self, watched: _Watched, sight: Sight, tasks: dict[str, str], limit: int) -> list[Told]:
        """Tell the agent of a conflict, or that there is none any more; end its session if it is too far behind."""
        run, before = watched.run, watched.told
        watched.told = sight.conflicts
        run.conflict = conflict_of(sight)
        if sight.conflicts != before:
            landed = [(other, tasks.get(other.change, "")) for other in sight.landed]
            text = news.of_conflict(self._trunk, sight.tip, sight.behind, sight.conflicts, landed, limit)
            run.tell("conflict", text if sight.conflicts else "")
        if not sight.conflicts:
            return []
        sessions = run.work.task.sessions
        if too_far_behind(sight.behind, limit, bool(before), sessions[-1].end if sessions else None):
            run.end_as_behind(f"{many(sight.behind, 'commit')} behind trunk, and {run.conflict}")
        if before:
            return []
        return [Conflicting(run.work.task.id, run.work.agent, tuple(map(quoted, sight.conflicts)), run.conflict)]

    def close(self) -> None:
        """Wait for the look that is being taken."""
        self._pool.shutdown(wait=True, cancel_futures=True)


def conflict_of(sight: Sight) -> str:
    """Describe the conflict of a branch with trunk; return "" if there is none."""
    if not sight.conflicts:
        return ""
    named = ", ".join(printable(other.change or other.commit[:10]) for other in sight.landed[:5])
    paths = some([printable(path) for path in sight.conflicts])
    return f"it conflicts with trunk in {paths}{f', where {named} landed' if named else ''}"


def _due(watched: _Watched, tip: str, now: float) -> tuple[str, str] | None:
    """Return (trunk's tip, HEAD) if the session is to be looked at."""
    if not watched.run.running:
        return None
    if not watched.base:
        record = watched.tree.record
        watched.base = record.base if record else ""
    at = tip, private_repository.head(watched.tree.git_dir)[0] or ""
    if at != watched.at:
        return at if watched.base != tip else None
    return at if now >= watched.again else None


def _look(hub: Hub, tree: Worktree, tip: str) -> _Seen:
    begun = time.monotonic()
    try:
        sight = look(hub, tree, tip)
        return _Seen(sight, tasks_of(hub, sight.landed), time.monotonic() - begun)
    except (AgentctlError, OSError) as error:
        # An agent may do anything to its files at the same time. The next look may see them.
        log.debug("nothing is seen of %s: %s", tree.name, error)
        return _Seen(None, {}, time.monotonic() - begun)


def tasks_of(hub: Hub, landed: Iterable[Other]) -> dict[str, str]:
    """Return the task of each landed change that has one, by the change's key."""
    ledger = Ledger.read(hub)
    records = {other.change: ledger.record(other.change) for other in landed if other.change}
    return {key: record.change.task for key, record in records.items() if record and record.change.task}
