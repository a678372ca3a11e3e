"""The agent's program: what was typed behind --, or what the policy says.

To what an adapter runs, the arguments of the policy are added, and then those that were typed.

A program that was typed is looked for where the person stands, and becomes an absolute path. If it is not there, it
is meant to be in the agent's worktree, as a script of the project; so is a program that the policy names.
"""

from __future__ import annotations

import os
from dataclasses import replace

from agentctl.core.policy import roles
from agentctl.core.policy.policy import Agents
from agentctl.errors import NotFound
from agentctl.fleet import adapters, briefing
from agentctl.fleet.crew import Program
from agentctl.git.repository import Hub
from agentctl.messages import quoted
from agentctl.terminal.parser import Given


def chosen(
    given: Given, tip: str, settings: Agents, adapter: str | None, typed: tuple[str, ...], model: str | None = None
) -> Program:
    """Return how agents are called by the settings and by what was typed; `tip` is the commit of trunk that counts.

    Raises UsageError, NotFound, and Problems for a template of prompts that no session can be given.
    """
    for role in ("", *roles.names(settings)):
        briefing.check_template(given.hub, tip, role)
    name = adapter or ("command" if typed else settings.adapter)
    if name == settings.adapter != "command":
        typed = (*settings.command, *typed)
    if name == "command":
        typed = (_here(given.path, typed[0]), *typed[1:]) if typed else tuple(settings.command)
    argv = adapters.command(name, typed, lambda path: in_tree(given.hub, tip, path), model or settings.model)
    stdin = adapters.lookup(name).stdin and not any("{prompt" in word for word in argv)
    return Program(replace(settings, adapter=name), argv, stdin)


def by_role(given: Given, tip: str, all_agents: Program, adapter: str | None, typed: tuple[str, ...]) -> dict[str, Program]:
    """Return how agents of each role are called that the settings name: what was typed is for those without a program."""
    found = {}
    for name, role in all_agents.settings.roles.items():
        settings = roles.settings(all_agents.settings, role)
        own = bool(role.adapter or role.command)
        found[name] = chosen(given, tip, settings, None if own else adapter, () if own else typed)
    return found


def in_tree(hub: Hub, tip: str, path: str) -> bool:
    """Tell whether a path is a file of this commit of trunk, which the agent's worktree will have."""
    path = os.path.normpath(path)
    return not path.startswith("..") and hub.objects.read(hub.objects.commit(tip).tree, path) is not None


def _here(folder: str, program: str) -> str:
    """Return the absolute path of a relative program that is where the person stands, and any other program as it is.

    Raises NotFound if the file is not executable.
    """
    path = os.path.join(folder, program)
    if "/" not in program or os.path.isabs(program) or not os.path.isfile(path):
        return program
    if not os.access(path, os.X_OK):
        raise NotFound(f"{program} is not executable", hint=f"chmod +x {quoted(path)}")
    return os.path.join(os.path.realpath(os.path.dirname(path)), os.path.basename(path))
