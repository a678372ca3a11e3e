"""Deciding what a request in the inbox becomes: queued, turned away, or nothing."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice

from agentctl.core import admission, refnames
from agentctl.core.ledger import Record
from agentctl.core.lifecycle import Event, Stage
from agentctl.core.model import Change
from agentctl.core.policy import Policy
from agentctl.core.task import decode_claim
from agentctl.git.hub import Hub
from agentctl.git.merge import changed
from agentctl.git.objects import EMPTY_TREE, SYMLINK, ObjectError
from agentctl.git.process import GitError
from agentctl.git.refs import Ref
from agentctl.queue import answers, lanes, leaks
from agentctl.queue.inbox import Request
from agentctl.queue.turn import Turn

WALK = 1000
"""Commits of one change that are looked at; longer ones are refused."""
PATHS = 500
"""Paths of one change that its record names."""


def digest(turn: Turn, policy: Policy, request: Request, claims: dict[str, Ref]) -> None:
    """Take one request out of the inbox. Doing it again after a crash does no harm."""
    draft, now = turn.draft, turn.now
    turn.refs.delete(request.ref, request.oid)
    if request.key in draft.state.queue or turn.ledger.record(request.key) or any(
            r.key == request.key for r in draft.ended):
        known = _known(turn, request.change)
        if not request.submits or request.head in known.values():
            return
        # Pushed by two agents under one number: the later one gets the next.
        request = replace(request, revision=max(known) + 1)
    queued = draft.state.queued(request.change)
    if request.withdraws:
        if queued:
            draft.end(queued.key, Event.WITHDRAW, now, why="withdrawn by its author")
        return
    if request.bumps:
        if queued:
            draft.reorder(queued.key, request.priority)
        return
    record = Record(_change(request, now), base=request.head)
    if fenced := _fence(request, claims):
        draft.turn_away(record, Event.SUPERSEDE, now, why=fenced)
        return
    if queued and queued.change.revision > request.revision:
        draft.turn_away(record, Event.SUPERSEDE, now, why=f"{queued.key} is newer")
        return
    if queued:
        draft.end(queued.key, Event.SUPERSEDE, now, why=f"replaced by {request.key}")
    try:
        record, refusals = _measured(turn, policy, record)
    except (ObjectError, GitError) as error:
        refusals = [f"its objects cannot be read: {error}"]
    if refusals:
        why = "; ".join(refusals[:5]) + (f" and {len(refusals) - 5} more" if len(refusals) > 5 else "")
        ended = draft.turn_away(record, Event.REJECT, now, kind="policy", why=why)
        turn.answer(ended, answers.Answer({"rules": refusals}))
        return
    gates = lanes.judged_by(turn.hub, policy, record.base, record.change.head)
    draft.admit(replace(record, change=replace(record.change, gates=gates)))


def _known(turn: Turn, change: str) -> dict[int, str]:
    """Head by revision of what the ledger holds of a change, or will after this turn."""
    there = [turn.ledger.record(f"{change}/{n}") for n in turn.ledger.revisions(change)]
    fresh = [r for r in (*turn.draft.state.queue.values(), *turn.draft.ended) if r.change.id == change]
    return {r.change.revision: r.change.head for r in (*there, *fresh) if r}


def _change(request: Request, now: float) -> Change:
    facts = request.facts
    task = facts.get("task")
    return Change(
        id=request.change, revision=request.revision, head=request.head, agent=request.agent, seq=0,
        admitted=float(int(now)),
        task=task if isinstance(task, str) and refnames.valid_name(task) else None,
        priority=request.priority, after=request.after, mends=request.facts.get("mends") is True,
    )


def _fence(request: Request, claims: dict[str, Ref]) -> str:
    """Why a result comes too late: its task was meanwhile given to somebody else."""
    task, generation = request.facts.get("task"), request.facts.get("generation")
    ref = claims.get(refnames.CLAIMS + task) if isinstance(task, str) else None
    if not ref or not isinstance(generation, int):
        return ""
    try:
        claim = decode_claim(ref.subject)
    except ValueError:
        # One written by hand, which is for the fleet to complain of: it fences nobody.
        return ""
    if generation >= claim.generation:
        return ""
    return f"from generation {generation} of task {task}, which {claim.agent} works on as generation {claim.generation}"


def _measured(turn: Turn, policy: Policy, record: Record) -> tuple[Record, list[str]]:
    """The record with its base, paths and dependencies, and which rules it breaks."""
    hub, draft, head = turn.hub, turn.draft, record.change.head
    info = hub.objects.commit(head)
    if len(info.message) > policy.limits.message:
        return record, [f"its message has {len(info.message)} bytes"]
    own, merge_base = hub.line.meets(head, draft.state.trunk, WALK) or _by_git(hub, head, draft.state.trunk)
    if not merge_base:
        return record, ["it shares no history with trunk"]
    if len(own) > WALK:
        return record, [f"it has more than {WALK} commits that are not on trunk"]
    base, after = merge_base, list(record.change.after)
    for oid in own[1:]:
        below = _submitted(turn, oid)
        if below and below.change.id != record.change.id and below.stage in (Stage.LANDED, Stage.QUEUED):
            base = oid
            if below.stage == Stage.QUEUED and below.change.id not in after:
                after.append(below.change.id)
            break
    most = policy.limits.change_files
    entries = list(islice(changed(hub, base, head), most + 1))
    alone = own[: own.index(base) if base in own else None] if policy.strategy == "rebase" else ()
    if any(_files(hub, oid, most) > most for oid in alone):
        return record, [f"one of its commits has more than limits.change_files ({most}) files"]
    record = replace(record, base=base, subject=info.subject[:200], change=replace(
        record.change, after=tuple(a for a in after if draft.state.queued(a))),
        paths=tuple(path for path, *_ in entries[:PATHS]))
    return record, admission.check([_entry(hub, *e) for e in entries], policy.limits, policy.protect) or leaks.refusals(
        hub, policy, base, head, own[: own.index(base)] if base in own else own)


def _files(hub: Hub, oid: str, most: int) -> int:
    """How many files a commit touches, up to one more than `most`. Raises ObjectError: by then
    all has been read that staging the commit will need."""
    parents = hub.objects.commit(oid).parents
    return sum(1 for _ in islice(changed(hub, parents[0] if parents else EMPTY_TREE, oid), most + 1))


def _by_git(hub: Hub, head: str, trunk: str) -> tuple[list[str], str]:
    base = hub.git("merge-base", trunk, head, ok=(0, 1))
    own = hub.git("rev-list", "--topo-order", f"-n{WALK + 1}", head, "^" + trunk) if base else ""
    return own.split(), base


def _submitted(turn: Turn, oid: str) -> Record | None:
    """The submission, known or just being admitted, whose head is `oid`."""
    for record in turn.draft.state.queue.values():
        if record.change.head == oid:
            return record
    return turn.ledger.with_head(oid)


def _entry(hub: Hub, path: str, mode: int, oid: str, status: str) -> admission.Entry:
    readable = mode and mode != 0o160000
    target = hub.objects.blob(oid) if mode == SYMLINK else None
    return admission.Entry(path=path, mode=mode, size=hub.objects.size(oid) if readable else 0,
                           target=target, deleted=status == "D")
