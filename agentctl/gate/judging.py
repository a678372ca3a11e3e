"""Running the gates on a commit, in a slot."""

from __future__ import annotations

import contextlib
import hashlib
import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from agentctl.core.policy.policy import Gate, Part, Policy, fingerprint, in_parts, parts
from agentctl.core.queue.model import Verdict
from agentctl.core.text import globs
from agentctl.core.text.json_form import replace
from agentctl.engine import environ
from agentctl.engine.local import LOCAL
from agentctl.engine.runner import Job, JobEnded, Runner, Running
from agentctl.errors import Infrastructure, Timeout, is_ours, told
from agentctl.gate.slots import check_out, slot
from agentctl.git import folders, modes, process, worktrees
from agentctl.git.process import GitError
from agentctl.git.repository import Hub
from agentctl.git.worktrees import Worktree
from agentctl.hub.verdicts import Judgement

TAIL = 16_384
"""Bytes of a failed gate's output that are kept as evidence."""
LOGS_KEPT = 200
SETUP = "slot setup"
"""The step before the gates; no gate can have this name."""


UNCLEAR = 125
"""The exit status of a gate that cannot tell."""
LAYOUT = "slot"
"""The step before all others, in which a slot gets the files of a commit."""


@dataclass(frozen=True, slots=True)
class Said:
    """How the steps of a run ended, by the one that did not pass."""

    verdict: Verdict
    why: str = ""
    exit: int | None = None
    step: str = ""
    log: str = ""


STOPPED = Said(Verdict.ABORTED, "stopped")


@dataclass
class GateRun:
    """The processes under way, so that they can be stopped from another thread."""

    runner: Runner = LOCAL
    gits: process.Leash = field(default_factory=process.Leash)
    stopped: bool = False
    _running: set[Running] = field(default_factory=set)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def run(self, job: Job) -> JobEnded | None:
        """Run to the end; None if everything was stopped meanwhile."""
        with self._lock:
            if self.stopped:
                return None
            running = self.runner.start(job)
            self._running.add(running)
        try:
            ended = running.wait(None)
            return None if self.stopped else ended
        finally:
            with self._lock:
                self._running.discard(running)

    def stop(self) -> None:
        with self._lock:
            self.stopped = True
            for running in self._running:
                running.kill()
        self.gits.cut()


def judge(hub: Hub, policy: Policy, runs: GateRun, commit: str, known: frozenset[str] = frozenset(),
          base: str | None = None, doubted: bool = False) -> Judgement:
    """Run the gates on a commit's tree, in order, in a free slot; not those of the parts that
    are `known` to pass, unless that is all of them.

    Exit status 0 of all of them is passed; 125 of one is indeterminate; any other, or a
    timeout, is failed. What is our own or the machine's fault is indeterminate too: a setup
    that fails there, unless it passes in the tree of `base`. Where it is `doubted` that 125 is
    the machine's fault, such a gate has failed if it passes there.
    """
    tree = hub.objects.commit(commit).tree
    ours, begun = fingerprint(policy), time.time()
    if not policy.gates:
        return Judgement(Verdict.PASSED, tree, commit, ours, 0.0, begun, why="no gate")
    due = [part for part in parts(policy) if part.fingerprint not in known] or list(parts(policy))
    with slot(hub) as place:
        log = hub.own_path("logs", "gate", f"{int(begun * 1000)}-{os.path.basename(place.path)}-{tree[:10]}.log")
        try:
            names = {name for part in due for name in part.gates}
            said, took = _in_slot(hub, policy, runs, place, commit, log, names,
                                  base if base != commit else None, doubted)
        except (OSError, GitError, Infrastructure, Timeout) as error:
            said, took = Said(Verdict.INDETERMINATE, f"the machine failed us: {error}"), {}
            if runs.stopped:
                said = STOPPED
    _prune(os.path.dirname(log))
    whole = Judgement(said.verdict, tree, commit, ours, round(time.time() - begun, 3), begun, said.step, said.exit, said.why, said.log)
    return replace(whole, parts=tuple(_of_part(hub, whole, part, took) for part in due
                                      if took.keys() >= {*part.gates} or whole.step in part.gates)
                   ) if in_parts(policy) else whole


def _of_part(hub: Hub, whole: Judgement, part: Part, took: dict[str, float]) -> Judgement:
    """What a run says of a part whose gates it came to the end of, or to a failure in."""
    tree, seconds = hub.objects.part(whole.tree, part.paths), round(sum(took.get(name, 0.0) for name in part.gates), 3)
    if whole.step in part.gates:
        return replace(whole, tree=tree, gate=part.fingerprint, seconds=seconds)
    return Judgement(Verdict.PASSED, tree, whole.commit, part.fingerprint, seconds, whole.at, exit=0)


