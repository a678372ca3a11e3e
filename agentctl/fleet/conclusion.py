"""What becomes of a session's work at its end: it is submitted or salvaged, and written down."""

from __future__ import annotations

import time
from dataclasses import dataclass

from agentctl.core.policy.policy import Policy
from agentctl.core.queue.lifecycle import Stage
from agentctl.core.queue.request import Submit
from agentctl.core.queue.spending import Spent
from agentctl.core.tasks import ending
from agentctl.core.tasks.claim import Claim
from agentctl.core.tasks.cut_off import CUT_OFF
from agentctl.core.tasks.ending import End, Use
from agentctl.core.tasks.failure import Failure, written_down
from agentctl.core.tasks.task import Session, Task
from agentctl.core.text.json_form import facts, replace
from agentctl.core.text.plural import many
from agentctl.core.text.printable import printable
from agentctl.engine import environ
from agentctl.errors import Refused, Timeout
from agentctl.fleet import agents, result, session_folder
from agentctl.fleet.agents import Found
from agentctl.git import process, transactions, worktrees
from agentctl.git.remote import Declined
from agentctl.git.repository import Hub
from agentctl.git.worktrees import Worktree
from agentctl.hub import claims, foreign, inbox, landed, tasks
from agentctl.hub.ledger import Ledger
from agentctl.messages import some

STAYS = "its work stays in "
"""What a session's note says of a folder that was moved aside, before its path and a colon."""


@dataclass(frozen=True, slots=True)
class Assignment:
    """What a session is to do."""

    task: Task
    agent: str
    argv: tuple[str, ...]
    stdin: bool
    trunk: str
    """The name of the trunk branch."""
    stored: bool = True
    """False for a task that only this session has: it has no claim, and no event is written."""


def conclude(
    hub: Hub,
    policy: Policy,
    work: Assignment,
    claim: Claim,
    tree: Worktree,
    end: End | None,
    note: str,
    spent: Spent,
    failure: Failure | None = None,
) -> Session:
    """Make safe what a session left, and submit it if it is a result (see `core.tasks.ending`).

    `end` is None for a command that ended well. A `failure` that such a command printed before its end counts only if the
    agent has made no commit. What the session has `spent` is told with what it submits. An agent that says that it is blocked hands nothing in by its end, however that came.
    """
    tip, handoff = foreign.tip(hub, work.trunk), session_folder.said(tree.path, session_folder.HANDOFF)
    if blocked := session_folder.reason(tree.path, session_folder.BLOCKED) if tree.there else "":
        end, note, failure = End.BLOCKED, blocked, None

    def session(end: End, *notes: str, revision: int = 0, salvage: str = "") -> Session:
        said = "; ".join(filter(None, (note, *notes)))
        end = End.BLOCKED if blocked else end
        so_far = claim.generation, claim.agent, end, time.time(), round(spent.seconds, 3), tip, revision, said, salvage
        return Session(*so_far, written_down(end, failure), spent, handoff=handoff)

    if not tree.there:
        revision = _submitted_in_session(hub, work, claim, time.time() - spent.seconds)
        return session(End.SUBMITTED if revision else end or End.EMPTY, "its worktree is not there any more", revision=revision)
    try:
        message = f"{work.task.title}\n\nTask: {work.task.id}\n"
        with agents.found(hub, claim.agent, tree, tip, message) as there, agents.kept_if_declined(hub, claim.agent, there):
            got = result.of(hub, work.task.id, there, tip, sweep=policy.agents.dirty == "all" and not failure)
            meant, use = ending.meaning(end, got.left, policy.agents.dirty, bool(failure))
            if failure and end is None and meant == End.CRASHED:
                note = "; ".join(filter(None, [f"it ended by an error: {failure.said}", note]))
            revision = _submitted_by_itself(hub, work.task.id, there.head)
            end, use = (End.SUBMITTED, Use.NOTHING) if revision else (meant, use)
            if use not in (Use.SWEEP, Use.SUBMIT) and not revision:
                revision = _submitted_in_session(hub, work, claim, time.time() - spent.seconds)
                end = End.SUBMITTED if revision else end
            if submitted := _commit_to_submit(hub, claim.agent, there, use, got.left_out):
                revision = _submit(hub, work, claim, tip, submitted, spent)
            told = _is_told(there, end, use, got.left_out, submitted, revision)
            kept = agents.keep(hub, claim.agent, there, besides=not told)
    except (Declined, Refused, process.GitError, Timeout) as error:
        # What a remote declines by a rule of its own no further session would change: a person has to see to it.
        why = End.BLOCKED if isinstance(error, Declined) else End.CRASHED
        return session(why, f"{STAYS}{worktrees.set_aside(tree)}: {error.message}", salvage=str(error.values.get("kept", "")))
    loose = () if submitted == there.whole else _passed_over(there, use, got.left_out)
    return session(
        end,
        got.note if end in (End.EMPTY, End.GAVE_UP) else "",
        _swept_in(there, use, got.left_out),
        _undone(hub, submitted, tip),
        _rest(there, loose, kept),
        revision=revision,
        salvage=kept if told else "",
    )


