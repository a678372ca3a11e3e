"""The state of the queue, and how events change it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from agentctl.core.queue import events
from agentctl.core.queue.events import Landing, Probed, Recorded, Staged
from agentctl.core.queue.lifecycle import Stage, step
from agentctl.core.queue.model import BASELINE, Change, Verdict
from agentctl.core.queue.queued import Queue
from agentctl.core.queue.records import AnyEnded, Ended, Queued, Record, Rejected, Withdrawn
from agentctl.core.text.json_form import replace


@dataclass(frozen=True, slots=True)
class State:
    """The content of the ledger, without the records of what has ended."""

    trunk: str = ""
    """Where the bot last saw trunk, or put it."""
    seq: int = 0
    next_probe: int = 1
    landing: Landing | None = None
    memory: bytes = b""
    """The planner's own state."""
    probes: tuple[Staged, ...] = ()
    passed: tuple[Staged, ...] = ()
    """The passed probes of lanes that still have a member in the queue, as they were last known to pass.

    One whose queued members are all in a later one is left out. `bot.lanes` asks whether they hold on the present trunk."""
    failed: tuple[Staged, ...] = ()
    """The failed probes that still have a member in the queue, and the failures of trunk itself."""
    queue: Queue = field(default_factory=Queue)
    """The queued records, by change key."""
    struck: Mapping[str, int] = field(default_factory=dict)
    """How often the bot died while a probe that asked about a queued change was running, by change key.

    The count of a change is cleared when such a probe ends with a verdict other than aborted, or when the change ends.
    """
    clashes: frozenset[tuple[str, str]] = frozenset()
    """Pairs of keys, in order, of queued changes that do not merge with each other."""

    def __post_init__(self) -> None:
        if not isinstance(self.queue, Queue):
            object.__setattr__(self, "queue", Queue(self.queue))

    def queued(self, change: str) -> Queued | None:
        """Return the queued revision of a change, or None; there is at most one."""
        return self.queue.of_change(change)

    @property
    def changes(self) -> tuple[Change, ...]:
        """The queued changes, as the planner is to see them: `after` names only changes that are still queued.

        Every other change that `after` named has landed. Otherwise this change would have fallen with it.
        """
        ids = {r.change.id for r in self.queue.values()}
        return tuple(
            r.change
            if ids.issuperset(r.change.after)
            else replace(r.change, after=tuple(name for name in r.change.after if name in ids))
            for r in self.queue.values()
        )


