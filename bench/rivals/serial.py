"""One by one: each change is tested alone on trunk, in one slot, and lands or is rejected.

This is what `git merge` by hand and most "update the branch, wait, merge" rules amount to.
"""

from __future__ import annotations

from agentctl.core.queue.model import View
from bench.rivals.lane import Lane


class Serial(Lane):
    def window(self, view: View) -> int:
        return 1