def without_worktree(hub: Hub, work: Assignment, claim: Claim, end: End, note: str, spent: Spent) -> Session:
    """Return what to write down of a session whose worktree is out of reach; what it handed in counts."""
    now = time.time()
    revision = _submitted_in_session(hub, work, claim, now - spent.seconds)
    end, tip = End.SUBMITTED if revision else end, foreign.tip(hub, work.trunk)
    return Session(claim.generation, claim.agent, end, now, spent.seconds, tip, revision, note, spent=spent)


def _is_told(there: Found, end: End, use: Use, left_out: tuple[str, ...], submitted: str | None, revision: int) -> bool:
    """Tell whether what is kept is told to the next session.

    All but hidden files is, since a tool may keep those for itself. They are too where nothing is handed in and HEAD is
    not new, unless the session was cut off: then it has nothing to show.
    """
    besides = submitted != there.whole and any(
        path not in left_out or path in there.inner or path in there.in_set_up for path in there.files.dirty
    )
    nothing = end in CUT_OFF and set(there.tips) <= {there.whole}
    return use == Use.SALVAGE or besides or not (revision or there.new or nothing)


def _swept_in(there: Found, use: Use, left_out: tuple[str, ...]) -> str:
    """Tell which files the agent had not committed are a part of the change; edits beside commits of its own are none."""
    files = there.files.added if there.new else there.files.dirty
    swept = [path for path in files if path not in left_out] if use == Use.SWEEP else []
    return f"it had not committed {some(swept)}, which is part of the change" if swept else ""


def _undone(hub: Hub, submitted: str | None, tip: str) -> str:
    undone = landed.undoes(hub, submitted, tip) if submitted else []
    return f"it makes {some(undone)} again as before something that came to trunk lately" if undone else ""


def _commit_to_submit(hub: Hub, agent: str, there: Found, use: Use, left_out: tuple[str, ...]) -> str | None:
    """Return the commit that is submitted; None if nothing is."""
    return _swept(hub, agent, there, left_out) if use == Use.SWEEP else there.head if use == Use.SUBMIT else None


def _passed_over(there: Found, use: Use, left_out: tuple[str, ...]) -> tuple[str, ...]:
    """Return the files that are not submitted, of what was found."""
    return left_out + (there.files.changed if there.new else ()) if use == Use.SWEEP else there.files.dirty


def _swept(hub: Hub, agent: str, there: Found, left_out: tuple[str, ...]) -> str:
    """Return the commit with all that was found, without left_out.

    If the agent has made commits too, it is what they have, and the new files: nothing of theirs is edited.
    """
    whole = hub.objects.commit(there.whole)
    if there.new:
        new = {path: hub.objects.at(whole.tree, path) for path in there.files.added if path not in left_out}
        tree = hub.objects.replace(hub.objects.commit(there.head).tree, new)
    else:
        tree = hub.objects.replace(whole.tree, dict.fromkeys(left_out))
    if tree == whole.tree:
        return there.whole
    who = agents.person(agent)
    return hub.objects.write_commit(tree, whole.parents, whole.message, whole.time, author=who, committer=who)


