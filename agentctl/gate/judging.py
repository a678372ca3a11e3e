"""Running the gates on a commit, in a slot."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from agentctl import signals
from agentctl.core.policy.policy import Gate, Part, Policy, fingerprint, in_parts, parts
from agentctl.core.queue.model import Verdict
from agentctl.core.text.json_form import replace
from agentctl.engine import environ
from agentctl.engine.local import LOCAL
from agentctl.engine.runner import Job, JobEnded, Runner, Running
from agentctl.errors import Infrastructure, Timeout, is_ours, told
from agentctl.gate import slots, taken_port
from agentctl.gate.slots import check_out, slot
from agentctl.git import files, folders, modes, process, worktrees
from agentctl.git.process import GitError
from agentctl.git.repository import Hub
from agentctl.git.worktrees import Worktree
from agentctl.hub.verdicts import Judgement

TAIL = 16_384
"""Bytes of a failed gate's output that are kept as evidence."""
LOGS_KEPT = 200
SETUP = "slot setup"
"""The name of the step before the gates; no gate can have this name."""


UNCLEAR = 125
"""The exit status of a gate that cannot tell."""
RESTS = (0.5, 4.0, 16.0)
"""The seconds after which a gate that found a port taken is run again."""
LAYOUT = "slot"
"""The name of the step before all others, in which a slot gets the files of a commit."""


@dataclass(frozen=True, slots=True)
class Said:
    """The outcome of the steps of a run; if one of them did not pass, the outcome of that step."""

    verdict: Verdict
    why: str = ""
    exit: int | None = None
    step: str = ""
    log: str = ""


STOPPED = Said(Verdict.ABORTED, "stopped")


@dataclass
class GateRun:
    """The processes of one gate run, which another thread can stop."""

    runner: Runner = LOCAL
    gits: process.Leash = field(default_factory=process.Leash)
    _stop: threading.Event = field(default_factory=threading.Event)
    _running: set[Running] = field(default_factory=set)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def stopped(self) -> bool:
        return self._stop.is_set()

    def rest(self, seconds: float) -> None:
        """Wait, but no longer than until everything is stopped."""
        self._stop.wait(seconds)

    def run(self, job: Job) -> JobEnded | None:
        """Run a job to its end and return how it ended; None if everything was stopped meanwhile."""
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

    def judge(self, hub: Hub, policy: Policy, commit: str, known: frozenset[str], base: str | None, doubted: bool) -> Judgement:
        return judge(hub, policy, self, commit, known, base, doubted)

    def stop(self) -> None:
        with self._lock:
            self._stop.set()
            for running in self._running:
                running.kill()
        self.gits.cut()


