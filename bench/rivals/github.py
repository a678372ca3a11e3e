"""GitHub's merge queue: cumulative groups, one change each, K of them built at a time.

Source: docs.github.com, "Managing a merge queue". Each entry is built on trunk with the
entries ahead of it; a failing one is removed, and those behind it are built again.
Simplified: it is removed when it is at the head (only then is it known that it, and not one
ahead of it, is at fault), and builds that became useless are stopped at once, in its favour.
A single change that fails is judged once; there are no automatic retries.
"""

from __future__ import annotations

from bench.rivals.lane import Lane


class GitHub(Lane):
    pass
