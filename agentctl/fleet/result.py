"""What the work that a session left amounts to, judged by trunk and the ledger."""

from __future__ import annotations

import contextlib
import os
import re
from dataclasses import dataclass

from agentctl.core.queue.records import Rejected
from agentctl.core.tasks import ending
from agentctl.core.tasks.ending import Left
from agentctl.core.text.printable import printable
from agentctl.errors import AgentctlError
from agentctl.fleet.agents import Found
from agentctl.git import folders
from agentctl.git.objects import TREE
from agentctl.git.repository import Hub
from agentctl.git.worktrees import Worktree
from agentctl.hub.ledger import Ledger
from agentctl.messages import some

TAIL = 1 << 18
"""Bytes at the end of a session's output that are read: some programs print their last event in one long line."""
FAR = 1000
"""The most commits of trunk that are searched for one that an agent names."""


@dataclass(frozen=True, slots=True)
class SessionResult:
    left: Left
    note: str = ""
    """What there is to say about the result, if that is not plain."""
    left_out: tuple[str, ...] = ()
    """Uncommitted files that are no part of the result."""


def of(hub: Hub, change: str, found: Found, trunk: str, sweep: bool) -> SessionResult:
    """Judge what was found in a worktree as work on a change; `trunk` is trunk's tip.

    With `sweep`, new files that an agent forgot to commit beside its commits are a part of the result, unless they stand in
    the place of what it committed. Without commits all files are, but for new hidden ones.
    """
    commit = found.head
    if found.unfinished:
        return SessionResult(Left.UNFINISHED, f"it ended in the middle of {found.unfinished}")
    tree = _tree(hub, commit)
    left_out = tuple(
        path
        for path in found.files.added
        if path in found.inner
        or path in found.in_set_up
        or ending.is_litter(path, lambda part: hub.objects.at(tree, part) is not None)
        or (found.new and _in_the_place(hub, tree, path))
    )
    if not found.new:
        hidden = [path for path in left_out if path not in (*found.inner, *found.in_set_up)]
        left = ending.left(False, len(found.files.dirty) > len(left_out), False, False)
        return SessionResult(
            left, f"it has not added what tools may keep for themselves: {some(hidden)}" if hidden else "", left_out
        )
    forgotten = sweep and len(left_out) < len(found.files.added)
    ledger = Ledger.read(hub)
    base = hub.git("merge-base", commit, trunk, ok=(0, 1)).strip()
    last, known = ledger.newest(change), ledger.with_head(commit)
    rejected = last if isinstance(last, Rejected) else None
    again = (
        known
        if isinstance(known, Rejected) and known.change.id == change
        else (rejected if rejected and _same(hub, rejected, commit, base) else None)
    )
    since = rejected.base if rejected else ""
    loose = [path for path in found.files.dirty if path not in left_out]
    excuse = bool(base and _tree(hub, base) == _tree(hub, commit) and (loose or not _accounted(hub, commit, since, trunk)))
    left = ending.left(True, forgotten, bool(again), excuse)
    if again and left == Left.REPEATED:
        return SessionResult(left, f"the same was rejected already as {again.key}", left_out)
    if left == Left.EXCUSE:
        subject = printable(hub.objects.commit(commit).subject, 120)
        before = f"{rejected.key} was rejected, and now " if rejected else ""
        besides = f", and has not committed {some(loose)}" if loose else ""
        said = f"{before}the agent says by an empty commit that nothing is to be done{besides}: {subject}"
        return SessionResult(left, said, left_out)
    return SessionResult(left, left_out=left_out)


def _in_the_place(hub: Hub, tree: str, path: str) -> bool:
    """Tell whether a new file stands where `tree` has a folder, or in a folder that stands where it has a file."""
    parts = path.split("/")
    above = (hub.objects.at(tree, "/".join(parts[:n])) for n in range(1, len(parts)))
    return hub.objects.at(tree, path) is not None or any(entry and entry[0] != TREE for entry in above)


def _same(hub: Hub, rejected: Rejected, commit: str, base: str) -> bool:
    """Tell whether a test would only repeat the rejected one: the same files, made on the same trunk."""
    return base == rejected.base and _tree(hub, commit) == _tree(hub, rejected.change.head)


def _tree(hub: Hub, commit: str) -> str:
    return hub.objects.commit(commit).tree


def _accounted(hub: Hub, commit: str, since: str, trunk: str) -> bool:
    """Tell whether an empty commit names a commit of trunk that has done the work.

    That commit must be newer than `since`, on which a rejected change began; empty if none was. A merge does not count:
    Git itself writes ids into its message.
    """
    found = hub.objects.commit(commit)
    named = re.findall(r"\b[0-9a-f]{7,40}\b", found.message.decode(errors="replace")) if len(found.parents) < 2 else ()
    landed = hub.git("rev-list", f"-n{FAR}", trunk, *(["^" + since] if since else [])).split() if named else []
    return any(oid.startswith(word) for word in named for oid in landed)


def tail(path: str, begin: int = 0) -> str:
    """Return the end of an output from the byte `begin` on, in whole lines; empty if there is none."""
    try:
        with folders.opened(path) as file:
            size = os.fstat(file.fileno()).st_size
            file.seek(max(begin, size - TAIL))
            data = folders.read(file, TAIL)
    except OSError:
        return ""
    if size - TAIL > begin:
        data = data.partition(b"\n")[2]
    return data.decode(errors="replace")


def unseen(tree: Worktree, since: float) -> str:
    """Tell which files a session has written that Git ignores; empty if it has written none.

    `since` is when its program began: what is older was made by a set-up, or by an earlier session. Litter is left out.
    """
    found = []
    with contextlib.suppress(AgentctlError, OSError):
        for path in tree.look().fields("ls-files", "-z", "-o", "-i", "--exclude-standard"):
            with contextlib.suppress(OSError):
                if os.lstat(os.path.join(tree.path, path)).st_mtime >= since and not ending.is_litter(path, lambda _: False):
                    found.append(path)
    return f"it wrote only files that .gitignore names: {some(found)}" if found else ""