def judge(
    hub: Hub,
    policy: Policy,
    runs: GateRun,
    commit: str,
    known: frozenset[str] = frozenset(),
    base: str | None = None,
    doubted: bool = False,
) -> Judgement:
    """Run the gates on a commit's tree, in order, in a free slot, and return the judgement.

    The gates of parts whose fingerprints are `known` to pass are left out, unless all parts are known.

    The verdict is passed if all gates exit with 0, indeterminate if one exits with 125, and failed for any other exit
    status or a timeout. What is our own or the machine's fault is indeterminate too. A setup that fails is the
    machine's fault, unless it passes in the tree of `base`: then the verdict is failed. If it is `doubted` that 125
    is the machine's fault, a gate that exits with 125 is treated likewise. One that says that a port is taken counts as 125.
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
            run = _InSlot(hub, policy, runs, place, commit, base if base != commit else None, log)
            said, took = run.judge(names, doubted), run.took
        except (OSError, GitError, Infrastructure, Timeout) as error:
            said, took = Said(Verdict.INDETERMINATE, f"the machine failed us: {error}"), {}
            if runs.stopped:
                said = STOPPED
    _prune(os.path.dirname(log))
    whole = Judgement(
        said.verdict, tree, commit, ours, round(time.time() - begun, 3), begun, said.step, said.exit, said.why, said.log
    )
    return (
        replace(
            whole,
            parts=tuple(
                _of_part(hub, whole, part, took) for part in due if took.keys() >= {*part.gates} or whole.step in part.gates
            ),
        )
        if in_parts(policy)
        else whole
    )


def once(hub: Hub, policy: Policy, commit: str, known: frozenset[str] = frozenset(), base: str | None = None) -> Judgement:
    """Judge a commit for somebody who waits for it, and leave no slot behind that the next run has no use for."""
    runs = GateRun()
    try:
        return judge(hub, policy, runs, commit, known, base)
    finally:
        with signals.held():
            runs.stop()
            slots.leave(hub, policy)


def _of_part(hub: Hub, whole: Judgement, part: Part, took: dict[str, float]) -> Judgement:
    """Return what a run says of one part: either all gates of the part passed, or one of them did not."""
    tree, seconds = hub.objects.part(whole.tree, part.paths), round(sum(took.get(name, 0.0) for name in part.gates), 3)
    if whole.step in part.gates:
        return replace(whole, tree=tree, gate=part.fingerprint, seconds=seconds)
    return Judgement(Verdict.PASSED, tree, whole.commit, part.fingerprint, seconds, whole.at, exit=0)


@dataclass
class _InSlot:
    """One run of the gates on a commit in one slot."""

    hub: Hub
    policy: Policy
    runs: GateRun
    place: Worktree
    commit: str
    base: str | None
    log: str
    took: dict[str, float] = field(default_factory=dict)
    """The seconds that each step took that was run, by its name."""

    def judge(self, names: set[str], doubted: bool) -> Said:
        """Lay out the commit, run the gates of these names, and return what they say."""
        if said := _lay_out(self.place, self.policy, self.runs, self.commit, self.base):
            return said
        folders.remove(self.scratch)
        modes.folder(self.scratch)
        try:
            return self._steps(names, doubted)
        finally:
            folders.remove(self.scratch)

    @property
    def scratch(self) -> str:
        """The folder for temporary files of the steps."""
        return self.place.path + ".tmp"

    def _steps(self, names: set[str], doubted: bool) -> Said:
        if _setup_due(self.policy, self.place) and (said := self._setup()):
            return _blame(said, self.base, lambda: self._at_base(self._setup)) if said.verdict is Verdict.FAILED else said
        for gate in self.policy.gates:
            if gate.name in names and (said := self._run(gate)):
                unclear = said.verdict is Verdict.INDETERMINATE and said.exit is not None
                return self._doubt(gate, said) if doubted and unclear else said
        return Said(Verdict.PASSED, exit=0)

    def _doubt(self, gate: Gate, said: Said) -> Said:
        """Decide about a gate that cannot tell: run it on the base too, and return the outcome."""

        def again() -> Said | None:
            return (self._setup() if _setup_due(self.policy, self.place) else None) or self._run(gate)

        return _blame(said, self.base, lambda: self._at_base(again))

    def _run(self, step: Gate) -> Said | None:
        """Run a step; return its outcome if it did not pass, else None.

        A gate that finds a port taken is run again after a while: whoever has the port may be about to give it back.
        """
        for pause in RESTS:
            said, taken = self._run_once(step)
            if not taken or self.runs.stopped:
                return said
            self.runs.rest(pause)
        return self._run_once(step)[0]

    def _run_once(self, step: Gate) -> tuple[Said | None, str]:
        """Run a step; return its outcome, None if it passed, and the words by which a gate tells that a port is taken."""
        begun, limits = time.monotonic(), self.policy.limits
        ours = {"TMPDIR": self.scratch, "AGENTCTL_COMMIT": self.commit, "AGENTCTL_SLOT": self.place.name}
        env = environ.given(step.pass_env) | ours | step.env
        ended = self.runs.run(
            Job(
                argv=("/bin/sh", "-c", step.run),
                cwd=self.place.path,
                log=self.log,
                mark=self.hub.mark + "gate",
                env=env,
                stdin=None,
                timeout=step.timeout,
                memory=limits.memory,
                output=limits.output,
                processes=limits.processes,
                file_size=limits.file_size,
            )
        )
        self.took[step.name] = time.monotonic() - begun
        said = _said(step.name, ended, step.timeout)
        if not said:
            return None, ""
        output = environ.tail(self.log, TAIL)
        section = "slot" if step.name == SETUP else "gates"
        why = said.why + environ.missed(env, output, f"{section}.pass_env")
        # A set-up is judged by that of trunk in any case, and what was ended by a limit is no witness.
        doubted = step.name != SETUP and said.verdict is Verdict.FAILED and ended is not None and ended.reason == "exited"
        words = taken_port.said(output) if doubted else ""
        if words:
            why += f"; {words}: something else here has that port, and $AGENTCTL_SLOT would tell gates apart"
            said = replace(said, verdict=Verdict.INDETERMINATE)
        return replace(said, step=step.name, log=output, why=why), words

    def _setup(self) -> Said | None:
        """Run the slot's setup; return its outcome if it did not pass, else None."""
        slot = self.policy.slot
        said = self._run(Gate(SETUP, slot.setup, self.policy.gates[0].timeout, {}, pass_env=slot.pass_env))
        if not said:
            worktrees.keep_template(self.place)
            _setup_done(self.policy, self.place)
        return said

    def _at_base(self, step: Callable[[], Said | None]) -> Said | None:
        """Check out `base`, run the step there, and return what it says."""
        with self.runs.gits.within(self.policy.gates[0].timeout):
            check_out(self.place, self.policy, self.base or self.commit)
        return step()


