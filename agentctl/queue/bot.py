"""The merge-queue bot. One tick: observe, plan, perform, record.

The order in which things become durable: objects; verdicts; the state that says a
landing is under way; trunk; the state that says it landed. A bot that starts anew
reads the state and finishes what it finds.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace

from agentctl.core import planner, refnames
from agentctl.core.ledger import Landing, Staged, State
from agentctl.core.lifecycle import Event
from agentctl.core.model import Cancel, Land, Plan, Probe, Reject, Result, Start, Verdict, View
from agentctl.core.policy import Policy, fingerprint
from agentctl.engine.locks import Held
from agentctl.errors import Contended
from agentctl.git import refs
from agentctl.git.hub import Hub
from agentctl.queue import conflicts, doubt, gate, inbox, landing, lanes, layout, pause, recovery, upkeep, verdicts
from agentctl.queue.border import Border
from agentctl.queue.conviction import convict
from agentctl.queue.faults import Fault
from agentctl.queue.ledger import Ledger
from agentctl.queue.patience import BASELINE, Patience
from agentctl.queue.pause import Pause
from agentctl.queue.policyfile import read_policy, same_policy
from agentctl.queue.stage import Stager
from agentctl.queue.turn import News, Turn
from agentctl.queue.verdicts import Judgement

STUBBORN = 20
"""Contended turns in a row, after which a ref may be locked by a process that died."""


@dataclass
class _Run:
    staged: Staged
    future: Future[Judgement]
    runs: gate.Runs


class Bot:
    """The one bot of a hub: its constructor takes the proof that the bot's lock is held.

    Raises Refused if trunk is checked out with uncommitted changes.
    """

    def __init__(self, hub: Hub, held: Held, trunk: str, tell: Callable[[News], None] = lambda news: None,
                 slots: int | None = None, batch: int | None = None) -> None:
        self.hub, self.trunk, self._tell, self._slots, self._batch = hub, trunk, tell, slots, batch
        self.wake = threading.Event()
        self.judged: list[tuple[Probe, Judgement]] = []
        self._runs: dict[int, _Run] = {}
        self._fresh: list[tuple[Staged, Judgement]] = []
        self.paused: Pause | None = None
        self._kept: dict[int, Result] = {}
        """Passes of a paused queue, by number of their probes."""
        self._lanes = lanes.Memory()
        self._assigned = ""
        """The gate by whose paths the queued changes are in lanes."""
        self._clashes: set[tuple[str, str]] = set()
        self._patience = Patience()
        self._contended = 0
        self._held = held
        self._policy_at = ""
        recovery.clean(hub, trunk, held)
        hub.objects.store.lasting = True
        self._upkeep = upkeep.Upkeep(hub, held)
        self._border = Border(hub)
        self._blame = doubt.Blame(hub, self._border)
        self._read()
        landing.complete_checkouts(hub, trunk, self.state.landing)
        landing.refuse_dirty(hub, trunk)
        self._policy(hub.trunk_tip(trunk))
        self._pool = ThreadPoolExecutor(max_workers=self.policy.queue.slots + 1, thread_name_prefix="gate")
        self._restart(died=True)

    # observe

    def _read(self) -> None:
        self._ledger = Ledger.read(self.hub)
        self.state: State = self._ledger.state()

    def _policy(self, tip: str) -> None:
        if tip == self._policy_at:
            return
        policy = read_policy(self.hub, tip)
        queue = replace(policy.queue, slots=self._slots or policy.queue.slots,
                        batch=self._batch or policy.queue.batch)
        self.policy: Policy = replace(policy, queue=queue)
        self._gate = fingerprint(policy)
        self._limits = planner.Limits(batch=queue.batch, rejection=queue.rejection)
        if not self._policy_at or self._stager.strategy != policy.strategy:
            self._stager = Stager(self.hub, policy.strategy)
        self._policy_at = tip

    def _turn(self, now: float) -> Turn:
        return Turn(self.hub, self._ledger, self.state, now, self._tell)

    def _commit(self, turn: Turn) -> None:
        turn.commit()
        self._ledger, self.state = turn.ledger, turn.state

    def _restart(self, died: bool) -> None:
        turn = self._turn(time.time())
        doubt.forget(turn, died)
        self._commit(turn)

    @property
    def idle(self) -> bool:
        """Nothing is queued, running or waiting to be admitted."""
        return not (self._runs or self._fresh or self.state.queue or self.state.landing
                    or inbox.waits(self.hub))

    @property
    def halted(self) -> bool:
        """Paused, with nothing left to do until somebody resumes or submits."""
        return bool(self.paused and not (self._runs or self._fresh or self._contended or self.wake.is_set())
                    and not inbox.waits(self.hub))

    # the tick

    def tick(self, now: float | None = None) -> None:
        """Take one turn. Raises Infrastructure if trunk itself is red or cannot be judged,
        PolicyError if trunk's policy is invalid; never for what a change did."""
        now = time.time() if now is None else now
        self.wake.clear()
        with self.hub.objects.store.together():
            self._take_turn(now)
        self._launch()
        self._upkeep.turn(not (self._runs or self.state.queue))

    def _take_turn(self, now: float) -> None:
        seen = refs.names(self.hub.git_dir, [refnames.INBOX, refnames.STATE, refnames.PAUSE])
        if seen.oids.get(refnames.STATE) != self._ledger.tip or refnames.STATE in seen.odd:
            self._read()
        turn = self._turn(now)
        try:
            self._heed(turn, pause.seen(self.hub, seen))
            self._follow_trunk(turn)
            self._policy(turn.state.trunk)
            if self._assigned != self._gate:
                lanes.assign(turn, self.policy)
            self._border.take(turn, self.policy, seen)
            turn.fall_together()
            self._collect(turn)
            if self._trunk_is_green(turn):
                self._work(turn)
            self._commit(turn)
            self._assigned = self._gate
            self._fresh.clear()
            self._contended = 0
            if self._border.done():
                self.wake.set()
        except (Contended, Fault) as error:
            self._void(error)

    def _void(self, error: Contended | Fault) -> None:
        self._contended += 1
        self._border.moved(str(error.values.get("ref", "")))
        if self._contended % STUBBORN == 0:
            recovery.break_old(self.hub, self._held)
        self._read()
        self._stager.forget()
        recovery.restage(self.hub, self.state.probes, self._held)
        recorded = {staged.probe.number for staged in self.state.probes}
        self._fresh = [(s, j) for s, j in self._fresh if s.probe.number in recorded]
        if isinstance(error, Fault):
            self.wake.set()
            turn = self._turn(time.time())
            self._blame.hear(turn, error)
            self._commit(turn)

    def _heed(self, turn: Turn, paused: Pause | None) -> None:
        if paused != self.paused:
            said = str(paused) if paused else "resumed"
            turn.draft.say(said)
            turn.tell("paused" if paused else "resumed", f"the queue is {said}" + (
                f"; {paused.effect}" if paused else ""))
        self.paused = paused

    @property
    def _stopped(self) -> bool:
        """Nothing may land."""
        return bool(self.paused and self.paused.below is None)

    def _let_through(self, found: list[Result]) -> tuple[Result, ...]:
        """What the planner is told. It lands what passes, so a pass is kept from it while the
        queue is paused: to the planner the probe runs on, in a slot of its own."""
        self._kept |= {r.probe.number: r for r in found if r.verdict == Verdict.PASSED}
        rest = tuple(r for r in found if r.verdict != Verdict.PASSED)
        if self._stopped:
            return rest
        kept, self._kept = tuple(self._kept.values()), {}
        return kept + rest

    def _follow_trunk(self, turn: Turn) -> None:
        """Complete, or give up, a landing that was under way; notice who else moved trunk."""
        tip, under_way = self.hub.trunk_tip(self.trunk), turn.state.landing
        if under_way and tip == under_way.old:
            landing.move(self.hub, self.trunk, under_way)
            tip = under_way.staged.commit
        if under_way and self.hub.descends(tip, under_way.staged.commit):
            self._landed(turn, under_way)
        elif under_way:
            turn.draft.set(landing=None)
            turn.draft.say("trunk was moved by somebody else; what was about to land is tested anew")
        old = turn.state.trunk
        if tip == old:
            return
        turn.draft.set(trunk=tip)
        turn.draft.say(f"adopt {tip}: trunk was moved by somebody else" if old else f"begin at {tip}")
        if old:
            turn.tell("adopted", f"trunk was moved to {tip[:12]} by somebody else", old=old, new=tip)

    def _collect(self, turn: Turn) -> None:
        """Take in the gates that have ended; what they found out is stored first of all."""
        for number, run in [(n, r) for n, r in self._runs.items() if r.future.done()]:
            del self._runs[number]
            judgement = self._in_force(run.future.result())
            self._fresh.append((run.staged, judgement))
            self.judged.append((run.staged.probe, judgement))
            turn.tell("probed", probe=run.staged.probe, judgement=judgement)
            self._patience.hear(run.staged.probe, judgement, self.policy.queue.retries)
        verdicts.store(self.hub, [judgement for _, judgement in self._fresh], turn.now)
        over = {staged.probe.number for staged, _ in self._fresh}
        for staged, judgement in self._fresh:
            self._over(turn, staged, judgement)
        turn.draft.set(probes=tuple(s for s in turn.state.probes if s.probe.number not in over))

    def _in_force(self, judgement: Judgement) -> Judgement:
        """A landing may change the gate while longer chains that hold it are tested."""
        if judgement.gate == self._gate:
            return judgement
        return replace(judgement, verdict=Verdict.ABORTED, why="the gate was changed meanwhile")

    def _over(self, turn: Turn, staged: Staged, judgement: Judgement) -> None:
        number = staged.probe.number
        turn.draft.say(f"probe {number} {judgement.verdict}" + (f": {judgement.why}" if judgement.why else ""))
        if any(s.probe.number == number for s in turn.before.probes) and number != BASELINE:
            turn.refs.delete(f"{refnames.STAGE}{number}", staged.commit)
        doubt.clear(turn, staged, judgement.verdict)
        if judgement.verdict == Verdict.FAILED:
            turn.draft.set(failed=(*turn.state.failed, staged))

    def _trunk_is_green(self, turn: Turn) -> bool:
        """True if trunk's own tree is known to pass; else its test is under way."""
        trunk = turn.state.trunk
        if verdicts.passed(self.hub, self.policy, trunk, turn.now):
            return True
        tree = self.hub.objects.commit(trunk).tree
        if not any(s.probe.number == BASELINE for s in turn.state.probes):
            probe = Probe(BASELINE, trunk, (), 0, "is trunk itself green?")
            turn.draft.set(probes=(*turn.state.probes, Staged(probe, trunk, tree, (), self._gate, turn.now)))
        return False

    def _work(self, turn: Turn) -> None:
        """Plan and perform until nothing more can be done without waiting."""
        found = [Result(s.probe, j.verdict, j.seconds, s.commit) for s, j in self._fresh if s.probe.number != BASELINE]
        landed: tuple[str, ...] = ()
        while True:
            before = len(turn.state.queue), len(self._clashes)
            plan = self._plan(turn, found, landed)
            turn.draft.set(memory=plan.memory)
            found, landed = [], ()
            for action in plan.actions:
                match action:
                    case Reject(certificate):
                        convict(turn, certificate, self._gate)
                    case Cancel(number, reason):
                        found += self._cancel(turn, number, reason)
                    case Land(probe, reason) if not self._stopped:
                        landed += self._land(turn, probe, reason)
                    case Start(probe):
                        found += self._stage(turn, probe)
            turn.fall_together()
            if landed and not same_policy(self.hub, self._policy_at, turn.state.trunk):
                self.wake.set()
                return
            if not (found or landed) and before == (len(turn.state.queue), len(self._clashes)):
                return

    def _plan(self, turn: Turn, found: list[Result], landed: tuple[str, ...]) -> Plan:
        state, held = turn.state, self.paused or Pause()
        queued, wanted = state.changes, state.queue.keys()
        if held.below is not None:
            queued = tuple(c for c in queued if not held.holds(c.priority))
            wanted = {c.key for c in queued}
        queued = doubt.apart(state.struck, queued)
        follow = lanes.Following(turn, self.policy, self._stager, wanted, self._lanes)
        finished = self._let_through(follow.results(found))
        return planner.plan(View(
            trunk=state.trunk, queued=queued, memory=state.memory,
            running=(*follow.running([s for s in state.probes if s.probe.number != BASELINE]),
                     *(r.probe for r in self._kept.values())),
            finished=finished, clashes=frozenset(self._clashes), landed=landed,
            next_probe=state.next_probe, slots=self.policy.queue.slots + len(self._kept),
        ), self._limits, turn.now)

    # perform

    def _stage(self, turn: Turn, probe: Probe) -> list[Result]:
        """Build what a probe is to test. A result if its tree is known already."""
        built = self._stager.chain(probe.base, turn.members(probe.chain))
        if built.conflicts or len(built.landing) != len(probe.chain):
            self._clashes |= conflicts.settle(turn, self._stager, probe, built)
            return []
        staged = Staged(probe, built.commit, built.tree, built.landing, self._gate, turn.now)
        turn.draft.set(next_probe=max(turn.state.next_probe, probe.number + 1))
        turn.draft.say(f"probe {probe.number} of {', '.join(probe.chain)}: {probe.reason}")
        known = None if probe.again else verdicts.passed(self.hub, self.policy, built.commit, turn.now)
        if known is None:
            turn.draft.set(probes=(*turn.state.probes, staged))
            turn.refs.create(f"{refnames.STAGE}{probe.number}", built.commit)
            return []
        self._fresh.append((staged, known))
        self._over(turn, staged, known)
        turn.tell("known", probe=probe, judgement=known)
        return [Result(probe, known.verdict, 0.0, built.commit)]

    def _cancel(self, turn: Turn, number: int, reason: str) -> list[Result]:
        turn.draft.say(f"cancel probe {number}: {reason}")
        if number in self._runs:
            self._runs[number].runs.stop()
        kept = self._kept.pop(number, None)
        return [replace(kept, verdict=Verdict.ABORTED)] if kept else []

    def _land(self, turn: Turn, probe: Probe, reason: str) -> tuple[str, ...]:
        """Land what of a probe is not on trunk yet: all of it, or, where trunk has come part
        of the way by a shorter probe, the rest.

        The commit is built once more, not remembered: that survives a restart, and gives the
        tested one or none.
        """
        built = self._stager.chain(probe.base, turn.members(probe.chain))
        rest = landing.rest(probe, built, turn.state.trunk)
        judgement = verdicts.lookup(self.hub, self._gate, built.tree, Verdict.PASSED)
        if not rest or not judgement or any(key not in turn.state.queue for key, _ in rest):
            turn.draft.set(memory={})
            turn.draft.say(f"probe {probe.number} cannot land any more; planning begins anew")
            return ()
        staged = Staged(probe, built.commit, built.tree, rest, self._gate, turn.now)
        under_way = Landing(turn.state.trunk, staged, {"tree": judgement.tree, "gate": judgement.gate,
                                                       "at": judgement.at, "commit": judgement.commit})
        landing.check(self.hub, self.policy.strategy, under_way, [turn.state.queue[key] for key, _ in rest])
        turn.draft.set(landing=under_way)
        turn.draft.say(f"land {len(rest)} changes as {staged.commit}: {reason}")
        self._commit(turn)
        landing.move(self.hub, self.trunk, under_way)
        self._landed(turn, under_way)
        return tuple(key for key, _ in rest)

    def _landed(self, turn: Turn, under_way: Landing) -> None:
        new = under_way.staged.commit
        behind = landing.bring_along(self.hub, self.trunk, under_way.old, new)
        for key, commit in under_way.staged.landing:
            if key in turn.state.queue:
                record = turn.draft.end(key, Event.LAND, turn.now, commit=commit, evidence={
                    "probe": under_way.staged.probe.number, "tip": new, "old": under_way.old, **under_way.verdict})
                turn.tell("landed", f"{key} as {commit[:12]}", record=record)
        turn.draft.set(landing=None, trunk=new)
        for path in behind:
            turn.tell("behind", f"local changes keep the checkout {path} from following trunk", path=path)

    # record

    def _launch(self) -> None:
        """Start the gates of the probes that are recorded and do not run yet."""
        under_way = self._runs.keys() | {staged.probe.number for staged, _ in self._fresh}
        for staged in self.state.probes:
            number = staged.probe.number
            if number in under_way:
                continue
            runs = gate.Runs()
            known = verdicts.passed_parts(self.hub, self.policy, staged.tree, staged.probe.again)
            future = self._pool.submit(layout.judge, self.hub, self.policy, runs, staged.commit, known,
                                       staged.probe.base)
            future.add_done_callback(lambda _: self.wake.set())
            self._runs[number] = _Run(staged, future, runs)
            self._tell(News("started", staged.probe.reason, {"probe": staged.probe}))

    def close(self) -> None:
        """Stop the gates that run. The next bot tests anew what they were testing."""
        for run in self._runs.values():
            run.runs.stop()
        self._pool.shutdown(wait=True, cancel_futures=True)
        gate.remove_slots(self.hub)
        with contextlib.suppress(Contended):
            self._read()
            self._restart(died=False)
        self._border.close()
        self.hub.objects.close()
        self._upkeep.close()
