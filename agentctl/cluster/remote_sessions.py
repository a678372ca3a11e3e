"""Sessions on a cluster: claim and record are written here, worktree and command are a worker's.

What a session prints comes back while it runs, into the same file as if it ran here. What it commits goes from the worker to
the hub. A worker that is lost in the middle of a session takes down what was not handed in yet; it is made safe when a worker
starts there again, and the task goes on elsewhere.
"""

from __future__ import annotations

import contextlib
import threading
import time
from dataclasses import dataclass, field

from agentctl.cluster import at_worker
from agentctl.cluster.engine import Engine, Lost, NotBegun, SchedulerLost, Unfit, Unwanted
from agentctl.cluster.orders import AGENTS, SessionAnswer, SessionOrder, Word
from agentctl.cluster.remote_gates import LOSSES, address_of
from agentctl.core.policy.policy import Policy
from agentctl.core.queue.spending import Spent
from agentctl.core.tasks.claim import Claim
from agentctl.core.tasks.ending import End
from agentctl.core.tasks.task import Session
from agentctl.core.text.json_form import replace
from agentctl.errors import Contended, Infrastructure
from agentctl.fleet import adapters
from agentctl.fleet.conclusion import Assignment, without_worktree
from agentctl.fleet.listening import Listener
from agentctl.fleet.logs import link_log
from agentctl.fleet.session import SessionRun
from agentctl.git import folders, modes
from agentctl.git.repository import Hub

IN_THE_MIDDLE = "in the middle of it"


@dataclass
class RemoteSessions:
    engine: Engine

    @property
    def room(self) -> int:
        return self.engine.room(AGENTS)

    @property
    def lacking(self) -> str:
        return self.engine.lacking(AGENTS)

    def begin(self, hub: Hub, policy: Policy, work: Assignment) -> RemoteSession:
        return RemoteSession(hub, policy, work, engine=self.engine)


@dataclass
class RemoteSession(SessionRun):
    engine: Engine = field(kw_only=True)
    _printed: int = 0
    """How many bytes of what the session prints are here."""
    _hearing: threading.Lock = field(default_factory=threading.Lock)

    def _session(self, claim: Claim) -> Session:
        self._listener = Listener(self.log, adapters.reader(self.policy.agents.adapter, self.work.argv))
        link_log(self.hub, self.work.agent, self.log)
        order = SessionOrder(address_of(self.hub, self.work.trunk), self.policy, self.work, claim)
        try:
            answer = self.engine.carry_out(at_worker.attend, order, AGENTS, lambda: not self.stopping, self)
        except Unwanted:
            return self._cut_off(claim, End.INTERRUPTED, "stopped")
        except NotBegun as error:
            # There was no session, so none is written down: the task is given out anew.
            raise Contended(error.message) from error
        except (Unfit, SchedulerLost) as error:
            return self._cut_off(claim, End.INTERRUPTED, error.message)
        except Lost as error:
            # What takes down one worker after the other is no accident.
            before = [session for session in self.work.task.sessions[1 - LOSSES :] if session.note.endswith(IN_THE_MIDDLE)]
            end = End.CRASHED if len(before) == LOSSES - 1 else End.INTERRUPTED
            return self._cut_off(claim, end, f"{error.message} {IN_THE_MIDDLE}")
        assert isinstance(answer, SessionAnswer)
        self.hear(answer.printed - len(answer.tail), answer.tail)
        if self.hub.station and answer.session.revision:
            # What the worker has handed in is to be seen before it is written down that it has.
            self.hub.station.refresh()
        return answer.session

    def _cut_off(self, claim: Claim, end: End, why: str) -> Session:
        spent = replace(self.spent, seconds=round(time.time() - self.started, 3))
        # What the worker handed in, and could not tell any more, is to be seen first.
        with contextlib.suppress(Infrastructure):
            self.hub.refs.refresh()
        return without_worktree(self.hub, self.work, claim, end, why, spent)

    # what goes to and fro while a worker runs it

    def word(self) -> Word:
        return Word(self._printed, self.stopping)

    def hear(self, begin: int, piece: bytes) -> None:
        """Append what the session printed to its file here; what came before is left out."""
        with self._hearing:
            end = begin + len(piece)
            if new := piece[max(0, self._printed - begin) :]:
                folders.make_way(self.log)
                with open(self.log, "ab", opener=modes.opener) as file:
                    file.write(new)
                    self.called = self.called or time.time()
            self._printed = max(self._printed, end)
            if self._listener:
                self._listener.listen()

    @property
    def spent(self) -> Spent:
        return self._listener.spent if self._listener else Spent()
