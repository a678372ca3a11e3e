"""The fleet: it gives tasks to agents and runs their sessions, each in a thread.

Like the bot it works in turns: observe tasks, claims and ledger; dispatch; perform.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

from agentctl.core import notices
from agentctl.core.notices import Told
from agentctl.core.policy import roles
from agentctl.core.policy.policy import Policy
from agentctl.core.queue.records import Landed
from agentctl.core.queue.spending import Spent, over
from agentctl.core.tasks import headroom, live_list
from agentctl.core.tasks.brakes import RunningSession
from agentctl.core.tasks.dispatch import Rules, dispatch, fate, hopeless, on_red_trunk, without_agent
from agentctl.core.tasks.failed_starts import FailedStarts, Step
from agentctl.core.tasks.live_list import HeldUp
from agentctl.core.tasks.overlap import Scene
from agentctl.core.tasks.scale import MOST
from agentctl.core.tasks.task import FINISHED, UNDER_WAY, Session, Status, Task, standings
from agentctl.core.text.json_form import replace
from agentctl.engine.local import LOCAL
from agentctl.errors import AgentctlError, Contended, Infrastructure, Malformed, NotFound, is_full
from agentctl.fleet import agents, conclusion, machine
from agentctl.fleet.archiving import Archiving
from agentctl.fleet.crew import Crew
from agentctl.fleet.headcount import Headcount
from agentctl.fleet.hot_files import HotFiles
from agentctl.fleet.outcomes import Outcomes
from agentctl.fleet.paces import Paces, Under
from agentctl.fleet.radar import Radar
from agentctl.fleet.reviews import Reviews
from agentctl.fleet.session import HERE, SessionRun, Sessions
from agentctl.fleet.takeover import end_claims, take_over
from agentctl.git.process import GitError
from agentctl.git.repository import Hub
from agentctl.hub import defects, foreign, presence, tasks
from agentctl.hub.ledger import Ledger
from agentctl.hub.policy_file import same_policy
from agentctl.hub.tasks import Survey

BUSY = 5.0
"""Seconds for which an agent gets no task after somebody else had it."""


class Fleet:
    def __init__(
        self,
        hub: Hub,
        trunk: str,
        policy: Policy,
        crew: Crew,
        only: frozenset[str] | None = None,
        tell: Callable[[Told], None] = lambda event: None,
        wake: threading.Event | None = None,
        sessions: Sessions = HERE,
        by_trunk: Callable[[str], tuple[Policy, Crew]] | None = None,
        spent: Spent = Spent(),
    ) -> None:
        self.hub, self.trunk, self.policy, self.crew, self.tell = hub, trunk, policy, crew, tell
        self.only = None if only is None else set(only)
        """The tasks that this fleet works on; None for all. It grows by what others ask for while it runs."""
        self.wake = wake or threading.Event()
        self._sessions, self._by_trunk, self._policy_tip = sessions, by_trunk, ""
        """`_policy_tip` is the commit of trunk by whose policy the fleet goes; empty at first."""
        self.tasks: dict[str, Task] = {}
        self.statuses: dict[str, Status] = {}
        self.runs: dict[str, tuple[SessionRun, Future[Session]]] = {}
        self._cache: dict[str, Task] = {}
        self._told: set[str] = set()
        """The refs that were named as passed over."""
        self._outcomes, self.archive = Outcomes(hub), Archiving(hub)
        self._before: dict[str, Task] | None = None
        """The tasks of the list as earlier turns saw them; those that went into the archive are out of it."""
        self._lost: list[str] = []
        """The tasks that cannot be read any more, and whose change has not landed."""
        self._stopping = False
        self.trunk_red = False
        """True while trunk is red."""
        self.unusable = ""
        """Why no session begins: trunk's policy cannot be used; empty if it can."""
        self.over_budget = ""
        """Why no session runs any more: the fleet's budget is used up; empty as long as it is not."""
        self.lacks_agent = ""
        """Which tasks wait for an agent that there is not; empty if none does."""
        self._spent = spent
        self._failed = FailedStarts()
        self._busy: dict[str, float] = {}
        """Until when an agent that somebody else has gets no task."""
        # A thread is started only when there is no idle one.
        self._pool = ThreadPoolExecutor(max_workers=MOST, thread_name_prefix="session")
        self._hot, self.reviews, self._radar = HotFiles(hub), Reviews(hub), Radar(hub, trunk, self.wake)
        self._seen = self._survey()
        take_over(hub, trunk, policy)
        self._begun = time.time()
        self._count = Headcount(hub, crew.agents, policy.agents.count, tell)
        known = self._survey().tasks.values()
        self.pace = Paces(
            self._count.size,
            policy.agents.backoff,
            known,
            self._begun,
            tell,
            self._lacking,
            self.crew.programs(self.policy.agents),
        )

    def _lacking(self) -> str:
        return headroom.lacking(self.policy.agents.headroom, machine.seen(self.hub.worktrees))

    # a turn

    def take_turn(self) -> None:
        """Take one turn, or raise Infrastructure if sessions cannot be run at all."""
        self._reap()
        self._observe()
        if self._stopping:
            return
        self._follow_policy()
        self._follow_list()
        for notice in self._radar.turn([run for run, _ in self.runs.values()], self._tip, self.policy.agents.behind):
            self.tell(notice)
        now = time.time()
        settings = self.policy.agents
        self.pace.follow(self._count.follow(settings.count), settings.backoff, self.crew.programs(self.policy.agents), now)
        self._busy = {name: until for name, until in self._busy.items() if until > time.monotonic()}
        busy = {run.work.agent for run, _ in self.runs.values()} | self._busy.keys()
        free = self.pace.able((name for name in self._count.names if name not in busy), now)
        asked = {task.role for task in self.tasks.values()}
        running = Counter(roles.named(run.work.task.role) for run, _ in self.runs.values())
        room = [*self.pace.room(self._under(), asked, now), *roles.room(settings, asked, running)]
        chosen = self.tasks if self.only is None else {k: t for k, t in self.tasks.items() if k in self.only}
        if not self.over_budget and (used := over(settings.budget.fleet, self.spent)):
            self.over_budget = f"the fleet's budget is used up: {used}"
            self.tell(notices.OverBudget(f"{self.over_budget}; every session is ended, and the rest of the tasks stays as it is"))
        if self.over_budget:
            for run, _ in self.runs.values():
                run.stop()
            return
        rules = Rules(settings.attempts, settings.backoff, self._begun, settings.budget.task, room)
        for name in chosen:
            if self.statuses[name] == Status.READY:
                task = self.tasks[name]
                why = self._seen.in_the_way(name) or hopeless(task, settings) or self.pace.blames(task)
                if why:
                    self.park(name, why)
        self._tell_lacking_agent([*self._count.names, *presence.others(self.hub)])
        moving = live_list.standing_still(self.statuses, self.held_up)
        busy_paths = tuple(t.paths for name, t in self.tasks.items() if moving[name] in UNDER_WAY)
        scene = Scene(busy_paths, tuple(self._hot.crowded))
        plan = dispatch(
            chosen, moving, free, self._tip, rules, now, self.pace.trying(asked), self._adopted, scene, self._may_begin()
        )
        for name, reason in plan.park:
            self.park(name, reason + fate(self._outcomes.records.get(name)))
        for name, agent in plan.start:
            self._start(name, agent)

    def _tell_lacking_agent(self, names: list[str]) -> None:
        before, ready = self.lacks_agent, (task for name, task in self.tasks.items() if self.statuses[name] == Status.READY)
        found = without_agent(ready, names)
        self.lacks_agent = f"{found}: agentctl scale {self.pace.size + 1}" if found else ""
        if self.lacks_agent and self.lacks_agent != before:
            self.tell(notices.NoRoom(self.lacks_agent))

    def _may_begin(self) -> int:
        if self.unusable or self._failed.too_many and self.runs:
            return 0
        room = self._sessions.room
        free = max(0, (self.pace.size if room is None else min(self.pace.size, room)) - len(self.runs))
        return on_red_trunk(free, len(self.runs), self.mine.values()) if self.trunk_red else free

    @property
    def held_by_trunk(self) -> bool:
        """True if a task waits only for a green trunk."""
        return self.trunk_red and not self._may_begin() and Status.READY in self.mine.values()

    def _observe(self) -> None:
        self._tip = foreign.tip(self.hub, self.trunk)
        seen = self._survey()
        if end_claims(self.hub, self.trunk, self.policy, seen, LOCAL, self.runs):
            seen = self._survey()
        ledger = Ledger.read(self.hub)
        for notice in self._hot.read(ledger, seen.tasks, self._tip, self.policy.agents.split_hot):
            self.tell(notice)
            if notice.task:
                if self.only is not None:
                    self.only.add(notice.task)
                seen = self._survey()
        self._seen, self.tasks = seen, seen.tasks
        if self.only is not None:
            # What a task of this run planned belongs to the run, whoever planned it when.
            self.only.update(live_list.below(self.listed, self.only))
        away = self.archive.count(((self._before or {}) if self.only is None else self.only) - self.listed.keys())
        for name in away:
            (self._before or {}).pop(name, None)
            if self.only is not None:
                self.only.discard(name)
        self.reviews.follow(self.policy, ledger, self.tasks, self.runs)
        self.tasks = self.tasks | self.reviews.for_others(ledger, self.tasks)
        if self.only is not None:
            # The queue does not become empty without them.
            self.only.update(self.reviews.needed)
        self._outcomes.read(ledger, self.tasks, self._tip)
        self._adopted = ledger.trunk() == self._tip
        spoilt = (name for name in self._before or () if name not in self.tasks and seen.spoilt(name))
        self._lost = [name for name in spoilt if not isinstance(ledger.newest(name), Landed)]
        claims = {name: claim for name, (claim, _) in seen.claims.items()}
        alone = standings(self.tasks, claims, self._outcomes.records, self._outcomes.gone)
        statuses = live_list.with_planners(self.tasks, alone, self.reviews.by_task)
        for name in self.runs:
            if statuses.get(name) == Status.READY:
                statuses[name] = Status.WORKING
        self.statuses = statuses
        self.archive.turn(self.listed, statuses, {*self.runs, *claims})

    @property
    def listed(self) -> dict[str, Task]:
        """The tasks that are in the list; `tasks` has those of the archive too to which they refer."""
        return {name: task for name, task in self.tasks.items() if name not in self._seen.archived}

    def _survey(self) -> Survey:
        """Return the tasks and claims as they are now; what is passed over among them is told once."""
        found = tasks.survey(self.hub, self.policy.agents.timeout, self._cache)
        for notice in notices.passed_over(found.passed_over, self._told):
            self.tell(notice)
        self._told |= found.passed_over.keys()
        return found

    def _start(self, name: str, agent: str) -> None:
        task = self.tasks[name]
        program = self.crew.program(task.role, self.policy.agents)
        work = conclusion.Assignment(task, agent, program.argv, program.stdin, self.trunk)
        run = self._sessions.begin(self.hub, replace(self.policy, agents=program.settings), work)
        future = self._pool.submit(run.go)
        future.add_done_callback(lambda _: self.wake.set())
        self.runs[name] = (run, future)
        self.statuses[name] = Status.WORKING
        self.tell(notices.SessionBegun(name, agent))

    def _under(self) -> list[Under]:
        """Return each session that runs, from when its program was called; one that is still prepared is called now."""
        now, runs = time.time(), [run for run, future in self.runs.values() if not future.done()]
        return [(run.work.task, RunningSession(run.called or now, run.answered)) for run in runs]

    def _follow_policy(self) -> None:
        """Go by the policy that trunk has now; by one that cannot be used, nothing changes."""
        before, self._policy_tip = self._policy_tip, self._tip
        if self._by_trunk and not (before and same_policy(self.hub, before, self._tip)):
            try:
                self.policy, self.crew = self._by_trunk(self._tip)
            except AgentctlError as error:
                if not self.unusable:
                    how = "the agents go by the policy of before, since trunk's cannot be used"
                    self.tell(notices.Odd("", f"{how}: {error.message}"))

    def _follow_list(self) -> None:
        """Heed what others changed in the list of tasks since the last turn, and tell of it."""
        before, self._before = self._before, {**(self._before or {}), **self.listed}
        for name, task in self.listed.items():
            if name in self.runs and task.closed and not self.runs[name][0].stopping:
                self.runs[name][0].stop()
            if before is None:
                continue
            known, listed = before.get(name), self.only is None or name in self.only
            if live_list.asked_for(known, task):
                if self.only is not None:
                    self.only.add(name)
                if known is None or known.closed or not listed:
                    self.tell(notices.TakenIn(name))
            elif known and not known.closed and task.closed == Status.PARKED and listed:
                self.tell(notices.Parked(name, task.reason))
        others = live_list.unfinished(self.statuses) - self.mine.keys()
        if before is None and others:
            self.tell(notices.LeftAlone(len(others)))

    def _reap(self) -> None:
        for name, (run, future) in [(n, r) for n, r in self.runs.items() if r[1].done()]:
            del self.runs[name]
            try:
                ended = future.result()
            except Contended:
                self._busy[run.work.agent] = time.monotonic() + BUSY
                continue
            except Exception as error:
                # Whatever it is, it ends no other session.
                why = self._explained(error)
                self.tell(notices.Trouble(name, run.work.agent, why))
                if self._survey().in_the_way(name):
                    continue
                by_machine = isinstance(error, (OSError, GitError, Infrastructure))
                self._failed, step = self._failed.one_failed(name, by_machine, bool(self.runs))
                if is_full(error) and not (self.runs or self._stopping):
                    raise
                if step is Step.PARK and not is_full(error):
                    self.park(name, f"agentctl could not run its sessions: {why}")
                elif step is Step.END and not self._stopping:
                    several = f"{len(self._failed.tasks)} sessions in a row could not be run"
                    raise Infrastructure(f"{several}: {why}", hint="agentctl doctor") from error
                continue
            self._failed = self._failed.one_ran()
            self._spent += ended.spent
            self.tell(notices.SessionEnded(name, ended))
            self.pace.ended(run.work.task, run.called or run.started, ended, time.time(), self._under())

    def _explained(self, error: Exception) -> str:
        """Return why a session could not be run; what nobody foresaw is kept for a report."""
        if isinstance(error, (AgentctlError, OSError)):
            return str(error)
        return f"{type(error).__name__}: {error}; report it with {defects.kept(self.hub, error)}"

    def park(self, name: str, reason: str) -> None:
        """Park a task; the rest goes on. A task whose ref somebody else spoils or moves meanwhile is left to the next turn."""
        try:
            parked = tasks.change(self.hub, name, f"parked: {reason}", lambda t: replace(t, closed="parked", reason=reason))
        except (Contended, Malformed, NotFound):
            return
        self.tasks[name] = parked
        if self._before is not None:
            self._before[name] = parked
        self.statuses[name] = Status.PARKED
        self.tell(notices.Parked(name, reason))

    @property
    def spent(self) -> Spent:
        """What the sessions of this fleet have used up, those that run included."""
        return sum((run.spent for run, _ in self.runs.values()), self._spent)

    @property
    def done(self) -> bool:
        """True if no session runs, and no task of this fleet is left that one could work on, or it may spend no more.

        Each task has landed, is done, is parked, cannot be read, or is held up by one of those.
        """
        ended = FINISHED | {Status.PARKED, None}
        left = {name for name, status in self.mine.items() if status not in ended}
        return not self.runs and (bool(self.over_budget) or not left - self.held_up.keys())

    @property
    def mine(self) -> dict[str, Status | None]:
        """Where each task of this fleet stands; None for one that cannot be read."""
        return {name: self.statuses.get(name) for name in ([*self.listed, *self._lost] if self.only is None else self.only)}

    @property
    def held_up(self) -> dict[str, HeldUp]:
        """What holds up tasks that work alone will not free, by task: those of this fleet, and what others submitted."""
        return live_list.held_up(self.tasks, self.statuses, self.only, self.reviews.by_task)

    @property
    def parked(self) -> dict[str, str]:
        """Why each task of this fleet is given up, by task."""
        return {
            name: self.tasks[name].reason if status else self._seen.in_the_way(name) or "its ref is gone"
            for name, status in self.mine.items()
            if status in (Status.PARKED, None)
        }

    @property
    def blocked(self) -> dict[str, str]:
        """Why each task of this fleet that is held up does not go on, by task."""
        held_up = {name: held for name, held in self.held_up.items() if self.only is None or name in self.only}
        return {name: live_list.why(held, self.tasks, self.statuses) for name, held in held_up.items()}

    def stop(self) -> None:
        """Stop every session, and wait until their work is salvaged."""
        self._stopping = True
        for run, _ in self.runs.values():
            run.stop()
        self._pool.shutdown(wait=True)
        self._radar.close()
        self._reap()

    def close(self) -> None:
        """Remove the crew's worktrees after work that no ref reaches is salvaged; those of running sessions stay."""
        tip = foreign.tip(self.hub, self.trunk)
        for agent in sorted(self._count.ever):
            try:
                agents.remove(self.hub, agent, tip)
            except Contended:
                continue