def _in_slot(hub: Hub, policy: Policy, runs: GateRun, place: Worktree, commit: str, log: str,
             names: set[str], base: str | None, doubted: bool) -> tuple[Said, dict[str, float]]:
    """What the gates of these names said, and the seconds that each took which was run."""
    if said := _lay_out(place, policy, runs, commit, base):
        return said, {}
    scratch = place.path + ".tmp"
    folders.remove(scratch)
    modes.folder(scratch)
    took: dict[str, float] = {}

    def run(step: Gate) -> Said | None:
        """What the step says if it did not pass."""
        begun = time.monotonic()
        env = environ.given(step.pass_env) | {"TMPDIR": scratch, "AGENTCTL_COMMIT": commit} | step.env
        ended = runs.run(Job(
            argv=("/bin/sh", "-c", step.run), cwd=place.path, log=log, mark=hub.mark + "gate",
            env=env, stdin=None, timeout=step.timeout, memory=policy.limits.memory, output=policy.limits.output,
            processes=policy.limits.processes, file_size=policy.limits.file_size,
        ))
        took[step.name] = time.monotonic() - begun
        said = _said(step.name, ended, step.timeout)
        if not said:
            return None
        output = environ.tail(log, TAIL)
        section = "slot" if step.name == SETUP else "gates"
        return replace(said, step=step.name, log=output, why=said.why + environ.missed(env, output, f"{section}.pass_env"))

    def setup() -> Said | None:
        said = run(Gate(SETUP, policy.slot.setup, policy.gates[0].timeout, {}, pass_env=policy.slot.pass_env))
        if not said:
            worktrees.keep_template(place)
            _setup_done(policy, place)
        return said

    def at_base(step: Callable[[], Said | None]) -> Said | None:
        """What the step says in the tree of `base`."""
        with runs.gits.within(policy.gates[0].timeout):
            check_out(place, policy, base or commit)
        return step()

    try:
        if _setup_due(policy, place) and (said := setup()):
            return _blame(said, base, lambda: at_base(setup)) if said.verdict is Verdict.FAILED else said, took
        for gate in policy.gates:
            if gate.name in names and (said := run(gate)):
                if doubted and said.exit == UNCLEAR:
                    again = partial(run, gate)
                    said = _blame(said, base, lambda: at_base(lambda: (setup() if _setup_due(policy, place) else None) or again()))
                return said, took
        return Said(Verdict.PASSED, exit=0), took
    finally:
        folders.remove(scratch)


def _lay_out(place: Worktree, policy: Policy, runs: GateRun, commit: str, base: str | None) -> Said | None:
    """Check out `commit`. A failed verdict if its files cannot be laid out though those of `base` can; None if all is well.
    They cannot if there is a name that the file system does not take, a link that Git does not write, or content that a
    filter waits for in vain. It has as long as the first gate has. Raises what the machine does to us."""
    limit = policy.gates[0].timeout
    try:
        with runs.gits.within(limit):
            check_out(place, policy, commit)
        return None
    except (OSError, GitError, worktrees.NotLaidOut, Timeout) as error:
        if runs.stopped or not base or not (isinstance(error, worktrees.NotLaidOut) or is_ours(error)):
            raise
        with runs.gits.within(limit):
            check_out(place, policy, base)
        why = f"{LAYOUT}: its files cannot be laid out, and those of {base[:12]} can"
        return Said(Verdict.FAILED, why, step=LAYOUT, log=told(error))


def _blame(said: Said, base: str | None, there: Callable[[], Said | None]) -> Said:
    """A step that did not pass is the fault of what was tested if it passes `there`, in the tree of `base`, and else of the
    machine."""
    if base:
        also = there()
        if not also:
            return replace(said, verdict=Verdict.FAILED, why=f"{said.why}, and it passes without the changes, at {base[:12]}")
        if also.verdict is Verdict.ABORTED:
            return also
    return replace(said, verdict=Verdict.INDETERMINATE)


def _said(name: str, ended: JobEnded | None, timeout: float) -> Said | None:
    """What a step that did not pass says; None if it passed."""
    if ended is None:
        return STOPPED
    if ended.reason == "timeout":
        return Said(Verdict.FAILED, f"{name}: timed out after {timeout:g} s", 124)
    if ended.reason == "output":
        return Said(Verdict.FAILED, f"{name}: wrote too much output")
    if ended.reason == "processes":
        return Said(Verdict.FAILED, f"{name}: {ended.message}")
    if ended.reason == "lost":
        return Said(Verdict.FAILED, f"{name}: the process that watches it was killed, or held up")
    if ended.reason != "exited" and ended.signal is None:
        return Said(Verdict.INDETERMINATE, f"{name}: {ended.reason} {ended.message}".strip())
    if ended.exit == 0:
        return None
    how = f"killed by signal {ended.signal}" if ended.signal else f"exit status {ended.exit}"
    verdict = Verdict.INDETERMINATE if ended.exit == UNCLEAR else Verdict.FAILED
    return Said(verdict, f"{name}: {how}" + (f": {ended.message}" if ended.message else ""), ended.exit)


def _setup_state(policy: Policy, place: Worktree) -> str:
    known = hashlib.sha256(policy.slot.setup.encode())
    for line in place.look().fields("ls-files", "-s", "-z") if policy.slot.setup_on else ():
        if any(globs.matches(pattern, line.split("\t", 1)[1]) for pattern in policy.slot.setup_on):
            known.update(line.encode(errors="surrogateescape"))
    return known.hexdigest()


def _setup_due(policy: Policy, place: Worktree) -> bool:
    """Without anything kept between runs, what a setup made is gone each time."""
    if not policy.slot.setup:
        return False
    done = folders.content(place.own("setup"))
    return done is None or not policy.slot.keep or done.decode(errors="replace") != _setup_state(policy, place)


def _setup_done(policy: Policy, place: Worktree) -> None:
    modes.write(place.own("setup"), _setup_state(policy, place))


def _prune(folder: str) -> None:
    logs = sorted(os.listdir(folder))
    for name in logs[: max(0, len(logs) - LOGS_KEPT)]:
        with contextlib.suppress(OSError):
            os.unlink(os.path.join(folder, name))
