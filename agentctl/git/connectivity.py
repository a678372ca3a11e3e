"""Whether all objects of a head are there: one that lacks some must not become a parent of what
the bot writes, for then `git gc`, clone and fetch fail for everybody and for ever."""

from __future__ import annotations

from collections.abc import Sequence

from agentctl.core.text.printable import printable
from agentctl.errors import Timeout
from agentctl.git import plain
from agentctl.git.process import GitError

LIMIT = 120.0
"""Seconds for one look: some gigabytes of new history."""


def broken(git_dir: str, heads: Sequence[str], whole: Sequence[str]) -> dict[str, str]:
    """Why a commit cannot be kept, for each of `heads` that cannot: it or something that it needs
    is not there, or cannot be read. The commits `whole` are known to lack nothing.

    One Git for all of them; where some are broken, these are found by halving. Raises what the
    machine does to us.
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
    """Empty if nothing is missing."""
    told = "\n".join([*heads, *("^" + oid for oid in whole), ""])
    try:
        # A commit-graph says of commits that they are there, and is a file like any other.
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
