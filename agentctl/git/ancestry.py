"""The commits between trunk and a head: found in process where history is a line, else by Git.

The first parents of trunk are remembered as far back as anybody asked. A head whose own commits have one parent each
meets this line at the merge base, unless a merge above that place brought some of these commits to trunk by another
way.
"""

from __future__ import annotations

from collections.abc import Iterator

from agentctl.git.objects import CommitInfo, Objects

REACH = 10_000
"""How many first parents of trunk are looked at before Git is asked."""


class FirstParents:
    """The line of first parents of a tip that moves."""

    def __init__(self, objects: Objects) -> None:
        self._objects = objects
        self._height: dict[str, int] = {}
        self._tip = self._bottom = ""
        self._merge = -REACH
        """The height of the topmost merge: the commits that it joined are not on the line."""

    def meets(self, head: str, tip: str, most: int) -> tuple[list[str], str] | None:
        """Return (the commits of `head` that `tip` does not have, newest first; their merge base), or None.

        None means that there are more than `most` such commits, or that the line alone cannot answer.
        """
        self._follow(tip)
        own, oid = [], head
        while oid not in self._height:
            own.append(oid)
            parents = self._objects.commit(oid).parents
            if len(parents) != 1 or len(own) > most:
                return None
            oid = parents[0]
            if oid not in self._height and not self._deepen(oid):
                return None
        at = next((n for n, one in enumerate(own) if one in self._height), len(own))
        base = (own + [oid])[at]
        return None if self._merge > self._height[base] else (own[:at], base)

    def _follow(self, tip: str) -> None:
        """Add the commits that came on top; begin anew if the tip moved in another way."""
        if tip == self._tip:
            return
        added = []
        for oid in self._first_parents(tip):
            if oid == self._tip:
                break
            added.append(oid)
            if len(added) > REACH or not self._tip:
                break
        if oid != self._tip:
            self._height, self._merge, self._tip, self._bottom = {}, -REACH, tip, tip
            self._add(tip, 0)
            return
        for oid in reversed(added):
            self._add(oid, self._height[self._tip] + 1)
            self._tip = oid

    def _add(self, oid: str, height: int) -> None:
        self._height[oid] = height
        if len(self._objects.commit(oid).parents) > 1:
            self._merge = max(self._merge, height)

    def _first_parents(self, oid: str) -> Iterator[str]:
        while True:
            yield oid
            parents = self._objects.commit(oid).parents
            if not parents:
                return
            oid = parents[0]

    def _deepen(self, wanted: str) -> bool:
        """Remember more of the line, down to where it may hold `wanted`; return False at the end of REACH."""
        young = self._objects.commit(wanted).time
        while True:
            bottom = self._objects.commit(self._bottom)
            if wanted in self._height or bottom.time < young or not bottom.parents:
                # A date proves nothing, so the walk down from the head goes on.
                return True
            if len(self._height) > REACH:
                return False
            self._bottom = bottom.parents[0]
            self._add(self._bottom, self._height[bottom.oid] - 1)


def between(objects: Objects, top: str, base: str, most: int) -> list[CommitInfo] | None:
    """Return at most `most` commits from `top` to above `base`, newest first.

    Returns None if one of them does not have exactly one parent.
    """
    found: list[CommitInfo] = []
    oid = top
    while oid != base and len(found) < most:
        commit = objects.commit(oid)
        if len(commit.parents) != 1:
            return None
        found.append(commit)
        oid = commit.parents[0]
    return found
