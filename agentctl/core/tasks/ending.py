"""What the end of a session means, from how its command ended and what it left.

Success is a commit of the agent's, never an exit status alone, and never the work of a
session that failed: nobody meant a half-written file to be the result. So a session that
did not end well keeps what it has for the next one (`Use.SALVAGE`), and one that ended well
is judged by what it left, by the table MEANING; a missing key is the error.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum


class End(StrEnum):
    """How a session ended."""

    SUBMITTED = "submitted"
    EMPTY = "empty"
    """Nothing new in the worktree, whatever the exit status said."""
    CRASHED = "crashed"
    """A failing exit status, a signal, or an error of the provider as its last words."""
    TIMEOUT = "timeout"
    STUCK = "stuck"
    DEFERRED = "deferred"
    """The agent said (exit status 75, EX_TEMPFAIL) that trunk is not ready for it."""
    INTERRUPTED = "interrupted"
    """We stopped it, or were killed ourselves."""
    GAVE_UP = "gave up"
    """Its change was rejected, and now it says by an empty commit that nothing is to be done."""


class Left(StrEnum):
    """What a session left that trunk does not have."""

    NOTHING = "nothing"
    FILES = "uncommitted files alone"
    COMMITS = "commits, and beside them no new files but litter"
    BOTH = "commits, and new files beside them that were not added"
    REPEATED = "once more what was rejected, unchanged"
    UNFINISHED = "something under way, such as a merge or a rebase"
    EXCUSE = "an empty commit after a rejection, and no word of what did the work"


class Use(StrEnum):
    """What becomes of it. Uncommitted files that are not swept in are salvaged in any case."""

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
"""Of a session that ended well."""


OF_GIT = frozenset((".gitattributes", ".gitignore"))
"""Hidden files that say what others are."""


def is_litter(path: str, known: Callable[[str], bool]) -> bool:
    """True for an uncommitted file that a tool keeps for itself: it is hidden, or in a folder that is, and no part of the
    project, which `known` tells of a path. What Git itself reads is none: other new files may have been taken in by it."""
    parts = path.split("/")
    return any(
        part.startswith(".") and part not in OF_GIT and not known("/".join(parts[: n + 1])) for n, part in enumerate(parts)
    )


def left(committed: bool, dirty: bool, repeated: bool, excuse: bool) -> Left:
    """Which of them it is, from what was found in the worktree; `dirty`: there are uncommitted files; beside commits: new
    ones that are neither litter nor kept out by the policy."""
    if not committed:
        return Left.FILES if dirty else Left.NOTHING
    if dirty:
        return Left.BOTH
    return Left.REPEATED if repeated else Left.EXCUSE if excuse else Left.COMMITS


def meaning(end: End | None, found: Left, dirty: str) -> tuple[End, Use]:
    """`end` is None if the session ended well; `dirty` is the policy's word on uncommitted files."""
    if end is not None:
        return end, Use.NOTHING if found == Left.NOTHING else Use.SALVAGE
    if found == Left.FILES and dirty == "salvage":
        return End.EMPTY, Use.SALVAGE
    return MEANING[found]
