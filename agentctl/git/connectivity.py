"""The check whether all objects of a head exist.

A head that lacks some must not become a parent of what the bot writes, because then `git gc`, clone and fetch fail for
everybody and for ever.
"""

from __future__ import annotations

from collections.abc import Sequence

from agentctl.core.text.printable import printable
from agentctl.errors import Timeout
from agentctl.git import plain
from agentctl.git.process import GitError

LIMIT = 120.0
"""Seconds for one look, enough for some gigabytes of new history."""


def broken(git_dir: str, heads: Sequence[str], whole: Sequence[str]) -> dict[str, str]:
    """Return those of `heads` that cannot be kept, each with the reason.

    A head cannot be kept if it, or something that it needs, does not exist or cannot be read. The commits `whole` are
    known to lack nothing.

    One Git looks at all heads; if some are broken, they are found by halving. An error of the machine, such as a full
    disk, is raised.
    """
    heads = list(dict.fromkeys(heads))
    if not heads:
        return {}
    why = _look(git_dir, heads, whole)
    if not why or len(heads) == 1:
        return {heads[0]: why} if why else {}
    half = len(heads) // 2
    return broken(git_dir, heads[:half], whole) | broken(git_dir, heads[half:], whole)


def _look(git_dir: str, heads: Sequence[str], whole: Sequence[str]) -> str:
    """Return the reason why these heads cannot be kept; empty if nothing is missing."""
    told = "\n".join([*heads, *("^" + oid for oid in whole), ""])
    try:
        # Without the commit-graph: it says that commits exist, but it is a file that can be wrong like any other.
        plain.run(
            git_dir,
            ["-c", "core.commitGraph=false", "rev-list", "--objects", "--quiet", "--stdin"],
            stdin=told.encode(),
            limit=LIMIT,
        )
    except Timeout as error:
        return error.message
    except GitError as error:
        return printable(error.stderr.splitlines()[-1] if error.stderr else error.message)
    return ""