def _lay_out(place: Worktree, policy: Policy, runs: GateRun, commit: str, base: str | None) -> Said | None:
    """Check out `commit`; return a failed verdict if its files cannot be laid out but those of `base` can, else None.

    Files cannot be laid out if the file system does not accept a name, if Git does not write a link, or if a filter
    waits for content that never comes. The time limit of a checkout is that of the first gate. Raises the errors that
    are the machine's fault.
    """
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
    """Return the outcome of a step that did not pass, with a verdict that says whose fault it is.

    It is the fault of what was tested (failed) if the step passes `there`, in the tree of `base`; otherwise it is the
    machine's fault (indeterminate). If the run is stopped meanwhile, it is aborted.
    """
    if base:
        also = there()
        if not also:
            return replace(said, verdict=Verdict.FAILED, why=f"{said.why}, and it passes without the changes, at {base[:12]}")
        if also.verdict is Verdict.ABORTED:
            return also
    return replace(said, verdict=Verdict.INDETERMINATE)


def _said(name: str, ended: JobEnded | None, timeout: float) -> Said | None:
    """Return the outcome of a step that did not pass; None if it passed."""
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
    return files.digest(place.look(), policy.slot.setup_on, policy.slot.setup)


def _setup_due(policy: Policy, place: Worktree) -> bool:
    """Tell whether the setup has to run.

    If the policy keeps no files between runs, what a setup made is gone after each run, so the setup is always due.
    """
    if not policy.slot.setup:
        return False
    done = folders.content(place.own(worktrees.SETUP))
    return done is None or not policy.slot.keep or done.decode(errors="replace") != _setup_state(policy, place)


def _setup_done(policy: Policy, place: Worktree) -> None:
    """Note that the setup has run, unless the next check-out takes away what it has made."""
    folders.remove(place.own(worktrees.SETUP))
    if not files.other_kinds(place.look()):
        folders.put(place.own(worktrees.SETUP), _setup_state(policy, place))


def _prune(folder: str) -> None:
    logs = sorted(os.listdir(folder))
    for name in logs[: max(0, len(logs) - LOGS_KEPT)]:
        with contextlib.suppress(OSError):
            os.unlink(os.path.join(folder, name))
