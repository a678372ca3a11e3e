"""The notebook as a ref: refs/agentctl/notebook names a chain of commits, each with the file `notebook` as it was then.

Anyone may add to it, by compare-and-swap. What cannot be read counts as empty, and the next note goes on from there.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from agentctl.core import refnames
from agentctl.core.tasks import notebook
from agentctl.core.tasks.notebook import Lines
from agentctl.errors import AgentctlError
from agentctl.git import transactions
from agentctl.git.objects import EMPTY_TREE
from agentctl.git.repository import Hub

FILE = "notebook"


def read(hub: Hub) -> Lines:
    """Return the lines, oldest first."""
    try:
        return _content(hub, hub.refs.get(refnames.NOTEBOOK))
    except AgentctlError:
        return ()


def _content(hub: Hub, tip: str | None) -> Lines:
    data = hub.objects.read(hub.objects.commit(tip).tree, FILE) if tip else None
    return notebook.parse((data or b"").decode(errors="replace"))


def change(hub: Hub, edit: Callable[[Lines], Lines], by: str) -> Lines:
    """Replace the lines by what `edit` makes of them, and return that; raise Contended after ten tries."""

    def once() -> Lines:
        tip = hub.refs.get(refnames.NOTEBOOK)
        try:
            before, parents = _content(hub, tip), [tip] if tip else []
        except AgentctlError:
            before, parents = (), []
        after = edit(before)
        if after != before:
            with hub.objects.store.together():
                tree = hub.objects.replace(EMPTY_TREE, {FILE: "".join(f"{line}\n" for line in after).encode()})
                made = hub.objects.write_commit(tree, parents, f"noted by {by}\n", time.time())
                move = hub.refs.transaction(f"noted by {by}")
                move.update(refnames.NOTEBOOK, made, tip)
                hub.objects.store.flush()
                move.commit()
        return after

    return transactions.retrying(10, once)