@dataclass(slots=True)
class Draft:
    """The next state under construction.

    It changes by events, which `happen` applies. Two other functions change it too: `remember` sets the planner's
    memory, and `settle` drops what can tell nothing any more.

    The queue belongs to this draft and changes in place. A copy for each admission would turn a thousand admissions
    into a million steps.
    """

    state: State
    events: list[Recorded] = field(default_factory=list)
    touched: set[str] = field(default_factory=set)
    """The keys of the submissions that were queued, amended or ended."""
    ended: list[AnyEnded] = field(default_factory=list)
    heads: list[str] = field(default_factory=list)
    """The commits that the ledger must keep reachable."""
    found: dict[str, str] = field(default_factory=dict)
    """The key of a submission, by its head, for those that are found by their head."""
    _ended: dict[str, AnyEnded] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.state = replace(self.state, queue=Queue(self.state.queue))

    def known(self, key: str) -> Record | None:
        """Return the record of a submission that is queued, or that ended in this draft; else None."""
        return self.state.queue.get(key) or self._ended.get(key)

    def remember(self, memory: bytes) -> None:
        """Set what the planner is to know next time."""
        self._set(memory=memory)

    def settle(self) -> None:
        """Forget what can tell nothing any more.

        That is, drop probes that have no change in the queue, unless they are failures of the present trunk itself, and
        drop clashes with changes that left the queue.
        """
        state = self.state
        if gone := {pair for pair in state.clashes if not state.queue.keys() >= {*pair}}:
            self._set(clashes=state.clashes - gone)
        passed = tuple(s for s in state.passed if waits(state, s))
        failed = tuple(s for s in state.failed if waits(state, s) or s.probe.number == BASELINE and s.commit == state.trunk)
        if len(passed) < len(state.passed) or len(failed) < len(state.failed):
            self._set(passed=passed, failed=failed)

    def happen(self, event: Recorded) -> None:
        """Apply an event. Raise KeyError for what must never happen, such as the end of what has ended."""
        state = self.state
        match event:
            case events.Begun(trunk=trunk) | events.Adopted(new=trunk):
                self._set(trunk=trunk)
            case events.Arrived(trunk=trunk):
                self._set(trunk=trunk, landing=None)
            case events.Admitted(queued=queued):
                self._admit(queued)
            case events.Regated(key=key, gates=gates):
                self._amend(key, gates=gates)
            case events.Bumped(key=key, priority=priority):
                self._amend(key, priority=priority)
            case events.Approved(key=key, approval=approval):
                self._queue(replace(state.queue[key], approvals=(*state.queue[key].approvals, approval)))
            case events.ProbeBegun(staged=staged):
                self._set(probes=(*state.probes, staged), next_probe=max(state.next_probe, staged.probe.number + 1))
            case Probed():
                self._probed(event)
            case events.Follows(staged=Staged() as staged):
                self._set(passed=tuple(staged if s.probe.number == staged.probe.number else s for s in state.passed))
            case events.CutOff(died=died):
                if died:
                    self._set(struck=struck_by(state))
                self._set(probes=())
            case events.TrunkFailed(run=run, retries=retries):
                self._set(failed=with_red(state, run, retries))
            case events.Forgotten(bases=bases):
                self._set(failed=tuple(s for s in state.failed if s.probe.base not in bases))
            case events.Clash(pairs=pairs):
                self._set(clashes=state.clashes.union(pairs))
            case events.LandingBegun(landing=landing):
                self._set(landing=landing)
            case events.LandingDropped():
                self._set(landing=None)
            case events.Replanned(failures=failures):
                self._set(memory=b"", passed=(), failed=() if failures else state.failed)
            case Ended():
                self._end(event)
        self.events.append(event)

    def _set(self, **fields: object) -> None:
        self.state = replace(self.state, **fields)

    def _admit(self, queued: Queued) -> None:
        step(Stage.WAITING, queued.stage)
        self._set(seq=queued.change.seq)
        self._queue(queued)
        self._hold(queued)

    def _amend(self, key: str, **facts: object) -> None:
        old = self.state.queue[key]
        self._queue(replace(old, change=replace(old.change, **facts)))

    def _queue(self, queued: Queued) -> None:
        self.state.queue[queued.key] = queued
        self.touched.add(queued.key)

    def _probed(self, event: Probed) -> None:
        state, probe = self.state, event.probe
        over = [s for s in state.probes if s.probe.number == probe.number]
        self._set(probes=tuple(s for s in state.probes if s.probe.number != probe.number))
        if event.verdict != Verdict.ABORTED and not state.struck.keys().isdisjoint(probe.asked):
            self._set(struck={key: deaths for key, deaths in state.struck.items() if key not in probe.asked})
        if event.verdict == Verdict.FAILED and probe.number != BASELINE:
            self._set(failed=(*state.failed, *over))
        if event.verdict == Verdict.PASSED and any(in_lane(state, s) for s in over):
            others = tuple(s for s in state.passed if any(k in state.queue and k not in probe.chain for k in s.probe.chain))
            self._set(passed=(*others, *over))

    def _end(self, ended: AnyEnded) -> None:
        key, state = ended.key, self.state
        if key in self._ended:
            raise KeyError(key)
        step(Stage.QUEUED if key in state.queue else Stage.WAITING, ended.stage)
        if key in state.queue:
            del state.queue[key]
        elif ended.kept:
            self._hold(ended, not isinstance(ended, Rejected) or ended.found and not ended.reason.apart)
        if key in state.struck:
            self._set(struck={k: count for k, count in state.struck.items() if k != key})
        self.touched.add(key)
        self.ended.append(ended)
        self._ended[key] = ended

    def _hold(self, record: Record, found: bool = True) -> None:
        self.heads.append(record.change.head)
        if found:
            self.found[record.change.head] = record.key


def waits(state: State, staged: Staged) -> bool:
    """Tell whether a change of the probe is queued."""
    return any(key in state.queue for key in staged.probe.chain)


def in_lane(state: State, staged: Staged) -> bool:
    """Tell whether a queued change of the probe is of one lane among several."""
    return any(key in state.queue and state.queue[key].change.gates is not None for key in staged.probe.chain)


def seen_red(state: State, gate: str) -> tuple[Staged, ...]:
    """Return the failed runs of the present trunk's own tree, by the gate with that fingerprint."""
    return tuple(s for s in state.failed if s.probe.number == BASELINE and s.commit == state.trunk and s.gate == gate)


def with_red(state: State, run: Staged, retries: int) -> tuple[Staged, ...]:
    """Return `state.failed` with one more failed run of trunk's own tree.

    Of the runs of the present trunk by this gate, the first is kept, and as many of the last as make trunk red.
    """
    first, *rest = seen_red(state, run.gate) + (run,)
    others = tuple(s for s in state.failed if s.probe.number != BASELINE)
    return (*others, first, *rest[max(0, len(rest) - max(1, retries)) :])


def struck_by(state: State) -> dict[str, int]:
    """Return how often the bot has died with each change, if it died now."""
    asked = [key for staged in state.probes for key in staged.probe.asked if key in state.queue]
    return {**state.struck, **{key: state.struck.get(key, 0) + 1 for key in asked}}


def orphans(state: State, ended: Iterable[AnyEnded]) -> list[tuple[str, AnyEnded]]:
    """Return (key, the ended record it depends on) for every queued change whose dependency ended without landing.

    A stack falls together.
    """
    gone = {r.change.id: r for r in ended if isinstance(r, (Rejected, Withdrawn))}
    return [
        (key, gone[name])
        for key, record in state.queue.items()
        for name in record.change.after
        if name in gone and not state.queued(name)
    ]
