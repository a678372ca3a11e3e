"""How plain Git and agentctl are led through a set-up: agentctl by all of its commands that could touch it."""

from __future__ import annotations

import os
from pathlib import Path

from tests.hostile.ground import Ground, closed
from tests.hostile.setups import Setup

AGENT = "agent-1"
"""The one that `agentctl run -n 1` has."""

HONEST = """
export HONEST=honest
git status; commit honest.txt; git log -1; git diff HEAD~1; git gc --auto
exit 75"""
"""A session of somebody who plants nothing: whatever runs in it then was left by another one. It says: not yet."""

# What plain Git does


def executes(ground: Ground, setup: Setup, in_hub: bool = False) -> tuple[bool, str]:
    """(whether the control executes what was planted in a clone, or in a hub; what it executes)."""
    hub, tree = ground.clone()
    at = hub if in_hub else tree
    ground.shell(setup.plant, at, hub, planting=True)
    ground.forget()
    ground.shell(setup.control, at, hub, status=None)
    seen = ground.executed()
    ground.forget()
    return bool(seen), seen


def loses(ground: Ground, setup: Setup) -> tuple[bool, list[str]]:
    """(whether the control loses what was planted, or hands over something else; what)."""
    hub, tree = ground.clone()
    ground.shell(setup.plant, tree, hub, planting=True)
    if setup.meanwhile:
        ground.shell(setup.meanwhile, ground.place, hub, tree=tree)
    ground.shell(setup.control, tree if tree.is_dir() else ground.place, hub, status=None, tree=tree)
    found = ground.lost(hub, [tree, *ground.beside]) + wrong(hub, setup)
    if not ground.victim_is_well():
        found.append("the victim's file")
    ground.forget()
    return bool(found), found


def wrong(hub: Path, setup: Setup) -> list[str]:
    """What was handed over that the agent did not mean."""
    if not closed(hub, "branch", "--list", "agent/plain"):
        return []
    found = ["marks of a conflict"] if "<<<<<<<" in closed(hub, "log", "-p", "-m", "agent/plain") else []
    paths = set(closed(hub, "diff-tree", "-r", "-z", "--no-renames", "--name-only", "main", "agent/plain").split("\0")[:-1])
    return found + ([f"other paths: {sorted(paths)}"] if setup.lands and not setup.explains(paths) else [])


# What agentctl does


def agents_worktree(ground: Ground, setup: Setup, *begin: str) -> None:
    """An agent plants it; then everything is done that is done with a worktree. It is planted once more by hand, where no
    session's end takes care of it, before the worktree is removed. `begin` is the command that runs the first session."""
    ground.agentctl("task", "add", "--id", "job", "Do it.")
    ground.session(*(begin or ("spawn", AGENT, "--task", "job")), text=setup.plant)
    meanwhile(ground, setup)
    ground.agentctl("bot", "run", "--once")
    landed = set(ground.landed())
    assert setup.explains(landed), f"{landed}\n{ground.said}"
    look(ground)
    for words in ("submit --change by-hand", "test", "queue", "ps"):
        ground.agentctl(*words.split(), at=ground.tree(AGENT))
    ground.nothing_lost()
    ground.session("spawn", AGENT, text=HONEST)
    ground.nothing_lost()
    ground.shell(setup.plant, ground.tree(AGENT), planting=True)
    meanwhile(ground, setup)
    ground.agentctl("rm", AGENT)
    ground.agentctl("rm", "--force", AGENT)
    ground.nothing_lost()
    assert not os.path.lexists(ground.tree(AGENT)), ground.said
    ground.whole()


def meanwhile(ground: Ground, setup: Setup) -> None:
    if setup.meanwhile:
        ground.shell(setup.meanwhile, ground.place, tree=ground.tree(AGENT))


def look(ground: Ground, change: str = "job", agent: str = AGENT) -> None:
    """What a person types in the main checkout to see how things stand."""
    for words in ("ps", "queue", f"why {change}", f"logs {agent}", f"stop {agent}", "doctor", "task list"):
        ground.agentctl(*words.split())
