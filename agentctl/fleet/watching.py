"""The watch over a session from outside, which ends it when `core.tasks.watchdog` says so."""

from __future__ import annotations

import contextlib
import hashlib
import os
import time
from collections.abc import Callable

from agentctl.core.tasks import news, watchdog
from agentctl.core.tasks.watchdog import Patience, Verdict
from agentctl.engine.runner import JobEnded, Running
from agentctl.fleet import session_folder
from agentctl.fleet.listening import Listener
from agentctl.git import files, folders, private_repository
from agentctl.git.scratch import Scratch
from agentctl.git.worktrees import Worktree

LAST_WORDS = 10.0
"""Seconds that an agent has to end by itself after it has said that it is blocked."""


def watch(
    tree: Worktree, running: Running, log: str, patience: Patience, listener: Listener, tell: Callable[[str], None]
) -> tuple[JobEnded, Verdict | None]:
    """Wait for the end of a session, and return (how it ended, why we ended it if we did).

    The agent is told before it is ended for what it can still change; `tell` with no text takes that back.
    """
    told = ""
    samples: list[watchdog.Sample] = []
    ending: Verdict | None = None
    pause, look = watchdog.interval(patience.silence), tree.look(index="watch.index")
    diff, due, rest = "", 0.0, min(30.0, patience.silence / 20)
    files.fresh_index(tree.own("watch.index"), tree.own("index"))
    while True:
        ended = _wait(tree, running, pause)
        heard = listener.listen()
        if ended:
            return ended, ending
        activity, now, size = running.activity(), time.monotonic(), folders.size(log)
        if now >= due and (not samples or size == samples[-1].output or heard.same > 1):
            # It takes a Git; while the program goes on printing, nothing depends on it.
            diff, due = _fingerprint(look), now + rest
        samples.append(
            watchdog.Sample(
                time=now,
                output=size,
                head=private_repository.head(tree.git_dir)[0] or "",
                diff=diff,
                cpu=activity.cpu_seconds,
                processes=activity.processes,
                finished=heard.finished,
                waiting=time.time() < heard.waits,
                context=heard.context,
                refused=heard.refused,
                same=heard.same,
            )
        )
        samples = watchdog.remembered(samples, patience)
        if not ending:
            ending = watchdog.verdict(samples, time.monotonic(), listener.spent, patience)
            if ending:
                running.stop()
            elif (text := news.of_warning(watchdog.warned(samples, listener.spent, patience))) != told:
                told = text
                tell(text)


def _wait(tree: Worktree, running: Running, seconds: float) -> JobEnded | None:
    """Wait as `Running.wait` does; an agent that has said that it is blocked is asked to end after its last words."""
    until = time.monotonic() + seconds
    while True:
        ended = running.wait(max(0.0, min(1.0, until - time.monotonic())))
        if ended:
            return ended
        blocked = session_folder.blocked_since(tree.path)
        if blocked and time.time() > blocked + LAST_WORDS:
            running.stop()
        if time.monotonic() >= until:
            return None


def _fingerprint(look: Scratch) -> str:
    """Return a text that changes whenever a file that differs from what was checked out is written again."""
    seen = []
    for entry in files.listed(look, "-o", "--exclude-standard")[:1000]:
        with contextlib.suppress(OSError):
            stat = os.lstat(os.path.join(look.work_tree or "", entry.path))
            seen.append(f"{entry.path} {stat.st_mtime_ns} {stat.st_size}")
    return hashlib.sha1("\n".join(seen).encode(errors="surrogateescape")).hexdigest()
