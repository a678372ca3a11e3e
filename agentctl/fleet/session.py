"""One session: an agent's command, run once on one task, from claim to submission.

The order of effects: claim; worktree; the command; what it left becomes reachable
(submission or salvage); the task's event; the claim goes. After a kill the next
start finds the claim of a dead owner and walks the same steps from where it ended.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import time
from dataclasses import dataclass, field, replace

from agentctl.core import ending, failure as failures, health, lastwords, prompt, refnames
from agentctl.core.ending import Left, Use
from agentctl.core.failure import Failure, Kind
from agentctl.core.lifecycle import Stage
from agentctl.core.policy import Policy
from agentctl.core.task import Claim, End, Session, Task
from agentctl.engine import local, processes
from agentctl.fleet import adapters, agents, result, tasks
from agentctl.git import process, refs, worktrees
from agentctl.git.hub import Hub
from agentctl.git.worktrees import Worktree
from agentctl.messages import many
from agentctl.queue import answers, inbox
from agentctl.queue.ledger import Ledger

DEFER = 75
"""EX_TEMPFAIL of sysexits.h: not now, call me again when trunk has moved."""

CLAIM_SLACK = 3600.0
"""Seconds that a claim outlives its session's time limit. Only another machine's
claims end by expiry; a dead process of this one is seen at once."""


QUIET_START = 3
"""How many times longer than later a session may say nothing at its start: some agents
print only at their end."""


@dataclass(frozen=True, slots=True)
class Work:
    """What a session is to do."""

    task: Task
    agent: str
    argv: tuple[str, ...]
    stdin: bool
    trunk: str
    """Name of the branch."""
    stored: bool = True
    """False for a task that is only this session's: no claim, no event."""


