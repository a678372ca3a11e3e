"""Which approvals a change of this hub lacks, by a policy."""

from __future__ import annotations

from agentctl.core.policy.policy import Policy
from agentctl.core.queue import approvals
from agentctl.core.queue.approvals import Asked, Lack
from agentctl.core.queue.records import PATHS, Record
from agentctl.git.merge import changed
from agentctl.git.repository import Hub

WALK = 1000
"""The most commits of a head that are looked at for its merge base."""


def asked(hub: Hub, policy: Policy, record: Record) -> tuple[Asked, ...]:
    """Return the rules of a policy that a submission has to satisfy.

    A record names only so many paths of a change; if there may be more, all are read anew. Raises ObjectError.
    """
    if not policy.approvals or record.change.joins:
        return ()
    places = record.work.places if record.work else ()
    if len(places) >= PATHS:
        places = tuple(path for path, *_ in changed(hub, record.base, record.change.head))
    return approvals.asked(policy.approvals, places)


def lacking(hub: Hub, policy: Policy, record: Record) -> tuple[Lack, ...]:
    """Return the rules of a policy that a submission does not satisfy yet. Raises ObjectError."""
    return approvals.lacking(asked(hub, policy, record), record.change.agent, record.approvals)


def ahead(hub: Hub, policy: Policy, head: str, tip: str) -> tuple[str, tuple[Asked, ...]]:
    """Return (merge base with trunk, the rules that a head has to satisfy), for a head that is not admitted yet.

    The base is empty, and no rule is known, if none is found. The rules may turn out to be fewer: the bot measures from
    the nearest commit that was submitted itself. Raises ObjectError.
    """
    met = hub.line.meets(head, tip, WALK)
    if not met or not met[1]:
        return "", ()
    paths = (path for path, *_ in changed(hub, met[1], head)) if policy.approvals else ()
    return met[1], approvals.asked(policy.approvals, paths)


def beyond(hub: Hub, policy: Policy, record: Record, before: str, carrying: str) -> tuple[str, ...]:
    """Return the paths for which a change lacks approvals only where it lands.

    Where trunk has moved a file that the change edits, Git puts the edit into the moved one. `carrying` is the commit
    that carries the change, and `before` what it was put on.
    """
    if not policy.approvals or record.change.joins:
        return ()
    paths = tuple(path for path, *_ in changed(hub, before, carrying))
    found = approvals.lacking(approvals.asked(policy.approvals, paths), record.change.agent, record.approvals)
    return tuple(dict.fromkeys(path for lack in found for path in lack.paths))
