"""Agents' worktrees: made, refreshed, emptied and removed without losing work."""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from dataclasses import dataclass

from agentctl.core import refnames
from agentctl.engine import locks
from agentctl.errors import Contended
from agentctl.git import refs, worktrees
from agentctl.git.hub import Hub
from agentctl.git.objects import Person
from agentctl.git.refs import Transaction
from agentctl.git.worktrees import Worktree
from agentctl.queue import inbox
from agentctl.queue.gate import worktrees_lock
from agentctl.queue.ledger import Ledger


@dataclass(frozen=True, slots=True)
class Found:
    """What a worktree holds that trunk does not."""

    head: str
    """A commit with all of it; dirty files included if there are any."""
    dirty: tuple[str, ...]
    new: bool
    """False if it is empty-handed: no commit that trunk lacks, no dirty file. An empty
    commit is a result: it says that nothing was left to do."""


def path_of(hub: Hub, agent: str) -> str:
    return os.path.join(hub.worktrees, "agents", agent)


def person(agent: str) -> Person:
    return Person(agent, f"{agent}@agents.localhost")


def lock(hub: Hub, agent: str):
    """Held for as long as an agent's session runs or its worktree is changed."""
    return locks.acquire(hub.own_path("locks", "agents", f"{agent}.lock"), f"agent {agent}")


def prepare(hub: Hub, agent: str, commit: str) -> tuple[Worktree, bool]:
    """The agent's worktree on `commit`, clean but for ignored files, and whether it is new.

    What was in it is salvaged first. The caller holds the agent's lock.
    """
    path, branch = path_of(hub, agent), refnames.AGENT_BRANCH + agent
    tree = worktrees.at(hub, path)
    unlock(hub, agent, tree)
    if tree:
        salvage(hub, agent, tree, commit)
        if tree.branch() != branch:
            tree.git("symbolic-ref", "HEAD", branch)
    else:
        shutil.rmtree(path, ignore_errors=True)
        rescue_branch(hub, agent, commit)
        with worktrees_lock(hub):
            tree = worktrees.add(hub, path, commit, branch.removeprefix("refs/heads/"))
    made = not os.path.exists(os.path.join(tree.git_dir, "agentctl-ready"))
    worktrees.restore_pointer(tree)
    worktrees.reset(tree, commit, ignored=made)
    return tree, made


def unlock(hub: Hub, agent: str, tree: Worktree | None) -> None:
    """Remove the locks of a Git that was killed along with an agent: of the agent's branch
    alone, whatever it had checked out. The caller holds the agent's lock."""
    if tree:
        worktrees.unlock(tree)
    with contextlib.suppress(FileNotFoundError):
        os.unlink(os.path.join(hub.git_dir, refnames.AGENT_BRANCH + agent + ".lock"))


def ready(tree: Worktree) -> None:
    """Note that a new worktree has been set up."""
    with open(os.path.join(tree.git_dir, "agentctl-ready"), "w"):
        pass


def inspect(hub: Hub, agent: str, tree: Worktree, trunk: str, message: str) -> Found:
    """What the session left. Dirty files become a commit on top of HEAD, not yet on any ref."""
    dirty = tuple(worktrees.dirty(tree))
    head = tree.head()
    if dirty:
        head = worktrees.snapshot(hub, tree, message, time.time(), person(agent))
    return Found(head, dirty, bool(hub.git("rev-list", "-n1", head, "^" + trunk)))


def salvage(hub: Hub, agent: str, tree: Worktree, trunk: str) -> str:
    """Keep what a worktree holds in a salvage ref; returns its name, or "" if there is
    nothing that is not safe already."""
    worktrees.restore_pointer(tree)
    found = inspect(hub, agent, tree, trunk, "salvaged: files that no commit held\n")
    return keep(hub, agent, found.head, trunk) if found.new else ""


def unsafe(hub: Hub, agent: str, tree: Worktree, trunk: str) -> bool:
    """True if the worktree holds work that no ref of the protocol holds."""
    found = inspect(hub, agent, tree, trunk, "looked at\n")
    return found.new and not _safe(hub, agent, found.head, trunk)[0]


def keep(hub: Hub, agent: str, head: str, trunk: str) -> str:
    """Make `head` reachable by a salvage ref unless trunk, the ledger or another one holds it."""
    safe, held = _safe(hub, agent, head, trunk)
    if safe:
        return held.get(head, "")
    # One that somebody else named has no number.
    numbers = [int(last) for name in held.values() if (last := name.rsplit("/", 1)[1]).isdecimal()]
    ref = f"{refnames.SALVAGE}{agent}/{max(numbers, default=0) + 1}"
    create = Transaction(hub.git_dir, f"salvage of {agent}")
    create.create(ref, head)
    create.commit()
    hub.sync()
    return ref


def _safe(hub: Hub, agent: str, head: str, trunk: str) -> tuple[bool, dict[str, str]]:
    """(whether `head` is reachable for good, the agent's salvage refs by object id)."""
    held = {oid: name for name, oid in refs.names(hub.git_dir, [refnames.SALVAGE + agent]).oids.items()}
    safe = (head in held or any(r.head == head and r.submits for r in inbox.read(hub))
            or Ledger.read(hub).with_head(head) is not None
            or hub.git("rev-list", "-n1", head, "^" + trunk) == "")
    return safe, held


def rescue_branch(hub: Hub, agent: str, trunk: str) -> None:
    """Keep what a branch without a worktree holds, before it is moved."""
    tip = refs.get(hub.git_dir, refnames.AGENT_BRANCH + agent)
    if tip:
        keep(hub, agent, tip, trunk)


def remove(hub: Hub, agent: str, trunk: str) -> str:
    """Remove an agent's worktree and branch, its work salvaged. Returns the salvage ref or "".

    Raises Contended if its session runs.
    """
    with lock(hub, agent):
        tree, kept = worktrees.at(hub, path_of(hub, agent)), ""
        unlock(hub, agent, tree)
        if tree:
            kept = salvage(hub, agent, tree, trunk)
            with worktrees_lock(hub):
                worktrees.remove(tree)
        for left in (path_of(hub, agent), path_of(hub, agent) + ".trash"):
            shutil.rmtree(left, ignore_errors=True)
        rescue_branch(hub, agent, trunk)
        tip = refs.get(hub.git_dir, refnames.AGENT_BRANCH + agent)
        if tip:
            delete = Transaction(hub.git_dir, f"remove {agent}")
            delete.delete(refnames.AGENT_BRANCH + agent, tip)
            with contextlib.suppress(Contended):
                delete.commit()
    for folder in (os.path.join(hub.worktrees, "agents"), hub.worktrees):
        with contextlib.suppress(OSError):
            os.rmdir(folder)
    return kept


def names(hub: Hub) -> list[str]:
    """Of every agent that has a worktree."""
    folder = os.path.join(hub.worktrees, "agents")
    return sorted(n for n in os.listdir(folder) if refnames.valid_name(n)) if os.path.isdir(folder) else []