@dataclass
class Run:
    """A session under way in a thread of its own."""

    hub: Hub
    policy: Policy
    work: Work
    stopping: bool = False
    running: local.Running | None = None
    started: float = field(default_factory=time.time)

    @property
    def folder(self) -> str:
        name = f"{self.work.task.generation}"
        return os.path.dirname(self.hub.own_path("sessions", self.work.task.id, name, "output.log"))

    def stop(self) -> None:
        self.stopping = True
        if self.running:
            self.running.stop()

    def go(self) -> Session:
        """Run it. Raises Contended if somebody else has the task or the agent, and what the
        machine does to us (OSError, GitError); the claim is released then."""
        hub, task, agent = self.hub, self.work.task, self.work.agent
        claim = Claim(agent, task.generation, self.started + self.policy.agents.timeout + CLAIM_SLACK,
                      processes.identity())
        with agents.lock(hub, agent):
            if not self.work.stored:
                return self._session(claim)
            oid = tasks.claim(hub, task.id, claim)
            try:
                session = self._session(claim)
                record(hub, task.id, session)
                return session
            finally:
                tasks.release(hub, task.id, oid)

    def _session(self, claim: Claim) -> Session:
        tip = self.hub.trunk_tip(self.work.trunk)
        tree, new = agents.prepare(self.hub, claim.agent, tip)
        ended, end, note, failure = self._execute(tree, new, tip)
        session = conclude(self.hub, self.policy, self.work, claim, tree, end, note, ended.seconds, failure)
        if session.end == End.EMPTY and (said := lastwords.quote(self._said())):
            session = replace(session, note="; ".join(filter(None, [session.note, f"its last words: {said}"])))
        return replace(session, trunk=tip)

    def _execute(self, tree: Worktree, new: bool, tip: str) -> tuple[local.Ended, End | None, str, Failure | None]:
        """(how it ended, End if that is certain already, note, why it failed if not by the task's fault)."""
        if new and self.policy.agents.setup:
            ended = self._run(tree, ("/bin/sh", "-c", self.policy.agents.setup), {}, None)
            if ended.exit != 0:
                return self._set_up_failed(ended)
        agents.ready(tree)
        link_log(self.hub, self.work.agent, os.path.join(self.folder, "output.log"))
        text, values, env = self._briefing(tree, tip)
        argv = adapters.filled(self.work.argv, text, values)
        stdin = values["prompt_file"] if self.work.stdin else None
        ended = self._run(tree, argv, env, stdin)
        end, note = self._end(ended)
        return ended, end, note, self._failure(end, ended)

    def _set_up_failed(self, ended: local.Ended) -> tuple[local.Ended, End | None, str, Failure | None]:
        end, note = self._end(ended)
        if end == End.INTERRUPTED:
            return ended, end, note, None
        said = self._said()
        failure = self._failure(End.CRASHED, ended) or Failure(Kind.SETUP, lastwords.quote(said))
        return ended, End.CRASHED, f"the set-up command failed: {_how(ended, said)}", failure

    def _end(self, ended: local.Ended) -> tuple[End | None, str]:
        """(how the command ended, None if well; a note)."""
        if self.stopping:
            return End.INTERRUPTED, "stopped"
        if ended.reason == "stopped" and not self._stuck:
            return End.INTERRUPTED, "stopped by hand"
        said = self._said()
        if ended.reason == "stopped":
            return End.STUCK, _with(self._stuck, said)
        if ended.reason == "timeout":
            return End.TIMEOUT, _with(f"no end after {self.policy.agents.timeout:g} s", said)
        if ended.reason != "exited" or ended.exit is None:
            return End.CRASHED, _how(ended, said)
        if ended.exit == DEFER:
            return End.DEFERRED, "not yet"
        failed = ended.exit != 0 and self.policy.agents.on_failure != "submit"
        return (End.CRASHED, _how(ended, said)) if failed else (None, _how(ended, ""))

    def _said(self) -> str:
        return result.tail(os.path.join(self.folder, "output.log"))

    def _failure(self, end: End | None, ended: local.Ended) -> Failure | None:
        now = time.time()
        return failures.classify(end, ended.reason, self._said(), now, time.localtime(now).tm_gmtoff)

    def _run(self, tree: Worktree, argv: tuple[str, ...], env: dict[str, str], stdin: str | None) -> local.Ended:
        who = agents.person(self.work.agent)
        names = {f"GIT_{role}_{what}": value for role in ("AUTHOR", "COMMITTER")
                 for what, value in (("NAME", who.name), ("EMAIL", who.email))}
        self._stuck = ""
        self.running = local.start(local.Job(
            argv=argv, cwd=tree.path, log=os.path.join(self.folder, "output.log"),
            mark=f"{self.hub.mark}session/{self.work.agent}/", stdin=stdin,
            env=process.child_environment() | names | dict(self.policy.agents.env) | env,
            timeout=self.policy.agents.timeout, memory=self.policy.limits.memory, output=self.policy.limits.output,
        ))
        if self.stopping:
            self.running.stop()
        return self._watch(tree)

    def _watch(self, tree: Worktree) -> local.Ended:
        """Wait for the end, and stop what is stuck."""
        log, samples, silence = os.path.join(self.folder, "output.log"), [], self.policy.agents.silence
        pause = min(30.0, max(0.2, silence / 20))
        while True:
            ended = self.running.wait(pause)
            if ended:
                return ended
            activity = self.running.activity()
            samples.append(health.Sample(
                time=time.monotonic(), output=os.path.getsize(log) if os.path.exists(log) else 0, head=tree.head(),
                diff=_fingerprint(tree), cpu=activity.cpu_seconds, processes=activity.processes))
            del samples[:-1000]
            reason = health.stuck(samples, time.monotonic(), silence, QUIET_START * silence)
            if reason and not self._stuck:
                self._stuck = reason
                self.running.stop()

    def _briefing(self, tree: Worktree, tip: str) -> tuple[str, dict[str, str], dict[str, str]]:
        """(prompt, placeholder values, environment), with the files of the last answer."""
        task, hub, folder = self.work.task, self.hub, self.folder
        record = Ledger.read(hub).newest(task.id)
        answer = answers.read(hub, record) if record and record.stage == Stage.REJECTED else None
        env = {
            "AGENTCTL_TASK": task.id, "AGENTCTL_AGENT": self.work.agent, "AGENTCTL_HUB": hub.git_dir,
            "AGENTCTL_GENERATION": str(task.generation), "AGENTCTL_ATTEMPT": str(task.attempts + 1),
            "AGENTCTL_BASE": tip, "AGENTCTL_PROMPT_FILE": os.path.join(folder, "prompt.md"),
        }
        if answer:
            env["AGENTCTL_ANSWER"] = folder
            for name, content in (("verdict.json", json.dumps(answer.verdict, indent=1)),
                                  ("gate.log", answer.log), ("conflict.diff", answer.conflict)):
                _write(os.path.join(folder, name), content)
        salvage = next((s.salvage for s in reversed(task.sessions) if s.salvage), "")
        text = prompt.render(
            task, self.policy.agents.attempts, answer.verdict if answer else None,
            answer.log if answer else "", answer.conflict if answer else "",
            record.change.head if answer else "", salvage)
        _write(env["AGENTCTL_PROMPT_FILE"], text)
        if len(text.encode()) <= adapters.LONGEST:
            env["AGENTCTL_PROMPT"] = text
        values = {"prompt_file": env["AGENTCTL_PROMPT_FILE"], "task": task.id, "agent": self.work.agent,
                  "worktree": tree.path, "attempt": env["AGENTCTL_ATTEMPT"]}
        return text, values, env


