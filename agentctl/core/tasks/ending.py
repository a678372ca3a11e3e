"""What the end of a session means, from how its command ended and what it left.

Success is a commit by the agent, never an exit status alone, and never the work of a session that failed: nobody meant
a half-written file to be the result. So a session that did not end well keeps what it has for the next one
(`Use.SALVAGE`). A session that ended well is judged by what it left, by the table MEANING; a missing key is an error.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum


class End(StrEnum):
    """How a session ended."""

    SUBMITTED = "submitted"
    EMPTY = "empty"
    """Nothing new is in the worktree, whatever the exit status said."""
    CRASHED = "crashed"
    """The command ended with a failing exit status or a signal, or its last words were an error of the provider."""
    TIMEOUT = "timeout"
    STUCK = "stuck"
    """Nothing moved any more."""
    CIRCLES = "in circles"
    """The agent did the same again and again, with the same outcome."""
    SPENT = "over budget"
    DEFERRED = "deferred"
    """The agent said by exit status 75 (EX_TEMPFAIL) that trunk is not ready for the task."""
    INTERRUPTED = "interrupted"
    """agentctl stopped the session, or was killed itself."""
    BLOCKED = "blocked"
    """The agent said that it cannot go on without a person."""
    PLANNED = "planned"
    """A planner added tasks below its own; it is called again when they are over."""
    DONE = "done"
    """A planner or a reviewer said that its task is done."""
    BEHIND = "behind"
    """The policy ended the session: trunk moved on too far, and what it had conflicts with what landed."""
    GAVE_UP = "gave up"
    """The agent says by an empty commit that nothing is to be done, and does not name what has done it."""


class Left(StrEnum):
    """What a session left that trunk does not have."""

    NOTHING = "nothing"
    FILES = "uncommitted files alone, not all of them litter"
    COMMITS = "commits, and beside them no new files but litter"
    BOTH = "commits, and new files beside them that were not added"
    REPEATED = "once more what was rejected, unchanged"
    UNFINISHED = "something under way, such as a merge or a rebase"
    EXCUSE = "an empty commit, and no word of what did the work"


class Use(StrEnum):
    """What becomes of what a session left.

    Uncommitted files that are not swept in are salvaged in any case.
    """

    NOTHING = "nothing"
    SUBMIT = "the commits are submitted"
    SWEEP = "the files are committed, and all is submitted"
    SALVAGE = "all of it is kept in a salvage ref"


MEANING: dict[Left, tuple[End, Use]] = {
    Left.NOTHING: (End.EMPTY, Use.NOTHING),
    Left.FILES: (End.SUBMITTED, Use.SWEEP),
    Left.COMMITS: (End.SUBMITTED, Use.SUBMIT),
    Left.BOTH: (End.SUBMITTED, Use.SWEEP),
    Left.REPEATED: (End.EMPTY, Use.NOTHING),
    Left.UNFINISHED: (End.EMPTY, Use.SALVAGE),
    Left.EXCUSE: (End.GAVE_UP, Use.NOTHING),
}
"""The meaning of what a session left that ended well."""


OF_GIT = frozenset((".gitattributes", ".gitignore"))
"""Hidden files that tell Git how to treat other files."""
OF_TOOLS = frozenset(("__pycache__", "node_modules"))
"""Folders that tools fill, though they are not hidden: agents that import the same module would conflict in them."""


def is_litter(path: str, known: Callable[[str], bool]) -> bool:
    """Tell whether an uncommitted file is litter: a tool keeps it for itself.

    Litter is hidden, or lies in a hidden folder or one that tools fill, and is no part of the project; `known` tells whether the project has a
    path. The files that Git itself reads are not litter, because they may be the reason why other new files were taken
    in.
    """
    parts = path.split("/")
    return any(
        (part in OF_TOOLS or part.startswith(".") and part not in OF_GIT) and not known("/".join(parts[: n + 1]))
        for n, part in enumerate(parts)
    )


def left(committed: bool, dirty: bool, repeated: bool, excuse: bool) -> Left:
    """Return which kind it is, from what was found in the worktree.

    `dirty` means that there are uncommitted files other than litter. If there are commits, it means only new files, and
    only if the policy lets them in.
    """
    if not committed:
        return Left.FILES if dirty else Left.NOTHING
    if dirty:
        return Left.BOTH
    return Left.REPEATED if repeated else Left.EXCUSE if excuse else Left.COMMITS


def meaning(end: End | None, found: Left, dirty: str, erred: bool = False) -> tuple[End, Use]:
    """Return how the session ended, and what becomes of what it left.

    `end` is None if the session ended well; `dirty` is what the policy says about uncommitted files. `erred` says that
    the last words of its program were an error, which counts if the agent has made no commit.
    """
    if end is None and erred and found in (Left.NOTHING, Left.FILES):
        end = End.CRASHED
    if end is not None:
        return end, Use.NOTHING if found == Left.NOTHING else Use.SALVAGE
    if found == Left.FILES and dirty == "salvage":
        return End.EMPTY, Use.SALVAGE
    return MEANING[found]


def without_files(end: End | None, done: bool, planned: bool) -> End:
    """Return how a session ended whose role hands in no files.

    `end` is None if it ended well, `done` means that its agent said so, and `planned` that it added tasks below its own.
    """
    if end is not None:
        return end
    return End.DONE if done else End.PLANNED if planned else End.EMPTY


def too_far_behind(behind: int, limit: int, told: bool, before: End | None) -> bool:
    """Tell whether a session that conflicts with trunk is ended, because it is `behind` by more commits than the `limit`.

    A session is told of its conflict first. One that follows on a session that ended so (`before`) may go on: where trunk
    is busy, none would ever finish. A limit of 0 is none.
    """
    return bool(limit) and behind > limit and told and before != End.BEHIND
