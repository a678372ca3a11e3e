"""What a session is told: its prompt, its environment variables, and the answer to what was rejected, as files."""

from __future__ import annotations

import os
from dataclasses import dataclass

from agentctl.core import refnames
from agentctl.core.policy.policy import Policy
from agentctl.core.queue.answer import encode
from agentctl.core.queue.lifecycle import Stage
from agentctl.core.tasks import prompt
from agentctl.core.tasks.task import Task
from agentctl.fleet import adapters
from agentctl.fleet.conclusion import Assignment
from agentctl.git import modes
from agentctl.git.repository import Hub
from agentctl.hub import outbox
from agentctl.hub.ledger import Ledger


@dataclass(frozen=True)
class Briefing:
    prompt: str
    file: str
    """The path of the file that has the prompt."""
    values: dict[str, str]
    """The values of placeholders, by the names that stand in braces in an agent's command."""
    env: dict[str, str]


def brief(hub: Hub, policy: Policy, work: Assignment, worktree: str, tip: str, folder: str) -> Briefing:
    """Write the files of a session that begins at `tip` to `folder`, and return its briefing."""
    task = work.task
    record = Ledger.read(hub).newest(task.id)
    answer = outbox.read(hub, record) if record and record.stage == Stage.REJECTED else None
    file = os.path.join(folder, "prompt.md")
    env = {
        "AGENTCTL_TASK": task.id,
        "AGENTCTL_AGENT": work.agent,
        "AGENTCTL_HUB": hub.git_dir,
        "AGENTCTL_GENERATION": str(task.generation),
        "AGENTCTL_ATTEMPT": str(task.attempts + 1),
        "AGENTCTL_BASE": tip,
        "AGENTCTL_PROMPT_FILE": file,
    }
    if answer:
        env["AGENTCTL_ANSWER"] = folder
        for name, content in (
            ("verdict.json", encode(answer.said).decode()),
            ("gate.log", answer.log),
            ("conflict.diff", answer.conflict),
        ):
            modes.write(os.path.join(folder, name), content)
    salvage = next((s.salvage for s in reversed(task.sessions) if s.salvage), "")
    text = prompt.render(
        task,
        policy.agents.attempts,
        answer.said if answer else None,
        answer.log if answer else "",
        answer.conflict if answer else "",
        record.change.head if record and answer else "",
        salvage,
    )
    modes.write(file, text)
    if len(text.encode()) <= adapters.LONGEST:
        env["AGENTCTL_PROMPT"] = text
    values = {
        "prompt_file": file,
        "session": folder,
        "task": task.id,
        "agent": work.agent,
        "worktree": worktree,
        "attempt": env["AGENTCTL_ATTEMPT"],
    }
    return Briefing(text, file, values, env)


def refs_told_of(hub: Hub, task: Task) -> dict[str, str]:
    """Return the refs that the prompt tells of: salvaged work, and the answer to what was submitted."""
    named = {s.salvage for s in task.sessions if s.salvage}
    record = Ledger.read(hub).newest(task.id)
    if record and record.stage == Stage.REJECTED:
        named.add(refnames.outbox(record.change.agent, record.change.id, record.change.revision))
    found = hub.refs.read(sorted(named)) if named else {}
    return {name: ref.oid for name, ref in found.items() if name in named}
