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

from agentctl.core import health, prompt
from agentctl.core.lifecycle import Stage
from agentctl.core.policy import Policy
from agentctl.core.task import Claim, End, Session, Task
from agentctl.engine import local, processes
from agentctl.fleet import adapters, agents, tasks
from agentctl.git import process, worktrees
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
        ended, end, note = self._execute(tree, new, tip)
        session = conclude(self.hub, self.policy, self.work, claim, tree, end, note, ended.seconds if ended else 0.0)
        return replace(session, trunk=tip)

    def _execute(self, tree: Worktree, new: bool, tip: str) -> tuple[local.Ended | None, End | None, str]:
        """(how it ended, End if that is certain already, note)."""
        if new and self.policy.agents.setup:
            ended = self._run(tree, ("/bin/sh", "-c", self.policy.agents.setup), {}, None)
            if ended.exit != 0:
                return ended, End.CRASHED, f"the set-up command failed: {_how(ended)}"
        agents.ready(tree)
        link_log(self.hub, self.work.agent, os.path.join(self.folder, "output.log"))
        text, values, env = self._briefing(tree, tip)
        argv = adapters.filled(self.work.argv, text, values)
        stdin = values["prompt_file"] if self.work.stdin else None
        ended = self._run(tree, argv, env, stdin)
        if self.stopping:
            return ended, End.INTERRUPTED, "stopped"
        if ended.reason == "stopped":
            return (ended, End.STUCK, self._stuck) if self._stuck else (ended, End.INTERRUPTED, "stopped by hand")
        if ended.reason == "timeout":
            return ended, End.TIMEOUT, f"no end after {self.policy.agents.timeout:g} s"
        if ended.exit == DEFER:
            return ended, End.DEFERRED, "not yet"
        if ended.signal is not None or ended.reason not in ("exited", "not-found", "not-executable"):
            return ended, End.CRASHED, _how(ended)
        return ended, None, _how(ended)

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
             end: End | None, note: str, seconds: float) -> Session:
    """Make safe what a session left, and submit it if it is a result.

    `end` is None for a session that ran to its own end: then work makes it submitted and
    no work makes it empty, whatever its exit status was. Any other end, death by a signal
    among them, salvages the work: nobody meant what such a session left to be its result.
    """
    tip, agent, task = hub.trunk_tip(work.trunk), claim.agent, work.task
    worktrees.restore_pointer(tree)
    agents.unlock(hub, agent, tree)
    found = agents.inspect(hub, agent, tree, tip, f"{task.title}\n\nTask: {task.id}\n")
    facts = {"generation": claim.generation, "agent": agent, "ended": time.time(), "seconds": round(seconds, 3),
             "trunk": tip}
    own = _submitted_by_itself(hub, task.id, found.head)
    if own:
        return Session(end=End.SUBMITTED, revision=own, note=note, **facts)
    if not found.new:
        return Session(end=end or End.EMPTY, note=note, **facts)
    if end is None and not (found.dirty and policy.agents.dirty == "salvage"):
        if found.dirty:
            tree.git("reset", "--quiet", found.head)
        facts_of_task = {"task": task.id, "generation": claim.generation} if work.stored else {}
        receipt = inbox.submit(hub, found.head, agent, task.id, tip, again=True, priority=task.priority,
                               **facts_of_task)
        return Session(end=End.SUBMITTED, revision=int(receipt.key.rsplit("/", 1)[1]), note=note, **facts)
    kept = agents.keep(hub, agent, found.head, tip)
    left = many(len(found.dirty), "uncommitted file") if found.dirty else "its commits"
    return Session(end=end or End.EMPTY, note=f"{note}; {left} kept in {kept}" if kept else note,
                   salvage=kept, **facts)


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
    for request in inbox.read(hub, change):
        if request.head == head and request.submits:
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


def _how(ended: local.Ended) -> str:
    if ended.reason != "exited":
        how = ended.message or ended.reason
    elif ended.signal is not None:
        how = f"killed by signal {ended.signal}"
    else:
        how = "" if ended.exit == 0 else f"exit status {ended.exit}"
    left = ("a process it left behind was killed" if ended.survivors == 1 else
            f"{ended.survivors} processes it left behind were killed" if ended.survivors else "")
    return "; ".join(part for part in (how, left) if part)


def _write(path: str, text: str) -> None:
    with open(path, "w", errors="surrogateescape") as file:
        file.write(text)
