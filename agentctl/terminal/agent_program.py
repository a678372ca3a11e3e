"""The agent's program: what was typed behind --, or what the policy says.

To what an adapter runs, the arguments of the policy are added, and then those that were typed. What the policy says of one
program, arguments and model, is not for another one that was typed.

A program that was typed is looked for where the person stands, and becomes an absolute path. If it is not there, it
is meant to be in the agent's worktree, as a script of the project; so is a program that the policy names.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace

from agentctl.core.policy import roles
from agentctl.core.policy.policy import Agents
from agentctl.errors import NotFound
from agentctl.fleet import adapters, briefing
from agentctl.fleet.crew import Program
from agentctl.git.repository import Hub
from agentctl.messages import quoted
from agentctl.terminal.parser import Given


@dataclass(frozen=True)
class Typed:
    """What a person typed of the agents' program."""

    argv: tuple[str, ...] = ()
    adapter: str | None = None
    model: str | None = None
    env: dict[str, str] = field(default_factory=dict)


def chosen(given: Given, tip: str, settings: Agents, typed: Typed) -> Program:
    """Return how agents are called by the settings and by what was typed; `tip` is the commit of trunk that counts.

    The settings that it returns are those of this program. Raises UsageError, NotFound, and Problems for a template of
    prompts that no session can be given.
    """
    for role in ("", *roles.names(settings)):
        briefing.check_template(given.hub, tip, role)
    if _another(settings, typed):
        settings = replace(settings, command=(), model="")
    name, argv = _adapter(settings, typed), typed.argv
    settings = replace(settings, adapter=name, model=typed.model or settings.model, env=settings.env | typed.env)
    if name != "command":
        argv = (*settings.command, *argv)
    else:
        argv = (_here(given.path, argv[0]), *argv[1:]) if argv else tuple(settings.command)
    argv = adapters.command(name, argv, lambda path: in_tree(given.hub, tip, path), settings.model)
    stdin = adapters.lookup(name).stdin and not any("{prompt" in word for word in argv)
    return Program(settings, argv, stdin)


def by_role(given: Given, tip: str, settings: Agents, typed: Typed) -> dict[str, Program]:
    """Return how agents of each role are called that the settings name.

    A program that was typed is for the roles without one. A model that was typed is for those of them without one, too;
    but what a role has is a model of the policy's program. Variables that were typed are for all roles.
    """
    found = {}
    for name, role in settings.roles.items():
        of_role = typed
        if role.adapter or role.command:
            of_role = Typed(env=typed.env)
        elif role.model and not _another(settings, typed):
            of_role = replace(typed, model=None)
        found[name] = chosen(given, tip, roles.settings(settings, role), of_role)
    return found


def _adapter(settings: Agents, typed: Typed) -> str:
    return typed.adapter or ("command" if typed.argv else settings.adapter)


def _another(settings: Agents, typed: Typed) -> bool:
    """Tell whether a program was typed in the place of the one that the settings name."""
    named = settings.adapter != "command" or settings.command
    return bool(named) and _adapter(settings, typed) != settings.adapter


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
