"""Approvals and refusals: what a request that somebody makes after looking at a change comes to."""

from __future__ import annotations

from agentctl.bot.turn import Turn
from agentctl.core.policy.policy import Policy
from agentctl.core.queue.approvals import is_kept, no_use
from agentctl.core.queue.events import Approved
from agentctl.core.queue.records import Queued, RefusedByReview
from agentctl.core.queue.request import Review
from agentctl.hub import approvals, rights


def outcome(turn: Turn, policy: Policy, review: Review, queued: Queued | None) -> Approved | RefusedByReview | str | None:
    """Return what a review of a change leads to: a reason if it has no effect, None if it says what was known.

    An approval is of one commit. If the queue holds another one by now, somebody has to look at that. Raises ObjectError.
    """
    if not queued or queued.change.revision > review.revision or queued.change.head != review.head:
        return _too_late(review, queued)
    author = queued.change.agent
    if review.agent == author:
        return f"{author} has submitted {queued.key}; somebody else has to approve or refuse it"
    if rights.allows(turn.hub, review.agent, queued):
        return f"{review.agent} works on the task of {queued.key}; somebody else has to approve or refuse it"
    wanted = approvals.asked(turn.hub, policy, queued)
    new = turn.agents.approval(review.agent, turn.now, review.task)
    if why := no_use(wanted, author, new, turn.agents.grounds.get(new.by, "")):
        return f"{queued.key}: {why}"
    if review.refusal:
        return RefusedByReview(review.agent)
    if any((known.by, known.person, known.role) == (new.by, new.person, new.role) for known in queued.approvals):
        return None
    if not is_kept(wanted, author, queued.approvals, new):
        return f"{queued.key} has {len(queued.approvals)} approvals, and this one would add nothing"
    return Approved(queued.key, queued.change.head, new)


def _too_late(review: Review, queued: Queued | None) -> str:
    if not queued:
        return f"no revision of {review.change} is queued"
    if queued.change.head == review.head:
        return f"it was said before {queued.key} was submitted; say it again"
    return f"it is of commit {review.head[:12]}, and {queued.key} is {queued.change.head[:12]}"