def _submit(hub: Hub, work: Assignment, claim: Claim, tip: str, head: str, spent: Spent) -> int:
    """Submit `head`, and return its revision."""
    task = work.task
    generation = claim.generation if work.stored else None
    total = sum((s.spent for s in task.sessions), spent)
    receipt = inbox.submit(
        hub,
        head,
        claim.agent,
        task.id,
        tip,
        again=True,
        priority=task.priority,
        task=task.id if work.stored else None,
        generation=generation,
        spent=facts(total) if total.is_sane else None,
    )
    return int(receipt.key.rsplit("/", 1)[1])


def _rest(there: Found, loose: tuple[str, ...], kept: str) -> str:
    """Describe what became of all else; `loose` are files that were not submitted."""
    parts = []
    if there.repositories:
        parts.append(f"a repository of its own in {', '.join(there.repositories)} is not part of the change")
    if there.in_set_up:
        parts.append(f"{some(there.in_set_up)} is in what agents.setup has made, and no part of the change")
    if there.files.hidden:
        parts.append(
            f"{many(len(there.files.hidden), 'file')} cannot be read, or only by a filter of that repository's own: "
            f"{printable(there.files.hidden[0])}"
        )
    if kept:
        parts.append(f"{many(len(loose), 'uncommitted file') if loose else 'its commits'} kept in {kept}")
    return "; ".join(parts)


def redacted(session: Session) -> Session:
    """Return the session without the keys that its program may have printed."""
    fault = session.failure and replace(session.failure, said=environ.redact(session.failure.said))
    return replace(
        session,
        note=environ.redact(session.note),
        said=environ.redact(session.said),
        handoff=environ.redact(session.handoff),
        failure=fault,
    )


def record(hub: Hub, name: str, session: Session, claim: str = "") -> None:
    """Append the session to its task, once for each generation, and release its claim, if its object id is given."""
    session = redacted(session)

    def edit(task: Task) -> Task:
        known = any(s.generation == session.generation for s in task.sessions)
        if known:
            return task
        done = {"closed": "done", "reason": session.note} if session.end == End.DONE else {}
        return replace(task.add(session), **done)

    def write() -> None:
        with hub.refs.together():
            tasks.change(hub, name, f"session {session.generation} of {session.agent}: {session.end}", edit)
            if claim:
                claims.release(hub, name, claim)

    transactions.retrying(10, write)


def _submitted_in_session(hub: Hub, work: Assignment, claim: Claim, since: float) -> int:
    """Return the revision that a session submitted itself, whatever it did afterwards.

    It is 0 if the session has submitted none, or if its revision is neither waiting nor queued nor landed. If the task is
    stored, its earlier sessions tell which revisions are theirs; else `since` tells when this one began.
    """
    change = work.task.id
    for request in reversed(inbox.read(hub, change)):
        if isinstance(request, Submit) and (request.agent, request.generation) == (claim.agent, claim.generation):
            return request.revision
    known = Ledger.read(hub).newest(change)
    if not known or known.change.agent != claim.agent or known.stage not in (Stage.QUEUED, Stage.LANDED):
        return 0
    own = known.change.revision > work.task.revision if work.stored else known.change.admitted >= int(since)
    return known.change.revision if own else 0


def _submitted_by_itself(hub: Hub, change: str, head: str) -> int:
    """Return the revision under which this head is waiting, queued or landed already; 0 if it is not."""
    for request in inbox.read(hub, change):
        if request.head == head and request.submits:
            return request.revision
    known = Ledger.read(hub).with_head(head)
    if known and known.change.id == change and known.stage in (Stage.QUEUED, Stage.LANDED):
        return known.change.revision
    return 0
