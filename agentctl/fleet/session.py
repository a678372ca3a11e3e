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
from dataclasses import dataclass, field

from agentctl.core import refnames
from agentctl.core.policy.policy import Policy
from agentctl.core.queue.lifecycle import Stage
from agentctl.core.tasks import failure as failures
from agentctl.core.tasks import health, last_words, prompt
from agentctl.core.tasks.ending import End
from agentctl.core.tasks.failure import Failure, Kind
from agentctl.core.tasks.task import Claim, Session, Task
from agentctl.core.text.json_form import replace
from agentctl.engine import environ, owner
from agentctl.engine.local import LOCAL
from agentctl.engine.runner import Ended, Job, Runner, Running
from agentctl.fleet import adapters, agents, result
from agentctl.fleet.conclusion import Work, conclude, record, redacted
from agentctl.git import files, modes, private
from agentctl.git.repository import Hub
from agentctl.git.scratch import Scratch
from agentctl.git.worktrees import Worktree
from agentctl.hub import outbox, tasks
from agentctl.hub.ledger import Ledger

DEFER = 75
"""EX_TEMPFAIL of sysexits.h: not now, call me again when trunk has moved."""

CLAIM_SLACK = 3600.0
"""Seconds that a claim outlives its session's time limit. Only another machine's
claims end by expiry; a dead process of this one is seen at once."""


QUIET_START = 3
"""How many times longer than later a session may say nothing at its start: some agents
print only at their end."""


@dataclass
class Run:
    """A session under way in a thread of its own."""

    hub: Hub
    policy: Policy
    work: Work
    runner: Runner = LOCAL
    stopping: bool = False
    running: Running | None = None
    started: float = field(default_factory=time.time)

    @property
    def folder(self) -> str:
        # What a session printed tells why it failed, so no other one's is there.
        name = f"{self.work.task.generation}" if self.work.stored else f"{int(self.started * 1000)}"
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
                      owner.identity())
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
        tree, new = agents.prepare(self.hub, claim.agent, tip, self.work.trunk, _known(self.hub, self.work.task))
        ended, end, note, failure = self._execute(tree, new, tip)
        session = conclude(self.hub, self.policy, self.work, claim, tree, end, note, ended.seconds, failure)
        if session.end == End.EMPTY and (said := last_words.quote(self._said())):
            session = replace(session, note="; ".join(filter(None, [session.note, f"its last words: {said}"])))
        return redacted(replace(session, trunk=tip))

    def _execute(self, tree: Worktree, new: bool, tip: str) -> tuple[Ended, End | None, str, Failure | None]:
        """(how it ended, End if that is certain already, note, why it failed if not by the task's fault)."""
        if new and self.policy.agents.setup:
            ended = self._run(tree, ("/bin/sh", "-c", self.policy.agents.setup), {}, None)
            if ended.exit != 0:
                return self._set_up_failed(ended)
        if new:
            agents.ready(tree, bool(self.policy.agents.setup))
        link_log(self.hub, self.work.agent, os.path.join(self.folder, "output.log"))
        text, values, env = self._briefing(tree, tip)
        argv = adapters.filled(self.work.argv, text, values)
        stdin = values["prompt_file"] if self.work.stdin else None
        ended = self._run(tree, argv, env, stdin, adapters.lookup(self.policy.agents.adapter).passes)
        end, note = self._end(ended)
        return ended, end, note, self._failure(end, ended)

    def _set_up_failed(self, ended: Ended) -> tuple[Ended, End | None, str, Failure | None]:
        end, note = self._end(ended)
        if end == End.INTERRUPTED:
            return ended, end, note, None
        said = self._said()
        failure = self._failure(End.CRASHED, ended) or Failure(Kind.SETUP, last_words.quote(said))
        return ended, End.CRASHED, f"the set-up command failed: {_how(ended, said)}", failure

    def _end(self, ended: Ended) -> tuple[End | None, str]:
        """(how the command ended, None if well; a note)."""
        if self.stopping:
            return End.INTERRUPTED, "stopped"
        if ended.reason == "stopped" and not self._stuck:
            return End.INTERRUPTED, "stopped by hand"
        said = self._said()
        if ended.reason == "stopped":
            return End.STUCK, _with(self._stuck, said) + self._missed()
        if ended.reason == "timeout":
            return End.TIMEOUT, _with(f"no end after {self.policy.agents.timeout:g} s", said)
        if ended.reason != "exited" or ended.exit is None:
            return End.CRASHED, _how(ended, said) + self._missed()
        if ended.exit == DEFER:
            return End.DEFERRED, "not yet"
        failed = ended.exit != 0 and self.policy.agents.on_failure != "submit"
        return (End.CRASHED, _how(ended, said) + self._missed()) if failed else (None, _how(ended, ""))

    def _said(self) -> str:
        return result.tail(os.path.join(self.folder, "output.log"))

    def _failure(self, end: End | None, ended: Ended) -> Failure | None:
        now = time.time()
        return failures.classify(end, ended.reason, self._said(), now, time.localtime(now).tm_gmtoff)

    def _run(self, tree: Worktree, argv: tuple[str, ...], env: dict[str, str], stdin: str | None,
             passes: tuple[str, ...] = ()) -> Ended:
        who = agents.person(self.work.agent)
        names = {f"GIT_{role}_{what}": value for role in ("AUTHOR", "COMMITTER")
                 for what, value in (("NAME", who.name), ("EMAIL", who.email))}
        self._stuck = ""
        self._env = environ.given(self.policy.agents.pass_env, passes) | names | self.policy.agents.env | env
        running = self.running = self.runner.start(Job(
            argv=argv, cwd=tree.path, log=os.path.join(self.folder, "output.log"),
            mark=f"{self.hub.mark}session/{self.work.agent}/", stdin=stdin,
            env=self._env, timeout=self.policy.agents.timeout, memory=self.policy.limits.memory,
            output=self.policy.limits.output, processes=self.policy.limits.processes,
            file_size=self.policy.limits.file_size,
        ))
        if self.stopping:
            running.stop()
        return self._watch(tree, running)

    def _missed(self) -> str:
        output = environ.tail(os.path.join(self.folder, "output.log"), result.TAIL)
        return environ.missed(self._env, output, "agents.pass_env")

    def _watch(self, tree: Worktree, running: Running) -> Ended:
        """Wait for the end, and stop what is stuck."""
        log, silence = os.path.join(self.folder, "output.log"), self.policy.agents.silence
        samples: list[health.Sample] = []
        pause, look = min(30.0, max(0.2, silence / 20)), tree.look(index="watch.index")
        files.fresh_index(tree.own("watch.index"), tree.own("index"))
        while True:
            ended = running.wait(pause)
            if ended:
                return ended
            activity = running.activity()
            samples.append(health.Sample(
                time=time.monotonic(), output=os.path.getsize(log) if os.path.exists(log) else 0,
                head=private.head(tree.git_dir)[0] or "", diff=_fingerprint(look), cpu=activity.cpu_seconds, processes=activity.processes))
            del samples[:-1000]
            reason = health.stuck(samples, time.monotonic(), silence, QUIET_START * silence)
            if reason and not self._stuck:
                self._stuck = reason
                running.stop()

    def _briefing(self, tree: Worktree, tip: str) -> tuple[str, dict[str, str], dict[str, str]]:
        """(prompt, placeholder values, environment), with the files of the last answer."""
        task, hub, folder = self.work.task, self.hub, self.folder
        record = Ledger.read(hub).newest(task.id)
        answer = outbox.read(hub, record) if record and record.stage == Stage.REJECTED else None
        env = {
            "AGENTCTL_TASK": task.id, "AGENTCTL_AGENT": self.work.agent, "AGENTCTL_HUB": hub.git_dir,
            "AGENTCTL_GENERATION": str(task.generation), "AGENTCTL_ATTEMPT": str(task.attempts + 1),
            "AGENTCTL_BASE": tip, "AGENTCTL_PROMPT_FILE": os.path.join(folder, "prompt.md"),
        }
        if answer:
            env["AGENTCTL_ANSWER"] = folder
            for name, content in (("verdict.json", json.dumps(answer.verdict, indent=1)),
                                  ("gate.log", answer.log), ("conflict.diff", answer.conflict)):
                modes.write(os.path.join(folder, name), content)
        salvage = next((s.salvage for s in reversed(task.sessions) if s.salvage), "")
        text = prompt.render(
            task, self.policy.agents.attempts, answer.verdict if answer else None,
            answer.log if answer else "", answer.conflict if answer else "",
            record.change.head if record and answer else "", salvage)
        modes.write(env["AGENTCTL_PROMPT_FILE"], text)
        if len(text.encode()) <= adapters.LONGEST:
            env["AGENTCTL_PROMPT"] = text
        values = {"prompt_file": env["AGENTCTL_PROMPT_FILE"], "task": task.id, "agent": self.work.agent,
                  "worktree": tree.path, "attempt": env["AGENTCTL_ATTEMPT"]}
        return text, values, env