def conclude(hub: Hub, policy: Policy, work: Work, claim: Claim, tree: Worktree,
             end: End | None, note: str, seconds: float, failure: Failure | None = None) -> Session:
    """Make safe what a session left, and submit it if it is a result (see core.ending).

    `end` is None for a command that ended well. A `failure` that such a command printed counts
    only where the agent has made no commit.
    """
    tip, agent, task = hub.trunk_tip(work.trunk), claim.agent, work.task
    worktrees.restore_pointer(tree)
    agents.unlock(hub, agent, tree)
    found = agents.inspect(hub, agent, tree, tip, f"{task.title}\n\nTask: {task.id}\n")
    got = result.of(hub, task.id, found, tip)
    if end is None and failure and got.left in (Left.NOTHING, Left.FILES):
        end, note = End.CRASHED, "; ".join(filter(None, [f"it ended by an error: {failure.said}", note]))
    own = _submitted_by_itself(hub, task.id, got.commit)
    end, use = (End.SUBMITTED, Use.NOTHING) if own else ending.meaning(end, got.left, policy.agents.dirty)
    if use in (Use.SUBMIT, Use.SWEEP):
        own = _submit(hub, work, claim, tip, found.head if use == Use.SWEEP else got.commit, tree, found)
    kept = ""
    if found.new and use != Use.SWEEP and (found.dirty or use == Use.SALVAGE):
        kept = agents.keep(hub, agent, found.head, tip)
    left = many(len(found.dirty), "uncommitted file") if found.dirty else "its commits"
    said = (note, got.note if end in (End.EMPTY, End.GAVE_UP) else "", f"{left} kept in {kept}" if kept else "")
    return Session(claim.generation, agent, end, time.time(), round(seconds, 3), tip, own, "; ".join(filter(None, said)),
                   kept, failure if end not in (End.SUBMITTED, End.EMPTY, End.GAVE_UP) else None)


def _submit(hub: Hub, work: Work, claim: Claim, tip: str, head: str, tree: Worktree, found: agents.Found) -> int:
    """Hand in `head`; returns its revision."""
    task = work.task
    if found.dirty and head == found.head:
        tree.git("reset", "--quiet", head)
    facts = {"task": task.id, "generation": claim.generation} if work.stored else {}
    receipt = inbox.submit(hub, head, claim.agent, task.id, tip, again=True, priority=task.priority, **facts)
    return int(receipt.key.rsplit("/", 1)[1])


def record(hub: Hub, name: str, session: Session) -> None:
    """Append the session to its task, once."""
    def edit(task: Task) -> Task:
        known = any(s.generation == session.generation for s in task.sessions)
        return task if known else task.add(session)

    tasks.change(hub, name, f"session {session.generation} of {session.agent}: {session.end}", edit)


def log_of(hub: Hub, agent: str) -> str:
    """The output of an agent's newest session."""
    return hub.own_path("logs", "agents", f"{agent}.log")


def link_log(hub: Hub, agent: str, target: str) -> None:
    link = log_of(hub, agent)
    with contextlib.suppress(FileNotFoundError):
        os.unlink(link)
    os.symlink(target, link)


def _submitted_by_itself(hub: Hub, change: str, head: str) -> int:
    """The revision under which this head is waiting or queued already; 0 if it is not."""
    listed = refs.read(hub.git_dir, [refnames.INBOX])
    for request in inbox.requests(listed):
        if request.change == change and request.head == head and request.submits:
            return request.revision
    known = Ledger.read(hub).with_head(head)
    if known and known.change.id == change and known.stage in (Stage.QUEUED, Stage.LANDED):
        return known.change.revision
    return 0


def _fingerprint(tree: Worktree) -> str:
    """Changes whenever a file that differs from HEAD is written again."""
    seen = []
    for path in worktrees.dirty(tree)[:1000]:
        with contextlib.suppress(OSError):
            stat = os.lstat(os.path.join(tree.path, path))
            seen.append(f"{path} {stat.st_mtime_ns} {stat.st_size}")
    return hashlib.sha1("\n".join(seen).encode(errors="surrogateescape")).hexdigest()


def _how(ended: local.Ended, said: str) -> str:
    """How a command ended, in words, with the last of its own."""
    if ended.reason != "exited":
        how = ended.message or ended.reason
    elif ended.signal is not None:
        how = f"killed by signal {ended.signal}"
    else:
        how = "" if ended.exit == 0 else f"exit status {ended.exit}"
    left = ("a process it left behind was killed" if ended.survivors == 1 else
            f"{ended.survivors} processes it left behind were killed" if ended.survivors else "")
    return "; ".join(part for part in (_with(how, said), left) if part)


def _with(how: str, said: str) -> str:
    quoted = lastwords.quote(said)
    return f"{how}: {quoted}" if how and quoted else how


def _write(path: str, text: str) -> None:
    with open(path, "w", errors="surrogateescape") as file:
        file.write(text)
