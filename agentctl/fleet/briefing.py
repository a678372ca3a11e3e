"""What a session is told: its prompt, its environment variables, and the answer to what was rejected, as files."""

from __future__ import annotations

import contextlib
import os
import shlex
import sys
from dataclasses import dataclass
from itertools import islice

from agentctl.core import refnames
from agentctl.core.policy import roles
from agentctl.core.policy.policy import Policy
from agentctl.core.queue.answer import Other, encode
from agentctl.core.queue.lifecycle import Stage
from agentctl.core.queue.records import Record
from agentctl.core.tasks import live_list, overlap, prompt
from agentctl.core.tasks.prompt import Child, Conflicting, Neighbour, Situation, handed_over
from agentctl.core.tasks.task import Task
from agentctl.core.text import landed_message
from agentctl.core.text.yaml_document import Problems
from agentctl.errors import AgentctlError
from agentctl.fleet import adapters, session_folder
from agentctl.fleet.conclusion import Assignment
from agentctl.git import folders
from agentctl.git.merge import changed
from agentctl.git.objects import EMPTY_TREE, ObjectError
from agentctl.git.repository import Hub
from agentctl.hub import landed, notebook, outbox, tasks
from agentctl.hub.ledger import Ledger
from agentctl.hub.outbox import Answer

TEMPLATE = ".agentctl/prompt.md"
"""The path of a project's own template, on trunk; that of a role is .agentctl/prompt-ROLE.md."""
CONFLICTING, LANDED = 5, 50
"""The most commits whose intent is told, and the most that are looked at for what landed."""
LOOKED_AT = 500
"""The most paths of such a commit that are looked at."""
LONGEST = 3000
"""The most characters of a text of somebody else."""


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
    file = os.path.join(folder, "prompt.md")
    env = {
        "AGENTCTL_TASK": task.id,
        "AGENTCTL_AGENT": work.agent,
        "AGENTCTL_HUB": hub.git_dir,
        "AGENTCTL_GENERATION": str(task.generation),
        "AGENTCTL_ATTEMPT": str(task.attempts + 1),
        "AGENTCTL_BASE": tip,
        "AGENTCTL_PROMPT_FILE": file,
        "PATH": f"{own_program(hub)}:{policy.agents.env.get('PATH') or os.environ.get('PATH', os.defpath)}",
        session_folder.VARIABLE: session_folder.path(worktree),
    }
    _, answer = _answer(hub, task)
    if answer:
        env["AGENTCTL_ANSWER"] = folder
        for name, content in (
            ("verdict.json", encode(answer.said).decode()),
            ("gate.log", answer.log),
            ("conflict.diff", answer.conflict),
        ):
            folders.put(os.path.join(folder, name), content)
    text = told(hub, policy, task, tip)
    folders.put(file, text)
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


def own_program(hub: Hub) -> str:
    """Return a folder with nothing in it but a program `agentctl`: this one, for sessions that may have none on their PATH."""
    program = hub.own_path("bin", "agentctl")
    # -P keeps the worktree's own folders out of the import path.
    text = f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -P -m agentctl "$@"\n'
    if folders.content(program) != text.encode(errors="surrogateescape"):
        folders.put(program, text)
        os.chmod(program, 0o700)
    return os.path.dirname(program)


def told(hub: Hub, policy: Policy, task: Task, tip: str) -> str:
    """Return the prompt of a session on `task` that begins, or goes on, at `tip`."""
    return prompt.render(situation(hub, policy, task, tip), template(hub, tip, roles.named(task.role))[0])


def template(hub: Hub, tip: str, role: str = "") -> tuple[str, str]:
    """Return (template of the prompts of a role as of a commit of trunk, its path there or "" if it is the built-in one).

    Without a role it is that of all roles that have none of their own.
    """
    tree = hub.objects.commit(tip).tree
    for path in (TEMPLATE.replace(".md", f"-{role}.md"), TEMPLATE) if role else (TEMPLATE,):
        with contextlib.suppress(ObjectError):
            if (own := hub.objects.read(tree, path)) is not None:
                return own.decode(errors="replace"), path
    return prompt.TEMPLATE, ""


def check_template(hub: Hub, tip: str, role: str = "") -> None:
    """Raise Problems if the template of a role on trunk names a section that does not exist."""
    if found := prompt.misspelt(*template(hub, tip, role)):
        raise Problems(found)


