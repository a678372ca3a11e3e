"""Deciding what a request in the inbox becomes: queued, turned away, answered, or nothing.

First all is read and decided, then it is done: what fails in reading has had no effect.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from itertools import islice

from agentctl.core import admission
from agentctl.core.ledger import BESIDE, Record
from agentctl.core.lifecycle import Event, Stage
from agentctl.core.model import Change
from agentctl.core.policy import Policy
from agentctl.core.request import Bump, Request, Submit, Unfit, Withdraw
from agentctl.git.hub import Hub
from agentctl.git.merge import changed, collisions
from agentctl.git.objects import EMPTY_TREE, SYMLINK, ObjectError
from agentctl.queue import answers, landing, lanes, leaks, rights
from agentctl.queue.again import landed_once
from agentctl.queue.turn import Turn

WALK = 1000
"""Commits of one change that are looked at; longer ones are refused."""
PATHS = 500
"""Paths of one change that its record names."""
MESSAGES = 10
"""Times limits.message that the messages of one change may have together."""

Effect = Callable[[], None]


def set_aside(turn: Turn, request: Request, why: str, whole: bool) -> Effect:
    """End a request on which agentctl itself fails, without another look at what it holds."""
    why = f"agentctl fails on it: {why}"
    return partial(_reject, turn, request, "fault", [why], whole) if isinstance(
        request, Submit) else partial(turn.draft.say, f"pass over {request.ref}: {why}")


def numbered(turn: Turn, request: Request) -> Request:
    """The request with a revision number of its own: of two heads under one number the later one gets the next."""
    known = _known(turn, request.change) if isinstance(request, (Submit, Unfit)) and _taken(turn, request.key) else {}
    return request if not known or request.head in known.values() else replace(request, revision=max(known) + 1)


def decide(turn: Turn, policy: Policy, request: Request, broken: str = "") -> Effect:
    """What is to be done about a request, once its ref is taken out of the inbox. Doing it again
    after a crash does no harm.

    `broken` says why its head cannot be kept, if that is so: objects of it are missing.
    """
    if isinstance(request, (Submit, Unfit)) and _taken(turn, request.key):
        return _nothing
    queued = turn.state.queued(request.change)
    if queued and not rights.allows(turn.hub, request.agent, queued):
        return partial(_refuse, turn, request, rights.refusal(request.agent, queued), not broken)
    match request:
        case Withdraw() | Bump() if not queued or queued.change.revision > request.revision:
            # Its place is among the revisions: what came after it is not meant.
            return _nothing
        case Withdraw():
            return partial(_withdraw, turn, queued, request.agent)
        case Bump(priority=priority):
            return partial(turn.draft.reorder, queued.key, priority)
        case Unfit(why=why, whole=whole):
            return partial(_reject, turn, request, "border", [why], whole and not broken)
        case Submit() if broken:
            return partial(_reject, turn, request, "border", [f"its commit is not whole: {broken}"], False)
        case Submit():
            return _submitted(turn, policy, request, queued)
    raise AssertionError(request)


def _nothing() -> None:
    pass


def _taken(turn: Turn, key: str) -> bool:
    return bool(turn.draft.known(key) or turn.ledger.record(key))


def _withdraw(turn: Turn, queued: Record, agent: str) -> None:
    by = "its author" if agent == queued.change.agent else agent
    turn.draft.end(queued.key, Event.WITHDRAW, turn.now, why=f"withdrawn by {by}")


def _refuse(turn: Turn, request: Request, why: str, keep: bool) -> None:
    """Send back what an agent asks about a change that is another's."""
    if isinstance(request, (Submit, Unfit)):
        return _reject(turn, request, "refused", [why], keep and not (isinstance(request, Unfit) and not request.whole))
    turn.draft.say(f"refuse {request.key} of {request.agent}: {why}")
    facts = {"kind": "refused", "change": request.key, "why": why, "trunk": turn.state.trunk}
    turn.reply(Record(_change(request, turn.now), base=request.head, why=why), answers.Answer(facts), False)
    turn.tell("refused", f"{request.key} of {request.agent}: {why}")


def _reject(turn: Turn, request: Request, kind: str, refusals: list[str], keep: bool, index: bool = True) -> None:
    why = "; ".join(refusals[:5]) + (f" and {len(refusals) - 5} more" if len(refusals) > 5 else "")
    record = Record(_change(request, turn.now), base=request.head)
    ended = turn.draft.turn_away(record, Event.REJECT, turn.now, index and kind not in BESIDE, keep, kind=kind, why=why)
    turn.answer(ended, answers.Answer({"rules": refusals}), keep)


def _submitted(turn: Turn, policy: Policy, request: Submit, queued: Record | None) -> Effect:
    draft, now = turn.draft, turn.now
    record = Record(_change(request, now), base=request.head)
    if fenced := _fence(turn.hub, request):
        return partial(draft.turn_away, record, Event.SUPERSEDE, now, why=fenced)
    if queued and queued.change.revision > request.revision:
        return partial(draft.turn_away, record, Event.SUPERSEDE, now, why=f"{queued.key} is newer")
    before = turn.ledger.with_head(request.head)
    if before and landing.landed(before) and not landing.has_gone(turn.hub, turn.state.trunk, before):
        return partial(_reject, turn, request, "policy", ["; ".join(landed_once(turn.ledger, before))], True, False)
    try:
        record, refusals = _measured(turn, policy, record)
        gates = None if refusals else lanes.judged_by(turn.hub, policy, record.base, record.change.head)
    except ObjectError as error:
        refusals = [f"its objects cannot be read: {error.message}"]
    if refusals:
        return partial(_turn_back, turn, request, queued, refusals)
    return partial(_admit, turn, queued, replace(record, change=replace(record.change, gates=gates)))


