"""The watch over a session from outside, which stops it once it is stuck."""

from __future__ import annotations

import contextlib
import hashlib
import os
import time

from agentctl.core.tasks import health
from agentctl.engine.runner import JobEnded, Running
from agentctl.git import files, private_repository
from agentctl.git.scratch import Scratch
from agentctl.git.worktrees import Worktree

QUIET_START = 3
"""How many times longer a session may be silent at its start than later: some agents print only at their end."""


def watch(tree: Worktree, running: Running, log: str, silence: float) -> tuple[JobEnded, str]:
    """Wait for the end of a session, and return (how it ended, why it was stopped as stuck).

    `silence` is how many seconds it may do nothing.
    """
    samples: list[health.Sample] = []
    why, pause, look = "", min(30.0, max(0.2, silence / 20)), tree.look(index="watch.index")
    files.fresh_index(tree.own("watch.index"), tree.own("index"))
    while True:
        ended = running.wait(pause)
        if ended:
            return ended, why
        activity = running.activity()
        samples.append(
            health.Sample(
                time=time.monotonic(),
                output=os.path.getsize(log) if os.path.exists(log) else 0,
                head=private_repository.head(tree.git_dir)[0] or "",
                diff=_fingerprint(look),
                cpu=activity.cpu_seconds,
                processes=activity.processes,
            )
        )
        del samples[:-1000]
        reason = health.stuck(samples, time.monotonic(), silence, QUIET_START * silence)
        if reason and not why:
            why = reason
            running.stop()


def _fingerprint(look: Scratch) -> str:
    """Return a text that changes whenever a file that differs from what was checked out is written again."""
    seen = []
    for entry in files.listed(look, "-o", "--exclude-standard")[:1000]:
        with contextlib.suppress(OSError):
            stat = os.lstat(os.path.join(look.work_tree or "", entry.path))
            seen.append(f"{entry.path} {stat.st_mtime_ns} {stat.st_size}")
    return hashlib.sha1("\n".join(seen).encode(errors="surrogateescape")).hexdigest()
