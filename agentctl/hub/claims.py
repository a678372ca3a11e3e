"""Claims as refs: refs/agentctl/claims/<task> names a commit without files, whose subject is the claim as one line of JSON.

A claim is only ever created or deleted, so if several supervisors want a task, exactly one gets it. One that no session can
have made is not heeded (`core.tasks.claim`).
"""

from __future__ import annotations

import time

from agentctl.core import refnames
from agentctl.core.tasks import claim as codec
from agentctl.core.tasks.claim import Claim
from agentctl.errors import Contended
from agentctl.git import refs
from agentctl.git.objects import EMPTY_TREE
from agentctl.git.refs import Ref
from agentctl.git.repository import Hub


def read_claim(hub: Hub, ref: Ref) -> Claim:
    """Return the claim that a ref holds; raise Malformed."""
    with refs.decoding(ref.name):
        if not refnames.valid_name(ref.name.removeprefix(refnames.CLAIMS)):
            raise ValueError("its name is not that of a claim")
        made = hub.objects.commit(ref.oid)
        if made.tree != EMPTY_TREE or made.parents:
            raise ValueError("a claim is a commit without files or parents")
        return codec.decode(ref.subject)


def standing(hub: Hub, name: str) -> Claim | None:
    """Return the claim of a task, heeded or not; None if there is none. Raise Malformed for what is no claim."""
    ref = refnames.CLAIMS + name
    oid = hub.refs.get(ref)
    with refs.decoding(ref):
        return read_claim(hub, refs.describe(hub.objects, ref, oid)) if oid else None


def claim(hub: Hub, name: str, wanted: Claim) -> str:
    """Claim a task, and return the object id of the claim.

    Raises Contended if somebody has the task, and Malformed or Blocked if something else stands in the claim's way.
    """
    with hub.objects.store.together():
        hub.objects.write_tree({})
        made = hub.objects.write_commit(EMPTY_TREE, [], codec.encode(wanted) + "\n", time.time())
        create = hub.refs.transaction(f"claim {name}")
        create.create(refnames.CLAIMS + name, made)
        hub.objects.store.flush()
        try:
            create.commit()
        except Contended:
            if other := standing(hub, name):
                raise Contended(
                    f"{other.agent} works on {name}", hint=f"wait, or end that session: agentctl stop {name}"
                ) from None
            raise
    return made


def release(hub: Hub, name: str, oid: str) -> None:
    """Give up a claim; a claim that somebody else has made meanwhile is left alone."""
    delete = hub.refs.transaction(f"release {name}")
    delete.delete(refnames.CLAIMS + name, oid)
    try:
        delete.commit()
    except Contended:
        pass
