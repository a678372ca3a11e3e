"""The main loop: one process that runs the bot and a fleet, turn by turn."""

from __future__ import annotations

import contextlib
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field

from agentctl import signals
from agentctl.bot.bot import Bot
from agentctl.core.notices import Told, TrunkRed
from agentctl.core.policy.policy import Policy
from agentctl.core.queue.spending import Spent
from agentctl.core.tasks import reviewing
from agentctl.core.tasks.task import FINISHED, Status
from agentctl.engine import memory, open_files
from agentctl.errors import Infrastructure, PolicyError
from agentctl.fleet import session
from agentctl.fleet.crew import Crew
from agentctl.fleet.session import Sessions
from agentctl.fleet.supervisor import Fleet
from agentctl.gate import pool
from agentctl.gate.pool import Gates
from agentctl.git.repository import Hub
from agentctl.harness import full_disk
from agentctl.harness.held_back import HeldBack
from agentctl.harness.lacking import Lacking
from agentctl.harness.seat import Seat
from agentctl.harness.summary import Summary
from agentctl.harness.tally import Tally
from agentctl.hub.hindrance import Hindrance

POLL = 0.1
"""Seconds between two turns when nothing reports."""
PATIENCE, STOPPING = 12 * 3600.0, 10.0
"""Seconds for which a session that has ended waits for a hub that is away, ordinarily and when the run is to end."""


@dataclass(frozen=True)
class RunPlan:
    """What is to be done, by whom, and how."""

    crew: Crew
    policy: Policy
    only: frozenset[str] | None
    """The tasks to work on; None means all."""
    slots: int | None = None
    batch: int | None = None
    keep: bool = False
    """True if the agents' worktrees are to stay."""
    bot: bool = True
    """False if the queue is left to a bot elsewhere."""
    gates: Gates = pool.HERE
    """Where gates run."""
    sessions: Sessions = session.HERE
    """Where sessions run."""
    by_trunk: Callable[[str], tuple[Policy, Crew]] | None = None
    """Returns policy and crew by the policy of a commit of trunk; None if they stay as they are."""


@dataclass(frozen=True)
class RunOutcome:
    summary: Summary
    tally: Tally
    parked: dict[str, str]
    """Why each parked task is parked, by task."""
    blocked: dict[str, str]
    """What each blocked task waits for, by task."""


Watch = Callable[[Fleet, Seat], AbstractContextManager[Callable[[], None]]]
"""A context that is open from the first turn to the last; the function that it gives is called after each turn."""


def _patience() -> float:
    """Return for how many seconds a session waits for a hub that is away before what it has to say is lost to the hub.

    Its work stays in the worktree then, and the next start makes it safe. The loop itself does not wait.
    """
    if threading.current_thread() is threading.main_thread():
        return 0.0
    return STOPPING if signals.heard() else PATIENCE


@dataclass
class _SoFar:
    """What there was of a run before a full disk made it begin anew."""

    begun: float = field(default_factory=time.time)
    tally: Tally = field(default_factory=Tally)
    spent: Spent = Spent()
    archived: Counter[Status] = field(default_factory=Counter)
    only: frozenset[str] | None = None
    """The tasks that the run works on: those of its list, and what was taken in; None at the beginning, or if it has no list."""
    reviews: int = 0
    """The reviews in the archive, which `archived` is without."""

    def add(self, fleet: Fleet) -> None:
        self.spent, self.only = fleet.spent, None if fleet.only is None else frozenset(fleet.only)
        self.archived += fleet.archive.finished
        self.reviews += fleet.archive.reviews


def run(hub: Hub, trunk: str, job: RunPlan, tell: Callable[[Told], None], watch: Watch) -> RunOutcome:
    """Run to the end; whatever ends the run, nothing is left running, and work is safe.

    Raises Contended if another bot of this repository runs, and KeyboardInterrupt if agentctl is asked to stop. Raises what keeps
    everything from going on: Refused for a trunk that somebody else moved, Infrastructure for one that is red. If the disk is
    full, all that runs is ended, and begins anew when there is room.
    """
    so_far = _SoFar()
    open_files.allow_many()

    def heard(event: Told) -> None:
        so_far.tally.count(event)
        tell(event)

    while True:
        try:
            return _go_on(hub, trunk, job, heard, watch, so_far)
        except (OSError, Infrastructure) as error:
            if not full_disk.explains(hub, error):
                raise
            full_disk.wait(hub, job.policy.agents.headroom, error, heard)