def _known(hub: Hub, task: Task) -> dict[str, str]:
    """The refs that the prompt tells of: of salvaged work, and of the answer to what was submitted."""
    named = {s.salvage for s in task.sessions if s.salvage}
    record = Ledger.read(hub).newest(task.id)
    if record and record.stage == Stage.REJECTED:
        named.add(refnames.outbox(record.change.agent, record.change.id, record.change.revision))
    found = hub.refs.read(sorted(named)) if named else {}
    return {name: ref.oid for name, ref in found.items() if name in named}


def log_of(hub: Hub, agent: str) -> str:
    """The output of an agent's newest session."""
    return hub.own_path("logs", "agents", f"{agent}.log")


def link_log(hub: Hub, agent: str, target: str) -> None:
    link = log_of(hub, agent)
    with contextlib.suppress(FileNotFoundError):
        os.unlink(link)
    os.symlink(target, link)


def _fingerprint(look: Scratch) -> str:
    """Changes whenever a file that differs from what was checked out is written again."""
    seen = []
    for entry in files.listed(look, "-o", "--exclude-standard")[:1000]:
        with contextlib.suppress(OSError):
            stat = os.lstat(os.path.join(look.work_tree or "", entry.path))
            seen.append(f"{entry.path} {stat.st_mtime_ns} {stat.st_size}")
    return hashlib.sha1("\n".join(seen).encode(errors="surrogateescape")).hexdigest()


def _how(ended: Ended, said: str) -> str:
    """How a command ended, in words, with the last of its own."""
    if ended.reason != "exited":
        how = ended.message or ended.reason
    elif ended.signal is not None:
        how = f"killed by signal {ended.signal}"
    else:
        how = "" if ended.exit == 0 else f"exit status {ended.exit}"
    how += f": {ended.message}" if ended.message and ended.reason == "exited" else ""
    left = ("a process it left behind was killed" if ended.survivors == 1 else
            f"{ended.survivors} processes it left behind were killed" if ended.survivors else "")
    return "; ".join(part for part in (_with(how, said), left) if part)


def _with(how: str, said: str) -> str:
    quoted = last_words.quote(said)
    return f"{how}: {quoted}" if how and quoted else how
