"""Decisions on requests in the inbox: each is queued, rejected, answered, or dropped without effect.

`decide` first reads everything that it needs and returns an effect; the caller applies the effect afterwards. So a
failure while reading has had no effect.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import islice

from agentctl.bot import added_keys, lanes, reviews, upstream
from agentctl.bot.turn import Turn
from agentctl.core.policy.policy import Policy
from agentctl.core.queue import admission_rules
from agentctl.core.queue.answer import Facts
from agentctl.core.queue.events import Admitted, Approved, Bumped, NotAdmitted, PassedOver
from agentctl.core.queue.model import Change
from agentctl.core.queue.records import (
    PATHS,
    AgainstRules,
    AlreadyThere,
    AnyReason,
    Landed,
    NotProper,
    NotTheirs,
    OurFault,
    Queued,
    Record,
    RefusedByReview,
    Rejected,
    Superseded,
    Withdrawn,
    Work,
    next_revision,
)
from agentctl.core.queue.request import Bump, Request, Review, Submit, Unfit, Withdraw
from agentctl.core.text import json_form
from agentctl.core.text.json_form import quoted, replace
from agentctl.core.text.printable import printable
from agentctl.git import fsck
from agentctl.git.merge import added, changed, collisions
from agentctl.git.objects import EMPTY_TREE, SYMLINK, ObjectError
from agentctl.git.repository import Hub
from agentctl.hub import landed, outbox, policy_file, rights, tasks

WALK = 1000
"""The most commits that one change may have; a longer one is refused."""
RULES = 20
"""The most broken rules that the record of a change names; the answer to it names all of them."""
MESSAGES = 10
"""How many times limits.message all commit messages of one change may have together."""

Effect = Callable[[], None]


def set_aside(turn: Turn, request: Request, why: str, whole: bool) -> Effect:
    """Return the effect that ends a request on which agentctl itself fails; what it holds is not looked at again."""
    why = f"agentctl fails on it: {why}"
    return (
        partial(_reject, turn, request, OurFault(why), [why], whole)
        if isinstance(request, Submit)
        else partial(turn.happen, PassedOver(request.ref, why))
    )


def numbered(turn: Turn, request: Request) -> Request:
    """Return the request, under a new revision number if another head of the change has its number.

    The new number is the next free one. A request whose head is known keeps its number.
    """
    known = _known(turn, request.change) if isinstance(request, (Submit, Unfit)) and _taken(turn, request.key) else []
    if not known or request.head in {record.change.head for record in known}:
        return request
    return replace(request, revision=next_revision(known, ()))


def decide(turn: Turn, policy: Policy, request: Request, broken: str = "") -> Effect:
    """Return the effect that a request has once its ref is deleted from the inbox.

    Deciding the same request again after a crash does no harm. `broken` says why the head cannot be kept (objects of it
    are missing); it is empty if the head can be kept.
    """
    if isinstance(request, (Submit, Unfit)) and _taken(turn, request.key):
        return _nothing
    queued = turn.state.queued(request.change)
    if isinstance(request, Review):
        return _reviewed(turn, policy, request, queued)
    if queued and not rights.allows(turn.hub, request.agent, queued):
        return partial(_refuse, turn, request, rights.refusal(request.agent, queued), not broken)
    match request:
        case Withdraw() | Bump() if not queued or queued.change.revision > request.revision:
            # A withdrawal or bump is numbered like a revision, and does not mean revisions after it.
            return _nothing
        case Withdraw() if queued:
            return partial(_withdraw, turn, queued, request.agent)
        case Bump(priority=priority) if queued:
            return partial(turn.happen, Bumped(queued.key, priority))
        case Unfit(why=why, whole=whole):
            return partial(_reject, turn, request, NotProper(), [why], whole and not broken)
        case Submit() if broken:
            return partial(_reject, turn, request, NotProper(), [f"its commit is not whole: {broken}"], False)
        case Submit():
            return _submitted(turn, policy, request, queued)
    raise AssertionError(request)


def _nothing() -> None:
    pass


def _taken(turn: Turn, key: str) -> bool:
    return bool(turn.draft.known(key) or turn.ledger.record(key))


def _withdraw(turn: Turn, queued: Queued, agent: str) -> None:
    turn.happen(Withdrawn(change=queued.change, at=turn.now, work=queued.work, approvals=queued.approvals, by=agent))


def _reviewed(turn: Turn, policy: Policy, request: Review, queued: Queued | None) -> Effect:
    found = reviews.outcome(turn, policy, request, queued)
    match found:
        case str():
            return partial(_refuse, turn, request, found, True)
        case Approved():
            return partial(turn.happen, found)
        case RefusedByReview(by=by) if queued:
            why = f"{by} refuses it: {request.refusal}"
            return partial(turn.reject, queued.key, found, why, outbox.Answer(Facts(by=by)))
    return _nothing


def _refuse(turn: Turn, request: Request, why: str, keep: bool) -> None:
    """Answer that what an agent asks about a change is refused, such as that of one on which it has no rights."""
    if isinstance(request, (Submit, Unfit)):
        return _reject(turn, request, NotTheirs(), [why], keep and not (isinstance(request, Unfit) and not request.whole))
    turn.happen(NotAdmitted(request.key, request.agent, why))
    said = Facts("refused", request.key, why, turn.state.trunk)
    turn.reply(_change(request, turn.now), why, outbox.Answer(said), False)


def _reject(turn: Turn, request: Request, reason: AnyReason, refusals: list[str], keep: bool, found: bool = True) -> None:
    why = "; ".join(refusals[:5]) + (f" and {len(refusals) - 5} more" if len(refusals) > 5 else "")
    turn.send_back(
        Rejected(change=_change(request, turn.now), at=turn.now, kept=keep, said=why, reason=reason, found=found),
        outbox.Answer(Facts(rules=tuple(refusals))),
    )


def _submitted(turn: Turn, policy: Policy, request: Submit, queued: Queued | None) -> Effect:
    change, now = _change(request, turn.now), turn.now
    if request.change == upstream.NAME and upstream.followed(policy):
        return partial(_refuse, turn, request, f"{upstream.NAME!r} is the name of what trunk takes in; choose another", True)
    if fenced := _fence(turn.hub, request):
        return partial(turn.happen, Superseded(change=change, at=now, said=fenced, late=True))
    if taken := rights.taken(turn.hub, request.agent, request.change):
        return partial(_refuse, turn, request, taken, True)
    if queued and queued.change.revision > request.revision:
        return partial(turn.happen, Superseded(change=change, at=now, said=f"{queued.key} is newer"))
    before = turn.ledger.with_head(request.head)
    if isinstance(before, Landed) and not landed.has_gone(turn.hub, turn.state.trunk, before):
        refusals = ["; ".join(landed.once(turn.ledger, before))]
        return partial(_reject, turn, request, AgainstRules(tuple(refusals)), refusals, True, False)
    try:
        measured = _measured(turn, policy, change)
    except ObjectError as error:
        measured = AgainstRules((f"its objects cannot be read: {error.message}",))
    return (
        partial(_admit, turn, queued, measured)
        if isinstance(measured, Queued)
        else partial(_turn_back, turn, request, queued, measured)
    )


def _turn_back(turn: Turn, request: Submit, queued: Queued | None, why: AgainstRules | AlreadyThere) -> None:
    _supersede(turn, queued, request.key)
    if isinstance(why, AlreadyThere):
        return _reject(turn, request, why, ["it changes nothing"], True)
    _reject(turn, request, json_form.replace(why, rules=why.rules[:RULES]), [*why.rules], True)


def _admit(turn: Turn, queued: Queued | None, measured: Queued) -> None:
    _supersede(turn, queued, measured.key)
    numbered = json_form.replace(measured.change, seq=turn.state.seq + 1)
    turn.happen(Admitted(json_form.replace(measured, change=numbered)))


def _supersede(turn: Turn, queued: Queued | None, by: str) -> None:
    if queued:
        said = f"replaced by {by}"
        turn.happen(Superseded(change=queued.change, at=turn.now, work=queued.work, approvals=queued.approvals, said=said))


def _known(turn: Turn, change: str) -> list[Record]:
    """Return the records of all revisions of a change, as the ledger will have them after this turn."""
    fresh = [r for r in (turn.state.queued(change), *turn.draft.ended) if r and r.change.id == change]
    return [*turn.ledger.all_of(change), *fresh]


def _change(request: Request, now: float) -> Change:
    change = Change(
        id=request.change, revision=request.revision, head=request.head, agent=request.agent, seq=0, admitted=float(int(now))
    )
    return (
        replace(
            change, task=request.task, priority=request.priority, after=request.after, mends=request.mends, spent=request.spent
        )
        if isinstance(request, Submit)
        else change
    )


def _fence(hub: Hub, request: Submit) -> str:
    """Return why a result comes too late, or an empty string if it does not.

    It comes too late if its task has meanwhile been claimed under a newer generation, or a session of a newer one has
    handed in.
    """
    if not request.task or request.generation is None:
        return ""
    claim = tasks.held(hub, request.task)
    if not claim or request.generation >= claim.generation:
        newer = tasks.handed_in_by(hub, request.task, request.generation)
        return (
            f"from generation {request.generation} of task {request.task}, of which generation {newer} handed in" if newer else ""
        )
    return (
        f"from generation {request.generation} of task {request.task}, which {claim.agent} works on as generation "
        f"{claim.generation}"
    )


def _measured(turn: Turn, policy: Policy, change: Change) -> Queued | AgainstRules | AlreadyThere:
    """Return the record to be queued, still without its number in the queue, or the rules that the change breaks.

    An empty change is there already: who hands it in says that nothing is left to do.

    Raises ObjectError.
    """
    hub, draft, head = turn.hub, turn.draft, change.head
    info = hub.objects.commit(head)
    own, merge_base = hub.line.meets(head, draft.state.trunk, WALK) or _by_git(hub, head, draft.state.trunk)
    if not merge_base:
        return AgainstRules(("it shares no history with trunk",))
    if len(own) > WALK:
        return AgainstRules((f"it has more than {WALK} commits that are not on trunk",))
    if not own:
        return AgainstRules(("its commits are on trunk already; if what they did was undone since, undo that: agentctl revert",))
    if flaws := _flaws(hub, own, policy.limits.message):
        return AgainstRules(tuple(flaws))
    base, after = merge_base, list(change.after)
    for oid in own[1:]:
        below = _below(turn, oid)
        if below and (isinstance(below, Landed) or isinstance(below, Queued) and below.change.id != change.id):
            base = oid
            if isinstance(below, Queued) and below.change.id not in after:
                after.append(below.change.id)
            break
    most = policy.limits.change_files
    entries = list(islice(changed(hub, base, head), most + 1))
    if not entries:
        return AlreadyThere()
    alone = own[: own.index(base) if base in own else None] if policy.strategy == "rebase" else ()
    if any(_files(hub, oid, most) > most for oid in alone):
        return AgainstRules((f"one of its commits has more than limits.change_files ({most}) files",))
    refusals = admission_rules.check([_entry(hub, *e, policy.limits.path) for e in entries], policy.limits, policy.protect)
    refusals = refusals or policy_file.refusals(hub, base, head, policy.trunk)
    refusals = refusals or added_keys.refusals(hub, policy, base, head, own[: own.index(base)] if base in own else own)
    refusals = refusals or _unfit(hub, own, most)
    refusals = refusals or [admission_rules.same_name(*pair) for pair in islice(collisions(hub, base, head), 10)]
    if refusals:
        protected = any(admission_rules.protector(path, policy.protect) for path, *_ in entries)
        return AgainstRules(tuple(refusals), protected)
    work = Work(base, info.subject[:200], tuple(quoted(path) for path, *_ in entries[:PATHS]))
    return Queued(
        json_form.replace(
            change, after=tuple(a for a in after if draft.state.queued(a)), gates=lanes.judged_by(hub, policy, base, head)
        ),
        work,
    )


def _flaws(hub: Hub, own: list[str], most: int) -> list[str]:
    """List what is wrong with the commits of a change themselves."""
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


def _unfit(hub: Hub, own: list[str], most: int) -> list[str]:
    """List the files, of any commit of a change, that those do not take who let Git look at what they fetch."""
    paths = {}
    for oid in own:
        entries = added(hub, hub.objects.commit(oid).parents or (EMPTY_TREE,), oid, most)
        paths.update({file: path for path, mode, blob, _ in entries if mode for file in fsck.named(path, mode, blob)})
    found = fsck.refusals(hub, paths) if paths else {}
    return [f"{printable(paths[file])}: git fsck refuses it: {why}" for file, why in found.items()]


def _files(hub: Hub, oid: str, most: int) -> int:
    """Return how many files a commit touches, counting up to `most` + 1.

    Raises ObjectError. For a commit with at most `most` files, everything has then been read that staging it will need.
    """
    parents = hub.objects.commit(oid).parents
    return sum(1 for _ in islice(changed(hub, parents[0] if parents else EMPTY_TREE, oid), most + 1))


def _by_git(hub: Hub, head: str, trunk: str) -> tuple[list[str], str]:
    base = hub.git("merge-base", trunk, head, ok=(0, 1))
    own = hub.git("rev-list", "--topo-order", f"-n{WALK + 1}", head, "^" + trunk) if base else ""
    return own.split(), base


def _below(turn: Turn, oid: str) -> Record | None:
    """Return the submission whose head is `oid`, from the queue of this turn or the ledger, or None."""
    return turn.state.queue.of_head(oid) or turn.ledger.with_head(oid)


def _entry(hub: Hub, path: str, mode: int, oid: str, status: str, longest: int) -> admission_rules.ChangedFile:
    size = hub.objects.size(oid) if mode and mode != 0o160000 else 0
    target = None
    if mode == SYMLINK:
        target = hub.objects.blob(oid) if size <= longest else b"." * (longest + 1)
    return admission_rules.ChangedFile(path=path, mode=mode, size=size, target=target, deleted=status == "D")
