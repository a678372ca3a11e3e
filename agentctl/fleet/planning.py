"""The end of a session whose role hands in no files: a planner's adds tasks, and a planner or reviewer says that it is done."""

from __future__ import annotations

import time

from agentctl.core.policy import roles
from agentctl.core.policy.policy import Policy
from agentctl.core.queue.spending import Spent
from agentctl.core.tasks import ending, live_list, reviewing, task_list
from agentctl.core.tasks.claim import Claim
from agentctl.core.tasks.ending import End
from agentctl.core.tasks.failure import Failure, written_down
from agentctl.core.tasks.task import Session, Task
from agentctl.core.text.json_form import replace
from agentctl.core.text.plural import many
from agentctl.core.text.yaml_document import Problems
from agentctl.errors import AgentctlError
from agentctl.fleet import agents, reviews, session_folder
from agentctl.fleet.conclusion import Assignment
from agentctl.git.repository import Hub
from agentctl.git.worktrees import Worktree
from agentctl.hub import foreign, tasks

MOST = 500
"""The most tasks that a planner adds by one list."""


def hands_in(policy: Policy, task: Task) -> bool:
    """Tell whether what a session on the task leaves in its worktree may be its result."""
    return roles.does(policy.agents, task.role) == "work"


def conclude(
    hub: Hub,
    work: Assignment,
    claim: Claim,
    tree: Worktree,
    end: End | None,
    note: str,
    started: float,
    spent: Spent,
    failure: Failure | None,
) -> Session:
    """Take note of what a session planned or said, and make safe what it left in its worktree all the same."""
    tip, task = foreign.tip(hub, work.trunk), work.task
    if blocked := session_folder.reason(tree.path, session_folder.BLOCKED) if tree.there else "":
        end, note, failure = End.BLOCKED, blocked, None
    done, handoff = session_folder.reason(tree.path, session_folder.DONE), session_folder.said(tree.path, session_folder.HANDOFF)
    if done and reviewing.is_review(task) and not reviews.judged(hub, task, claim.agent):
        done = ""
    added = _added(hub, task, tree) if end is None else ""
    if end is not None and (planned := session_folder.said(tree.path, session_folder.TASKS)):
        handoff = f"{handoff}\n\nIts list of tasks was not added, because its session did not end well:\n\n{planned}".strip()
        handoff = handoff[: session_folder.LONGEST]
    kept = agents.make_safe(hub, claim.agent, tree, tip, ignored=False) if tree.there else ""
    # Others may have begun with them, or given them up, before this session ended.
    below = live_list.planned_since(tasks.listed(hub), task.id, started)
    if end is None and failure and not (done or below):
        end, note = End.CRASHED, f"it ended by an error: {failure.said}"
    end = ending.without_files(end, bool(done), bool(below))
    said = (
        note,
        added,
        done if end == End.DONE else "",
        f"it planned {many(len(below), 'task')}" if end == End.PLANNED else "",
        (
            "it approved and refused nothing of what its task is about"
            if reviewing.is_review(task)
            else "it added no task, and did not say that it is done"
        )
        if end == End.EMPTY
        else "",
        f"files that it changed are kept in {kept}, and are no result" if kept else "",
    )
    return Session(
        claim.generation,
        claim.agent,
        end,
        time.time(),
        round(spent.seconds, 3),
        tip,
        note="; ".join(filter(None, said)),
        failure=written_down(end, failure),
        spent=spent,
        handoff=handoff,
    )


def _added(hub: Hub, parent: Task, tree: Worktree) -> str:
    """Add the tasks of a list that a planner wrote, below its own, and return what is wrong with it; empty if nothing is."""
    most = session_folder.LONGEST_LIST
    text = session_folder.said(tree.path, session_folder.TASKS, most + 1)
    if not text:
        return ""
    if len(text.encode()) > most:
        return f"its tasks were not added: {session_folder.TASKS} has more than {most} bytes"
    now = time.time()
    try:
        listed = task_list.parse(text, session_folder.TASKS, tasks.names(hub))
        if len(listed) > MOST:
            return f"its tasks were not added: {session_folder.TASKS} has {len(listed)} of them, and at most {MOST} can be added at a time"
        tasks.add(hub, [replace(t, parent=parent.id, created=now + n / 1000) for n, t in enumerate(listed)])
    except (Problems, AgentctlError) as error:
        return f"its tasks were not added: {error.message}"
    return ""
