"""Whether what a task's sessions are said to have handed in was ever handed in.

Whoever can push can write into a task that a session handed something in. As long as that is neither in the inbox nor in the
ledger, the task waits for it; opened again, it does not.
"""

from __future__ import annotations

from agentctl.core import refnames
from agentctl.core.tasks.task import Task
from agentctl.core.text.json_form import replace
from agentctl.git.repository import Hub
from agentctl.hub.ledger import Ledger


def newest(hub: Hub, change: str) -> int:
    """Return the newest revision of a change that is in the inbox or in the ledger; 0 if none is."""
    # What leaves the inbox after this look is in the ledger by then.
    named = [name for name in hub.refs.names([refnames.INBOX]).oids if refnames.is_submission(name)]
    waiting = [refnames.split_submission(name, refnames.INBOX) for name in named]
    return max([*(n for _, of, n in waiting if of == change), *Ledger.read(hub).revisions(change)], default=0)


def never(hub: Hub, task: Task) -> list[int]:
    """Return the revisions that sessions of a task are said to have handed in, and never did; the task was read before."""
    known = newest(hub, task.id) if task.revision else 0
    return [s.revision for s in task.sessions if s.revision > known]


def corrected(hub: Hub, task: Task) -> Task:
    """Return the task without what was never handed in."""
    untrue = never(hub, task)
    return replace(task, sessions=tuple(replace(s, revision=0) if s.revision in untrue else s for s in task.sessions))
