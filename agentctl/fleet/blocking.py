"""How an agent says that it cannot go on without a person."""

from __future__ import annotations

import os

from agentctl.core.tasks.task import cannot_go_on
from agentctl.core.text.json_form import replace
from agentctl.engine import environ
from agentctl.engine.locks import holder
from agentctl.errors import NotFound, UsageError
from agentctl.fleet import session_folder
from agentctl.git import worktrees
from agentctl.git.repository import Hub
from agentctl.hub import tasks


def block(hub: Hub, why: str) -> tuple[str, str]:
    """Block the session that the caller is in, or that of the worktree where the caller is; return (agent, task or "").

    Where a session runs, this leaves word in its folder, and its end parks the task. Else the agent's last task is
    parked. Raises UsageError if there is no agent here, and NotFound if there is neither a session nor an open task.
    """
    agent = os.environ.get("AGENTCTL_AGENT") or hub.agent
    if not agent:
        raise UsageError("no agent works here", hint="agentctl task park TASK --reason 'Why'")
    task = os.environ.get("AGENTCTL_TASK") or tasks.last_of(hub, agent) or ""
    # In a sandbox, the process that runs the session may not be seen.
    folder = os.environ.get(session_folder.VARIABLE) or session_folder.path(worktrees.of_agent(hub, agent).path)
    named = session_folder.VARIABLE in os.environ
    if os.path.isdir(folder) and (named or holder(hub.own_path("locks", "agents", f"{agent}.lock"))):
        session_folder.block(folder, why)
    elif task:
        reason = environ.redact(cannot_go_on(agent, why))
        tasks.change(hub, task, f"parked: {reason}", lambda t: t if t.closed else replace(t, closed="parked", reason=reason))
    else:
        raise NotFound(f"{agent} has no session and no open task here", hint="agentctl task list")
    return agent, task