def situation(hub: Hub, policy: Policy, task: Task, tip: str) -> Situation:
    """Return what there is to tell a session on `task` that begins, or goes on, at `tip`."""
    record, answer = _answer(hub, task)
    salvage = next((s.salvage for s in reversed(task.sessions) if s.salvage and hub.refs.get(s.salvage)), "")
    return Situation(
        task,
        policy.agents.attempts,
        answer.said if answer else None,
        answer.log if answer else "",
        answer.conflict if answer else "",
        record.change.head if record and answer else "",
        salvage,
        _left(hub, salvage, tip),
        tuple(_intent(hub, other) for other in answer.said.conflicting[:CONFLICTING]) if answer else (),
        _landed(hub, task, tip),
        _neighbours(hub, task),
        notebook.read(hub),
        tuple((gate.name, gate.run) for gate in policy.gates),
        policy.protect,
        role.does if (role := roles.role(policy.agents, task.role)) else "work",
        _children(hub, policy, task),
        policy.agents.timeout / 60,
    )


def _children(hub: Hub, policy: Policy, task: Task) -> tuple[Child, ...]:
    """List the tasks that a planner's task planned, and what became of each."""
    role = roles.role(policy.agents, task.role)
    if not role or role.does != "plan":
        return ()
    ledger = Ledger.read(hub)
    found = []
    for child in live_list.children(tasks.listed(hub), task.id):
        record = tasks.newest(ledger, child)
        stage = child.closed or (str(record.stage) if record else "open")
        handoff = next((words for s in reversed(child.sessions) if (words := handed_over(s))), "")
        found.append(Child(child.id, child.title, stage, (child.reason or handoff)[:LONGEST]))
    return tuple(found)


def _answer(hub: Hub, task: Task) -> tuple[Record | None, Answer | None]:
    """Return (newest record of the task's change, the answer to it if it was rejected)."""
    record = Ledger.read(hub).newest(task.id)
    return record, outbox.read(hub, record) if record and record.stage == Stage.REJECTED else None


def _left(hub: Hub, salvage: str, tip: str) -> str:
    """Return which files the work in a salvage ref changes."""
    held = hub.refs.get(salvage) if salvage else None
    with contextlib.suppress(AgentctlError):
        base = hub.git("merge-base", tip, held, ok=(0, 1)).strip() if held else ""
        if base and held:
            return hub.git("diff-tree", "-r", "--stat=100", "--stat-count=30", "--no-ext-diff", base, held).rstrip()
    return ""


def _intent(hub: Hub, other: Other) -> Conflicting:
    """Return what somebody meant by a landed commit: its message, what its task asked for, and what was handed over."""
    message, asked, handoff = other.subject, "", ""
    with contextlib.suppress(AgentctlError):
        message = landed_message.strip_own(hub.objects.commit(other.commit).message.decode(errors="replace"))
    with contextlib.suppress(AgentctlError):
        task = tasks.get(hub, other.change.rpartition("/")[0] or other.change)
        asked = f"{task.title}\n{task.prompt}" if task.prompt.strip() != task.title else task.title
        handoff = next((handed_over(s) for s in reversed(task.sessions) if s.revision), "")
    return Conflicting(other.commit, message[:LONGEST], asked[:LONGEST], handoff[:LONGEST])


def _landed(hub: Hub, task: Task, tip: str) -> tuple[Other, ...]:
    """List what landed on the task's paths since its last session, newest first."""
    if not (task.sessions and task.paths):
        return ()
    with contextlib.suppress(AgentctlError):
        found = landed.since(hub, task.sessions[-1].trunk, tip, limit=LANDED)
        return tuple(other for other in found if _touches(hub, other.commit, task.paths))
    return ()


def _touches(hub: Hub, commit: str, declared: tuple[str, ...]) -> bool:
    """Tell whether a commit changes a path that a task declares."""
    parents = hub.objects.commit(commit).parents
    paths = (path for path, *_ in islice(changed(hub, parents[0] if parents else EMPTY_TREE, commit), LOOKED_AT))
    return any(overlap.declares(declared, path) for path in paths)


def _neighbours(hub: Hub, task: Task) -> tuple[Neighbour, ...]:
    """List who works on the task's paths now."""
    if not task.paths:
        return ()
    others = [(other, claim.agent) for other, claim in tasks.at_work(hub) if other.id != task.id]
    return tuple(
        Neighbour(agent, other.title, shared) for other, agent in others if (shared := overlap.shared(task.paths, other.paths))
    )


def refs_told_of(hub: Hub, task: Task) -> dict[str, str]:
    """Return the refs that the prompt tells of: salvaged work, and the answer to what was submitted."""
    named = {s.salvage for s in task.sessions if s.salvage}
    record = Ledger.read(hub).newest(task.id)
    if record and record.stage == Stage.REJECTED:
        named.add(refnames.outbox(record.change.agent, record.change.id, record.change.revision))
    found = hub.refs.read(sorted(named)) if named else {}
    return {name: ref.oid for name, ref in found.items() if name in named}
