"""GitHub's merge queue: cumulative groups, one change each, K of them built at a time.

Source: docs.github.com, "Managing a merge queue". Each entry is built on trunk with the entries ahead of it. A
failing one is removed, and those behind it are built again.

Simplified, in GitHub's favour: an entry is removed when it is at the head, because only then it is known that the
fault is its own and not that of one ahead of it; and builds that became useless are stopped at once. A single change
that fails is judged once; there are no automatic retries.
"""

from __future__ import annotations

from bench.rivals.lane import Lane


class GitHub(Lane):
    pass
