"""The merge-queue bot, which works in turns: observe, plan, perform, record.

Things become durable in this order: objects; verdicts; the state that says a landing is under way; trunk; the state
that says it landed. A bot that starts anew reads the state and finishes what it finds.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import chain

from agentctl.bot import bot_deaths, conflicts, landing, lanes, recheck, recovery
from agentctl.bot.border import Border
from agentctl.bot.gate_retries import Retries
from agentctl.bot.green_trunk import Green
from agentctl.bot.held_back import HeldBack
from agentctl.bot.publish import Publisher
from agentctl.bot.reach import Reach
from agentctl.bot.rejection import convict
from agentctl.bot.stage import Stager
from agentctl.bot.telling import Telling
from agentctl.bot.trunk import Trunk
from agentctl.bot.turn import Turn
from agentctl.bot.upstream import Upstream
from agentctl.bot.view import viewed
from agentctl.core import planner, refnames
from agentctl.core.notices import Told
from agentctl.core.policy.policy import Policy, fingerprint
from agentctl.core.policy.schema import SLOTS
from agentctl.core.queue import events
from agentctl.core.queue.events import Staged
from agentctl.core.queue.model import BASELINE, Cancel, Land, Probe, Reject, Result, Start, Verdict
from agentctl.core.queue.state import State
from agentctl.core.text.json_form import replace
from agentctl.engine.local import LOCAL
from agentctl.engine.locks import Held
from agentctl.engine.upkeep import Upkeep
from agentctl.errors import AgentctlError, Contended, Fault, PolicyError
from agentctl.gate import slots
from agentctl.gate.pool import HERE, Gates, Pool
from agentctl.git import checkouts
from agentctl.git.ref_files import Names
from agentctl.git.remote import Away, Declined
from agentctl.git.repository import Hub
from agentctl.hub import inbox, lease, marks, pause, verdicts
from agentctl.hub.foreign import Move
from agentctl.hub.ledger import Ledger
from agentctl.hub.pause import Pause
from agentctl.hub.policy_file import read_policy, same_policy
from agentctl.hub.verdicts import Judgement


class Bot:
    """The one bot of a hub; its constructor takes the proof that the bot's lock is held.

    The constructor raises Refused if trunk is checked out with uncommitted changes.
    """

    def __init__(
        self,
        hub: Hub,
        held: Held,
        trunk: str,
        tell: Callable[[Told], None] = lambda event: None,
        slots: int | None = None,
        batch: int | None = None,
        wake: threading.Event | None = None,
        gates: Gates = HERE,
    ) -> None:
        self.hub, self.trunk, self._telling, self._slots, self._batch = hub, trunk, Telling(hub, tell), slots, batch
        self.wake = wake or threading.Event()
        self.fresh: list[tuple[Staged, Judgement]] = []
        self._held_back = HeldBack(hub)
        self._follower = lanes.Follower(hub)
        self._assigned = ""
        """The gate by whose paths the queued changes were last put into lanes."""
        self._retries = Retries()
        self.green = Green(hub)
        self.contended, self._landed = 0, False
        self.reach = Reach(hub, tell)
        self._held = held
        self._gates, self._room, self._policy_at = gates, gates.room, ""
        self.stager = Stager(hub, "squash")
        recovery.clean(hub, trunk, held, LOCAL)
        marks.begin(hub, held)
        self._put_back = marks.make_sound(hub, held)
        hub.objects.store.lasting = True
        self.upkeep = Upkeep(hub, LOCAL)
        self._border = Border(hub)
        self._blame = bot_deaths.Blame(hub, self._border)
        self._read()
        self.following = Trunk(hub, trunk, self.state)
        self._policy(self.following.base)
        threads = ThreadPoolExecutor(max_workers=SLOTS + 1, thread_name_prefix="gate")  # Each is made when it is needed.
        self._upstream = Upstream(hub, trunk)
        self.publisher = Publisher(hub, tell, self.wake.set)
        self.runs = Pool(hub, threads, self.wake, gates)
        self.restart(died=held.after_death)

    # observe

    def _read(self) -> None:
        self.ledger = Ledger.read(self.hub)
        self.state: State = self.ledger.state()

    def _policy(self, tip: str) -> None:
        before, self._room = self._room, self._gates.room
        if tip == self._policy_at and self._room == before:
            return
        policy = read_policy(self.hub, tip)
        slots = self._slots or (policy.queue.slots if self._room is None else max(1, min(self._room, SLOTS)))
        queue = replace(policy.queue, slots=slots, batch=self._batch or policy.queue.batch)
        self.policy: Policy = replace(policy, queue=queue)
        self.gate = fingerprint(policy)
        self._limits = planner.Settings(batch=queue.batch, rejection=queue.rejection)
        if self.stager.strategy != policy.strategy:
            self.stager = Stager(self.hub, policy.strategy)
        if self.hub.station and self.hub.station.also != policy.upstream:
            # The next turn looks at it.
            self.hub.station.also = policy.upstream
            self.wake.set()
        self._policy_at = tip

    def begin_turn(self, now: float) -> Turn:
        return Turn(self.hub, self.ledger, self.state, now, self._telling)

    def end_turn(self, turn: Turn) -> None:
        with self.hub.refs.together():
            turn.commit()
        self.ledger, self.state = turn.ledger, turn.state

    def restart(self, died: bool) -> None:
        turn = self.begin_turn(time.time())
        bot_deaths.forget(turn, died)
        self.end_turn(turn)

    @property
    def idle(self) -> bool:
        """True if nothing is queued, running, landing or waiting to be admitted, and nothing asks for another turn."""
        again = self.contended or self.wake.is_set()
        busy = again or self.runs or self.fresh or self.state.queue or self.state.landing or inbox.waits(self.hub)
        return not busy and not self.publisher.waits(self.policy, self.state.trunk)

    @property
    def moved(self) -> Move | None:
        """The move of trunk by somebody else that waits for a person, or None."""
        return self.following.moved

    @property
    def blocked(self) -> AgentctlError | None:
        """The error that keeps the bot from going on until a person acts; whoever does not want to wait raises it."""
        return self.moved.refusal if self.moved else self.green.refusal

    @property
    def paused(self) -> Pause | None:
        return self._held_back.paused

    @property
    def halted(self) -> bool:
        """True if the bot is paused or blocked, or holds all back, and has nothing to do until somebody acts or submits."""
        return bool(
            (self.paused or self.blocked or self._held_back.all_of(self.state))
            and not (self.runs or self.fresh or self.contended or self.wake.is_set())
            and not inbox.waits(self.hub)
        )

    # a turn

    def take_turn(self, now: float | None = None) -> None:
        """Take one turn.

        Raises Infrastructure if the gate cannot be run or gives no verdict, and PolicyError as long as trunk's policy is
        invalid: what runs goes on. What a change did never makes it raise.
        """
        now = time.time() if now is None else now
        self.wake.clear()
        if self.reach.look():
            with self.hub.objects.store.together():
                self._decide(now)
            checkouts.follow(self.hub, self.trunk)
        if not self.contended and (hopeless := self.green.hopeless or self._retries.hopeless):
            raise hopeless
        self.launch()
        self.upkeep.turn()
        self.publisher.turn(self.policy, self.state.trunk)

    def _decide(self, now: float) -> None:
        seen = self.hub.refs.names([refnames.INBOX, refnames.PAUSE, *marks.OWN])
        self._landed = False
        try:
            lease.heed(self.hub)
            self._put_back += marks.guard(self.hub, seen.oids, self._held)
            if seen.oids.get(refnames.STATE) != self.ledger.tip:
                self._read()
            self._telling.catch_up(self.ledger.tip)
            turn = self.begin_turn(now)
            with self.hub.refs.together():
                lease.renew(self.hub)
                self._do(turn, seen)
            self._assigned = self.gate
            self.fresh.clear()
            self._put_back.clear()
            self.following.recorded(self.state)
            self.contended = 0
            self.reach.well(self._landed)
            if self._border.done():
                self.wake.set()
        except (Away, Declined, Contended, Fault) as error:
            self.reach.failed(error, self._landed)
            self._void(error)
        except PolicyError as error:
            self._void(error)
            raise

    def _do(self, turn: Turn, seen: Names) -> None:
        for odd in self._put_back:
            turn.happen(events.PutBack(odd.ref, odd.found, odd.own, odd.text))
        self._held_back.heed(turn, pause.seen(self.hub, seen))
        self.take_in(turn, seen)
        turn.fall_together()
        self.collect(turn)
        if not self._retries.hopeless:
            work = self._work if self._proven(turn, turn.state.trunk) else self._mend
            work(turn)
        self.end_turn(turn)

    def take_in(self, turn: Turn, seen: Names) -> None:
        """Follow trunk, and decide about what is new in the inbox."""
        if not (self._stopped or turn.state.landing):
            self._upstream.forward(self.policy)
        self.following.follow(turn, self.runs.runs)
        self._policy(turn.state.trunk)
        self._upstream.take_in(turn, self.policy)
        if self._assigned != self.gate:
            lanes.assign(turn, self.policy)
        self._border.take(turn, self.policy, seen)

    def _void(self, error: AgentctlError) -> None:
        """Prepare the next turn after a void one, of which nothing has happened."""
        self.contended += 1
        self._border.moved(str(error.values.get("ref", "")))
        self._read()
        self.stager.forget()
        self._follower = lanes.Follower(self.hub)
        recovery.restage(self.hub, self.state.probes, self._held)
        recorded = {staged.probe.number for staged in self.state.probes}
        self.fresh = [(s, j) for s, j in self.fresh if s.probe.number in recorded]
        if isinstance(error, Fault):
            self.wake.set()
            turn = self.begin_turn(time.time())
            self._blame.hear(turn, error)
            # If this cannot be written now, the fault will occur and be counted again.
            with contextlib.suppress(Contended, Away, Declined):
                self.end_turn(turn)

    @property
    def _stopped(self) -> bool:
        """True if nothing may land."""
        return bool(self.moved or self.reach.closed or self.paused and self.paused.below is None)

    def collect(self, turn: Turn) -> None:
        """Collect the results of gates that have ended; their verdicts are stored before anything else."""
        for staged, judgement in self.runs.ended():
            judgement = judgement.under(self.gate)
            self.fresh.append((staged, judgement))
            self._retries.hear(judgement, self.policy.queue.retries)
        verdicts.store(self.hub, [judgement for _, judgement in self.fresh], turn.now)
        for staged, judgement in self.fresh:
            self._over(turn, staged, judgement)

    def _over(self, turn: Turn, staged: Staged, judgement: Judgement, known: bool = False) -> None:
        number = staged.probe.number
        turn.happen(judgement.of(staged, known))
        if any(s.probe.number == number for s in turn.before.probes) and number != BASELINE:
            turn.refs.delete(f"{refnames.STAGE}{number}", staged.commit)
        if judgement.verdict == Verdict.FAILED and number == BASELINE:
            self.green.failed(turn, staged, self.policy)

    def _proven(self, turn: Turn, commit: str) -> bool:
        return self.green.proven(self.policy, commit, turn.now)

    def _mend(self, turn: Turn) -> None:
        """Test trunk, which is not known to pass; if it is red, test what may mend it, and land what does."""
        if not self.green.look(turn, self.policy) or self._stopped:
            return
        base = turn.state.trunk
        ended = (s.probe for s, j in self.fresh if j.verdict is Verdict.PASSED and s.probe.base == base and s.probe.chain)
        queued = bot_deaths.apart(turn.state.struck, self._held_back.thawed(turn, self.policy))
        tries = self.green.tries(turn, self.policy, queued, turn.state.clashes)
        known = (result.probe for probe in tries for result in self.stage(turn, probe))
        if any(self.land(turn, probe, "it mends trunk") for probe in chain(ended, known)):
            self.wake.set()
        else:
            self.green.tell(turn)

    def _work(self, turn: Turn) -> None:
        """Plan and perform until nothing more can be done without waiting."""
        for number in self.green.over(turn, self.policy):
            self.runs.stop(number)
        found = [
            Result(s.probe, self._as_evidence(turn, s, j), j.seconds, s.commit)
            for s, j in self.fresh
            if s.probe.number != BASELINE
        ]
        landed: tuple[str, ...] = ()
        while True:
            before = len(turn.state.queue), len(turn.state.clashes)
            thawed = self._held_back.thawed(turn, self.policy)
            view = viewed(turn, self.policy, thawed, self._follower, self.stager, found, landed, self._stopped)
            plan = planner.plan(view, self._limits, turn.now)
            turn.draft.remember(plan.memory)
            found, landed = [], ()
            for action in plan.actions:
                match action:
                    case Reject(certificate):
                        convict(turn, certificate, self.gate)
                    case Cancel(number, reason):
                        turn.happen(events.Cancelled(number, reason))
                        self.runs.stop(number)
                    case Land(probe, reason):
                        landed += self.land(turn, probe, reason)
                    case Start(probe):
                        found += self.stage(turn, probe)
            turn.fall_together()
            if landed and not same_policy(self.hub, self._policy_at, turn.state.trunk):
                self.wake.set()
                return
            if not (found or landed) and before == (len(turn.state.queue), len(turn.state.clashes)):
                return

    def _as_evidence(self, turn: Turn, staged: Staged, judgement: Judgement) -> Verdict:
        """Return the verdict, but aborted for a failure on a base not known to pass: that says nothing of a change."""
        failed = judgement.verdict is Verdict.FAILED
        return Verdict.ABORTED if failed and not self._proven(turn, staged.probe.base) else judgement.verdict

    # perform

    def stage(self, turn: Turn, probe: Probe) -> list[Result]:
        """Build what a probe is to test; return its result if its tree is known to pass already."""
        built = self.stager.chain(probe.base, turn.members(probe.chain))
        if built.conflicts or len(built.landing) != len(probe.chain):
            conflicts.settle(turn, self.stager, probe, built)
            return []
        staged = Staged(probe, built.commit, built.tree, built.landing, self.gate, turn.now)
        turn.happen(events.ProbeBegun(staged))
        known = None if probe.again else verdicts.passed(self.hub, self.policy, built.commit, turn.now)
        if known is None:
            turn.refs.create(f"{refnames.STAGE}{probe.number}", built.commit)
            return []
        self.fresh.append((staged, known))
        self._over(turn, staged, known, known=True)
        return [Result(probe, known.verdict, 0.0, built.commit)]

    def land(self, turn: Turn, probe: Probe, reason: str) -> tuple[str, ...]:
        """Land the changes of a probe that are not on trunk yet, and return their keys.

        The commit is built once more instead of remembered: this works after a restart too, and gives the tested commit or none.
        """
        under_way = landing.planned(turn, probe, self.stager.chain(probe.base, turn.members(probe.chain)), self.gate)
        if not under_way:
            turn.happen(events.Replanned(f"probe {probe.number} cannot land any more"))
            return ()
        rest = under_way.staged.landing
        if self._held_back.keeps(turn, self.policy, turn.state.trunk, rest):
            turn.happen(events.Replanned(f"probe {probe.number} holds what may not land"))
            return ()
        recheck.check(self.hub, self.policy.strategy, under_way, [turn.state.queue[key] for key, _ in rest])
        turn.happen(events.LandingBegun(under_way, reason))
        self.end_turn(turn)
        landing.move(self.hub, self.trunk, under_way)
        self._landed = True
        self.following.landed(turn, under_way)
        return tuple(key for key, _ in rest)

    def launch(self) -> None:
        """Start the gates of the probes that are recorded and do not run yet."""
        known = self.runs.runs.keys() | {staged.probe.number for staged, _ in self.fresh}
        for staged in (one for one in self.state.probes if one.probe.number not in known):
            self.runs.start(staged, self.policy, self._retries.doubts(staged.tree, self.policy.queue.retries))

    def close(self) -> None:
        """Stop the gates that run, for the next bot to test anew; nothing is written of probes that are another bot's."""
        self.runs.close()
        slots.leave(self.hub, self.policy)
        recovery.restage(self.hub, (), self._held)
        with contextlib.suppress(Contended, Away, Declined, lease.Lost):
            lease.heed(self.hub)
            self._read()
            self._telling.catch_up(self.ledger.tip)
            self.restart(died=False)
        self._border.close()
        self.publisher.close()
        self.hub.objects.close()
        self.upkeep.close()