def _go_on(hub: Hub, trunk: str, job: RunPlan, heard: Callable[[Told], None], watch: Watch, so_far: _SoFar) -> RunOutcome:
    giving_back = memory.GivingBack()

    with signals.held(), contextlib.ExitStack() as stack:
        wake = threading.Event()
        seat = Seat(hub, lambda held: Bot(hub, held, trunk, heard, job.slots, job.batch, wake, job.gates), heard, job.bot)
        stack.callback(seat.leave)
        fleet = Fleet(
            hub,
            trunk,
            job.policy,
            job.crew,
            job.only if so_far.only is None else so_far.only,
            heard,
            wake,
            job.sessions,
            job.by_trunk,
            so_far.spent,
        )
        stack.callback(so_far.add, fleet)
        if not job.keep:
            stack.callback(fleet.close)
        stack.callback(fleet.stop)
        if hub.station:
            hub.station.patience = _patience
        hindrance, lacking, held_back = Hindrance(hub), Lacking(heard), HeldBack(heard)
        stack.callback(hindrance.close)
        show = stack.enter_context(watch(fleet, seat))
        while True:
            try:
                seat.take_turn()
                fleet.unusable = ""
            except PolicyError as error:
                if not seat.bot:
                    raise
                _hold(fleet, error, heard)
            fleet.trunk_red = bool((bot := seat.bot) and bot.green.red)
            seat.attempt("tasks", fleet.take_turn)
            red = "no task begins until trunk is green" if fleet.held_by_trunk else ""
            red = fleet.unusable or red
            lacks = lacking.look(job.sessions.lacking, job.gates.lacking if bot else "")
            waits = held_back.look(list(hub.station.waiting.values()) if hub.station else [])
            unpublished, held = bot.publisher.trouble if bot else "", fleet.pace.held(time.time())
            hindrance.tell(*seat.told, *waits, red, held, fleet.lacks_agent, lacks, unpublished)
            show()
            if _over(fleet, bot):
                break
            if bot and bot.blocked and bot.halted and not fleet.runs and not (bot.green.was and fleet.held_by_trunk):
                raise bot.blocked
            giving_back.turn()
            wake.wait(POLL)
            signals.check()
    return RunOutcome(_summed_up(fleet, seat, so_far, unpublished), so_far.tally, fleet.parked, fleet.blocked)


def _hold(fleet: Fleet, error: PolicyError, tell: Callable[[Told], None]) -> None:
    """Let no session begin, because the policy that came to trunk meanwhile cannot be used; what runs goes on."""
    why = f"trunk's policy cannot be used, and nothing begins or lands until it is mended: {error.message}"
    if why != fleet.unusable:
        tell(TrunkRed(why))
    fleet.unusable = why


def _over(fleet: Fleet, bot: Bot | None) -> bool:
    """Tell whether neither fleet nor bot has anything left to do, or only what a person has to make possible first."""
    if not fleet.done or not bot or bot.idle:
        return fleet.done
    return bot.halted and (bool(fleet.over_budget) or fleet.reviews.hold_up(bot.state.queue, fleet.statuses))


def _summed_up(fleet: Fleet, seat: Seat, so_far: _SoFar, unpublished: str) -> Summary:
    now, tally = time.time(), so_far.tally
    reviews = {name for name in fleet.mine if (task := fleet.tasks.get(name)) and reviewing.is_review(task)}
    paused, ended = fleet.pace.paused(now), so_far.archived + Counter(s for name, s in fleet.mine.items() if name not in reviews)
    return Summary(
        tasks=sum(ended.values()),
        landed=ended[Status.LANDED],
        done=ended[Status.DONE],
        parked=len(fleet.parked.keys() - reviews),
        blocked=len(fleet.blocked),
        reviews=so_far.reviews + len(reviews),
        reviewed=so_far.reviews + sum(fleet.mine[name] in FINISHED for name in reviews),
        unreviewed=reviewing.told(fleet.reviews.parked(fleet.statuses)),
        changes=tally.landed,
        rejected=tally.rejected,
        conflicts=tally.conflicts,
        probes=tally.probes,
        known=tally.known,
        seconds=now - so_far.begun,
        paused=paused.seconds,
        pauses=paused.times,
        why_paused=paused.why,
        sessions=tally.sessions,
        spent=fleet.spent,
        over_budget=fleet.over_budget,
        unpublished=unpublished,
        elsewhere=not seat.had,
    )
