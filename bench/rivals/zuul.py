"""Zuul's dependent pipeline: a lane with a window, in which items are given another parent when one ahead of them fails.

Source: zuul/manager, `_processOneItem` and `reportItem`; documentation of `window: 20`, `window-floor: 3`,
`window-increase: 1` (linear), `window-decrease: 2` (exponential). Each item is built on the nearest item ahead of it
that is not failing, so a failure restarts what is behind it at once. A failing item is reported when it is at the
head; that halves the window, and a success adds one.

Simplified: one job an item, and no start-up time of builds.
"""

from __future__ import annotations

from agentctl.core.queue.model import View
from bench.rivals.lane import Lane

FLOOR, FIRST = 3, 20


class Zuul(Lane):
    skips_failing = True

    def __init__(self) -> None:
        super().__init__()
        self.size_of_window = FIRST

    def window(self, view: View) -> int:
        return self.size_of_window

    def succeeded(self, count: int) -> None:
        self.size_of_window += count

    def failed(self) -> None:
        self.size_of_window = max(FLOOR, self.size_of_window // 2)
