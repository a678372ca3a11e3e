"""Slots: worktrees in which gates run; each is reset before each run."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

from agentctl.core.policy.policy import Policy
from agentctl.engine import locks
from agentctl.errors import Contended, Infrastructure, Timeout
from agentctl.git import folders, worktrees
from agentctl.git.process import GitError
from agentctl.git.repository import Hub
from agentctl.git.worktrees import Worktree


@contextlib.contextmanager
def slot(hub: Hub) -> Iterator[Worktree]:
    """Lock the first slot that nobody uses, make it if need be, and yield its worktree."""
    number = 1
    while True:
        try:
            held = locks.acquire(hub.own_path("locks", "slots", f"{number}.lock"), f"gate slot {number}")
        except Contended:
            number += 1
            continue
        with held:
            place = worktrees.slot(hub, number)
            worktrees.make(place)
            yield place
        return


def leave(hub: Hub, policy: Policy) -> None:
    """Remove every slot that nobody uses, unless the policy keeps files in them for the next run."""
    if not policy.slot.keep:
        remove_slots(hub)


def remove_slots(hub: Hub) -> None:
    """Remove every slot that nobody uses."""
    for number in sorted({name.partition(".")[0] for name in worktrees.known(hub, worktrees.SLOTS)}):
        with contextlib.suppress(Contended):
            with locks.acquire(hub.own_path("locks", "slots", f"{number}.lock"), "removing it"):
                place = worktrees.slot(hub, number)
                if not place.there:
                    with contextlib.suppress(OSError):
                        os.rmdir(place.path)  # It had just been made when its bot was killed.
                    if os.path.lexists(place.path):
                        worktrees.set_aside(place)
                folders.remove(place.path + ".tmp")
                worktrees.remove(place)
    # Also if a process that was then killed had already removed the last slot.
    worktrees.tidy(hub)


def check_out(place: Worktree, policy: Policy, commit: str) -> None:
    """Make the slot's files those of `commit`, and prove it; give it a Git directory that no run has touched.

    Raises Infrastructure, GitError, OSError or Timeout.
    """
    try:
        emptied = worktrees.check_out(place, commit, tuple(policy.slot.keep))
    except (OSError, GitError, Infrastructure):
        # A run may have left something that cannot be put right. A slot holds nobody's work, so it is made anew.
        worktrees.remove(place)
        worktrees.make(place)
        emptied = worktrees.check_out(place, commit, tuple(policy.slot.keep))
    except Timeout:
        # What a run left may hold every Git. There is no time for a second try, but the next run finds nothing of it.
        worktrees.remove(place)
        worktrees.make(place)
        raise
    if emptied:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(place.own("setup"))
    worktrees.give(place, policy.trunk, None)
