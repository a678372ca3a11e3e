"""One session: an agent's command, run once on one task, from claim to submission.

The order of effects: claim; worktree; the command; what it left becomes reachable (submission or salvage); the task's
event; the claim goes. After a kill, the next start finds the claim of a dead owner and takes the same steps from where
the session ended.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from dataclasses import dataclass, field
from typing import Protocol

from agentctl.core.policy import roles
from agentctl.core.policy.policy import Policy
from agentctl.core.queue.spending import Spent
from agentctl.core.tasks import conversation, last_words
from agentctl.core.tasks import failure as failures
from agentctl.core.tasks.claim import CLAIM_SLACK, Claim
from agentctl.core.tasks.ending import End
from agentctl.core.tasks.failure import Failure, Kind
from agentctl.core.tasks.stream import Heard
from agentctl.core.tasks.task import Session
from agentctl.core.tasks.watchdog import QUIET_START, Patience, Verdict
from agentctl.core.text.json_form import replace
from agentctl.engine import clock, environ, owner
from agentctl.engine.local import LOCAL
from agentctl.engine.runner import Job, JobEnded, Runner, Running
from agentctl.errors import Contended, Infrastructure, Malformed, NotFound
from agentctl.fleet import adapters, agents, planning, result, session_folder
from agentctl.fleet.adapters import NONE, Adapter
from agentctl.fleet.briefing import brief, refs_told_of
from agentctl.fleet.conclusion import Assignment, conclude, record, redacted
from agentctl.fleet.how_it_ended import how, quoting
from agentctl.fleet.listening import Listener
from agentctl.fleet.logs import link_log
from agentctl.fleet.watching import watch
from agentctl.git import folders, worktrees
from agentctl.git.repository import Hub
from agentctl.git.worktrees import Worktree
from agentctl.hub import claims, foreign, tasks

_PREPARING = threading.BoundedSemaphore(2 * (os.cpu_count() or 1))
"""Worktrees that may be made at a time: hundreds at once keep the machine from everything else for minutes."""
DEFER = 75
"""EX_TEMPFAIL of sysexits.h, by which an agent says: not now, call me again when trunk has moved."""


@dataclass
class SessionRun:
    """A session under way in a thread of its own."""

    hub: Hub
    policy: Policy
    work: Assignment
    runner: Runner = LOCAL
    stopping: bool = False
    running: Running | None = None
    started: float = field(default_factory=time.time)
    called: float | None = None
    """When the agent's program was called; None as long as that is prepared, or where nobody can tell."""
    conflict: str = ""
    """What of its work conflicts with trunk, as the radar saw it last; empty if nothing does."""
    behind: str = ""
    """Why it is ended as behind; empty if it is not."""
    _listener: Listener | None = None
    _begin: int = 0
    """Where the output of the command that runs, or ran last, begins in the log."""
    _news: dict[str, str] = field(default_factory=dict)
    _telling: threading.Lock = field(default_factory=threading.Lock)
    _ended_by_us: Verdict | None = None

    @property
    def folder(self) -> str:
        # What a session printed tells why it failed, so no other session's output may be in its folder.
        name = f"{self.work.task.generation}" if self.work.stored else f"{int(self.started * 1000)}"
        return os.path.dirname(self.hub.own_path("sessions", self.work.task.id, name, "output.log"))

    @property
    def log(self) -> str:
        return os.path.join(self.folder, "output.log")

    def stop(self) -> None:
        self.stopping = True
        if self.running:
            self.running.stop()

    def end_as_behind(self, why: str) -> None:
        self.behind = why
        if self.running:
            self.running.stop()

    def tell(self, about: str, text: str) -> None:
        """Tell the agent something while it works, beside what it was told about other things; no text takes it back."""
        with self._telling:
            self._news[about] = text
            tree = worktrees.of_agent(self.hub, self.work.agent)
            # What an agent does to its folder is its own affair.
            with contextlib.suppress(OSError):
                session_folder.tell(tree.path, "\n".join(filter(None, self._news.values())))

    def go(self) -> Session:
        """Run the session.

        Raises Contended if somebody else has the task or the agent, or it was stopped before it began, and OSError or GitError for what the machine
        causes. The claim is released then.
        """
        hub, task, agent = self.hub, self.work.task, self.work.agent
        claim = Claim(
            agent,
            task.generation,
            self.started + self.policy.agents.timeout + CLAIM_SLACK,
            owner.identity(home=hub.home),
            hub.place if hub.station else "",
        )
        with agents.lock(hub, agent):
            if not self.work.stored:
                return self._session(claim)
            oid, claimed = claims.claim(hub, task.id, claim), True
            try:
                if overtaken := self._overtaken():
                    raise Contended(overtaken, hint=f"agentctl task show {task.id}")
                session = self._session(claim)
                record(hub, task.id, session, oid)
                claimed = False
                return session
            finally:
                if claimed:
                    claims.release(hub, task.id, oid)

    def attend(self, claim: Claim) -> Session:
        """Run the session under a claim that another machine has made; it also writes down what this returns."""
        with agents.lock(self.hub, claim.agent):
            return self._session(claim)

    def _overtaken(self) -> str:
        """Return what became of the task between the look by which it was given to this session and the claim; else empty."""
        task = self.work.task
        with contextlib.suppress(Malformed, NotFound, Infrastructure):
            # Another station may have worked on it until just now.
            self.hub.refs.refresh()
            now = tasks.get(self.hub, task.id)
            if now.closed and not task.closed:
                return f"somebody has put aside {task.id}"
            if any(session.generation == task.generation for session in now.sessions):
                return f"somebody else has just worked on {task.id}"
        return ""

    def _session(self, claim: Claim) -> Session:
        tip = foreign.tip(self.hub, self.work.trunk)
        with _PREPARING:
            if self.stopping:
                raise Contended("it was stopped before it began")
            told, on = refs_told_of(self.hub, self.work.task), self.policy.agents.setup_on
            tree, new = agents.prepare(self.hub, claim.agent, tip, self.work.trunk, told, on)
        # What an earlier session said there is not said by this one, not even by its set-up.
        session_folder.make(tree.path)
        ended, end, note, failure = self._execute(tree, new, tip)
        heard = self._heard
        spent = replace(heard.spent, seconds=round(ended.seconds, 3))
        if planning.hands_in(self.policy, self.work.task):
            session = conclude(self.hub, self.policy, self.work, claim, tree, end, note, spent, failure)
            if session.end == End.EMPTY and not session.salvage:
                unseen = result.unseen(tree, self.called or self.started)
                session = replace(session, note="; ".join(filter(None, [session.note, unseen])))
        else:
            session = planning.conclude(self.hub, self.work, claim, tree, end, note, self.started, spent, failure)
        session = replace(session, said=heard.said, conversation=heard.conversation)
        if session.end == End.EMPTY and (said := last_words.shown(heard.said) or last_words.quote(self._said())):
            session = replace(session, note="; ".join(filter(None, [session.note, f"its last words: {said}"])))
        if self.conflict and not (session.revision or self.behind):
            session = replace(session, note="; ".join(filter(None, [session.note, self.conflict])))
        return redacted(replace(session, trunk=tip))

    def _execute(self, tree: Worktree, new: bool, tip: str) -> tuple[JobEnded, End | None, str, Failure | None]:
        """Run the set-up command if that is due, and then the agent's.

        Returns (how it ended, End if that is certain already, note, why it failed if not by the task's fault).
        """
        if new and self.policy.agents.setup:
            env = {"AGENTCTL_HUB": self.hub.git_dir, "AGENTCTL_AGENT": self.work.agent, "AGENTCTL_TASK": self.work.task.id}
            ended = self._run(tree, ("/bin/sh", "-c", self.policy.agents.setup), env, None)
            if ended.exit != 0:
                return self._set_up_failed(ended)
        if new:
            agents.ready(tree, bool(self.policy.agents.setup), self.policy.agents.setup_on)
        link_log(self.hub, self.work.agent, self.log)
        told = brief(self.hub, self.policy, self.work, tree.path, tip, self.folder)
        argv = adapters.filled(self._argv(), told.prompt, told.values)
        adapter = adapters.lookup(self.policy.agents.adapter)
        self.called = time.time()
        ended = self._run(tree, argv, told.env, told.file if self.work.stdin else None, adapter)
        end, note = self._end(ended)
        if end is None and self._heard.well:
            return ended, end, note, None
        if end is None and (self._heard.well is False or failures.at_the_end(self._said())):
            end, note = End.CRASHED, "; ".join(filter(None, [f"it ended by an error: {last_words.quote(self._said())}", note]))
        return ended, end, note, self._failure(end, ended)

    def _argv(self) -> tuple[str, ...]:
        """Return how the program is called, which may take up the conversation of the last session."""
        settings = self.policy.agents
        known = conversation.taken_up(self.work.task.sessions, self.work.agent, settings.resume)
        again = adapters.resuming(settings.adapter, self.work.argv) if known else ()
        return tuple(word.replace("{conversation}", known) for word in again) or self.work.argv

    def _set_up_failed(self, ended: JobEnded) -> tuple[JobEnded, End | None, str, Failure | None]:
        end, note = self._end(ended)
        if end in (End.INTERRUPTED, End.BEHIND, End.SPENT):
            return ended, end, note, self._failure(end, ended)
        said = self._said()
        failure = self._failure(End.CRASHED, ended) or Failure(Kind.SETUP, last_words.quote(said))
        return ended, End.CRASHED, f"the set-up command failed: {how(ended, said)}", failure

    def _end(self, ended: JobEnded) -> tuple[End | None, str]:
        """Return (how the command ended, None if it ended well; a note)."""
        if self.stopping and (ended.reason, ended.exit) != ("exited", 0):
            return End.INTERRUPTED, "stopped"
        if ended.reason == "stopped" and self.behind:
            return End.BEHIND, self.behind
        if ended.reason == "stopped" and not self._ended_by_us:
            return End.INTERRUPTED, "stopped by hand"
        said = self._said()
        if ended.reason == "stopped" and self._ended_by_us:
            end, why = self._ended_by_us.end, self._ended_by_us.why
            return end, quoting(why, said) + self._missed() if end in (End.STUCK, End.CIRCLES, End.CRASHED) else why
        if ended.reason == "timeout":
            return End.TIMEOUT, quoting(f"no end after {self.policy.agents.timeout:g} s", said)
        if ended.reason != "exited" or ended.exit is None:
            return End.CRASHED, how(ended, said) + self._missed()
        if ended.exit == DEFER:
            return End.DEFERRED, "not yet"
        failed = ended.exit != 0 and self.policy.agents.on_failure != "submit"
        return (End.CRASHED, how(ended, said) + self._missed()) if failed else (None, how(ended, ""))

    def _said(self) -> str:
        return result.tail(self.log, self._begin)

    def _failure(self, end: End | None, ended: JobEnded) -> Failure | None:
        now = time.time()
        found = failures.classify(end, ended.reason, self._said(), now, time.localtime(now).tm_gmtoff, clock.offset_of)
        if found and found.kind == Kind.KEY and (missed := self._missed()):
            # A key that we kept from the program is not one that its provider refused.
            found = replace(found, said=found.said + missed)
        ended_by_us = self._ended_by_us if found and found.kind == Kind.LIMIT else None
        return replace(found, limit=ended_by_us.limit) if found and ended_by_us else found

    def _run(
        self, tree: Worktree, argv: tuple[str, ...], env: dict[str, str], stdin: str | None, adapter: Adapter = NONE
    ) -> JobEnded:
        self._begin = folders.size(self.log)
        who = agents.person(self.work.agent)
        names = {
            f"GIT_{role}_{what}": value
            for role in ("AUTHOR", "COMMITTER")
            for what, value in (("NAME", who.name), ("EMAIL", who.email))
        }
        self._env = (
            environ.given(self.policy.agents.pass_env, adapter.passes) | names | adapter.env | self.policy.agents.env | env
        )
        running = self.running = self.runner.start(
            Job(
                argv=argv,
                cwd=tree.path,
                log=self.log,
                mark=f"{self.hub.mark}session/{self.work.agent}/",
                stdin=stdin,
                env=self._env,
                timeout=self.policy.agents.timeout,
                memory=self.policy.limits.memory,
                output=self.policy.limits.output,
                processes=self.policy.limits.processes,
                file_size=self.policy.limits.file_size,
            )
        )
        if self.stopping:
            running.stop()
        rules = self.policy.agents
        patience = Patience(
            silence=rules.silence,
            start=QUIET_START * rules.silence,
            budget=rules.budget.session,
            context=rules.context,
            timeout=rules.timeout,
            of_budget=roles.budget_key(rules, self.work.task.role),
        )
        self._listener = Listener(self.log, adapters.reader(rules.adapter, argv))
        ended, self._ended_by_us = watch(
            tree, running, self.log, patience, self._listener, lambda text: self.tell("limits", text)
        )
        return ended

    @property
    def _heard(self) -> Heard:
        return self._listener.heard if self._listener else Heard()

    @property
    def spent(self) -> Spent:
        """What the session has used up so far."""
        return self._listener.spent if self._listener else Spent()

    @property
    def answered(self) -> bool | None:
        """See `Heard.answered`."""
        return self._heard.answered

    def _missed(self) -> str:
        output = environ.tail(self.log, result.TAIL)
        return environ.missed(self._env, output, "agents.pass_env")


class Sessions(Protocol):
    """Where sessions run."""

    @property
    def room(self) -> int | None:
        """How many may run at a time; None if only the size of the fleet counts."""

    @property
    def lacking(self) -> str:
        """Why none can run now; empty if one can, be it later."""

    def begin(self, hub: Hub, policy: Policy, work: Assignment) -> SessionRun:
        """Return a session that has not begun; its `go` is called in a thread of its own."""


class Here:
    """On this machine."""

    room, lacking = None, ""

    def begin(self, hub: Hub, policy: Policy, work: Assignment) -> SessionRun:
        return SessionRun(hub, policy, work)


HERE = Here()