def _turn_back(turn: Turn, request: Submit, queued: Record | None, refusals: list[str]) -> None:
    _supersede(turn, queued, request.key)
    _reject(turn, request, "policy", refusals, True)


def _admit(turn: Turn, queued: Record | None, record: Record) -> None:
    _supersede(turn, queued, record.key)
    turn.draft.admit(record)


def _supersede(turn: Turn, queued: Record | None, by: str) -> None:
    if queued:
        turn.draft.end(queued.key, Event.SUPERSEDE, turn.now, why=f"replaced by {by}")


def _known(turn: Turn, change: str) -> dict[int, str]:
    """Head by revision of what the ledger holds of a change, or will after this turn."""
    there = [turn.ledger.record(f"{change}/{n}") for n in turn.ledger.revisions(change)]
    fresh = [r for r in (turn.state.queued(change), *turn.draft.ended) if r and r.change.id == change]
    return {r.change.revision: r.change.head for r in (*there, *fresh) if r}


def _change(request: Request, now: float) -> Change:
    facts = {"task": request.task, "priority": request.priority, "after": request.after, "mends": request.mends} \
        if isinstance(request, Submit) else {}
    return Change(id=request.change, revision=request.revision, head=request.head, agent=request.agent, seq=0,
                  admitted=float(int(now)), **facts)


def _fence(hub: Hub, request: Submit) -> str:
    """Why a result comes too late: its task was meanwhile given to somebody else."""
    if not request.task or request.generation is None:
        return ""
    claim = rights.claim(hub, request.task)
    if not claim or request.generation >= claim.generation:
        return ""
    return (f"from generation {request.generation} of task {request.task}, which {claim.agent} works on as generation "
            f"{claim.generation}")


def _measured(turn: Turn, policy: Policy, record: Record) -> tuple[Record, list[str]]:
    """The record with its base, paths and dependencies, and which rules it breaks."""
    hub, draft, head = turn.hub, turn.draft, record.change.head
    info = hub.objects.commit(head)
    own, merge_base = hub.line.meets(head, draft.state.trunk, WALK) or _by_git(hub, head, draft.state.trunk)
    if not merge_base:
        return record, ["it shares no history with trunk"]
    if len(own) > WALK:
        return record, [f"it has more than {WALK} commits that are not on trunk"]
    if not own:
        return record, ["its commits are on trunk already; if what they did was undone since, undo that: agentctl revert"]
    if flaws := _flaws(hub, own, policy.limits.message):
        return record, flaws
    base, after = merge_base, list(record.change.after)
    for oid in own[1:]:
        below = _below(turn, oid)
        if below and (below.stage == Stage.LANDED or below.stage == Stage.QUEUED and below.change.id != record.change.id):
            base = oid
            if below.stage == Stage.QUEUED and below.change.id not in after:
                after.append(below.change.id)
            break
    most = policy.limits.change_files
    entries = list(islice(changed(hub, base, head), most + 1))
    if not entries:
        return record, ["it changes nothing"]
    alone = own[: own.index(base) if base in own else None] if policy.strategy == "rebase" else ()
    if any(_files(hub, oid, most) > most for oid in alone):
        return record, [f"one of its commits has more than limits.change_files ({most}) files"]
    record = replace(record, base=base, subject=info.subject[:200], change=replace(
        record.change, after=tuple(a for a in after if draft.state.queued(a))),
        paths=tuple(path for path, *_ in entries[:PATHS]))
    refusals = admission.check([_entry(hub, *e, policy.limits.path) for e in entries], policy.limits, policy.protect)
    refusals = refusals or leaks.refusals(hub, policy, base, head, own[: own.index(base)] if base in own else own)
    return record, refusals or [admission.same_name(*pair) for pair in islice(collisions(hub, base, head), 10)]


def _flaws(hub: Hub, own: list[str], most: int) -> list[str]:
    """What is wrong with the commits of a change themselves."""
    found, total = [], 0
    for oid in own:
        commit = hub.objects.commit(oid)
        total += len(commit.message)
        if commit.flaw:
            found.append(f"its commit {oid[:12]}: {commit.flaw}; make it anew: git commit --amend --reset-author")
        if len(commit.message) > most:
            found.append(f"the message of its commit {oid[:12]} has {len(commit.message)} bytes, over limits.message ({most})")
    if total > MESSAGES * most:
        found.append(f"the messages of its {len(own)} commits have {total} bytes")
    return found


def _files(hub: Hub, oid: str, most: int) -> int:
    """How many files a commit touches, up to one more than `most`. Raises ObjectError: by then
    all has been read that staging the commit will need."""
    parents = hub.objects.commit(oid).parents
    return sum(1 for _ in islice(changed(hub, parents[0] if parents else EMPTY_TREE, oid), most + 1))


def _by_git(hub: Hub, head: str, trunk: str) -> tuple[list[str], str]:
    base = hub.git("merge-base", trunk, head, ok=(0, 1))
    own = hub.git("rev-list", "--topo-order", f"-n{WALK + 1}", head, "^" + trunk) if base else ""
    return own.split(), base


def _below(turn: Turn, oid: str) -> Record | None:
    """The submission, known or just being admitted, whose head is `oid`."""
    return turn.state.queue.of_head(oid) or turn.ledger.with_head(oid)


def _entry(hub: Hub, path: str, mode: int, oid: str, status: str, longest: int) -> admission.Entry:
    size = hub.objects.size(oid) if mode and mode != 0o160000 else 0
    target = None
    if mode == SYMLINK:
        target = hub.objects.blob(oid) if size <= longest else b"." * (longest + 1)
    return admission.Entry(path=path, mode=mode, size=size, target=target, deleted=status == "D")
