"""What a set-up is, and what people commonly do without agentctl."""

from __future__ import annotations

import os
from collections.abc import Collection
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Setup:
    name: str
    """In words: it is shown."""
    plant: str
    """Run by an agent in its worktree, or by a gate in its slot, or, for what stands in the hub, in the main checkout."""
    control: str
    """What somebody without agentctl does then in a plain clone: Git executes, loses or hides there."""
    lands: tuple[str, ...] = ("work.txt",)
    """What is to be on trunk after a session that planted it, by path, one that ends in /* for all below; no other path may
    differ."""
    meanwhile: str = ""
    """What somebody does outside, in the folder around hub and worktree, after it was planted."""
    unless: str = ""
    """Why Git may be harmless here: it is in some versions."""

    def explains(self, paths: Collection[str]) -> bool:
        """True if these paths are what is to land."""
        return all(path in self.lands or f"{os.path.dirname(path)}/*" in self.lands for path in paths) and all(
            path in paths or path.endswith("/*") for path in self.lands
        )

    def __str__(self) -> str:
        return self.name


HAND_OVER = "git add -A; git commit -q -m done; git push -q origin HEAD:refs/heads/agent/plain; "
REMOVE = 'cd ..; rm -rf "$tree"'
END = HAND_OVER + REMOVE
"""What a harness does at a session's end that takes Git's word for it."""
BRANCH = "git push -q origin agent/plain; " + REMOVE
RESET = "git reset -q --hard $GOOD; git clean -qffdx"
"""How a checkout is commonly made ready for the next run."""
