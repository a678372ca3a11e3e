"""How many files a process may have open: each session and each gate takes several, and so does each pack of objects."""

from __future__ import annotations

import resource

MOST = 1 << 16
"""The most files that agentctl asks for."""
USUAL = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
"""The limit that agentctl was started with, which its jobs get: programs that use select(2) break above 1,024."""


def allow_many() -> None:
    """Raise the limit of this process as far as the machine allows."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST if hard == resource.RLIM_INFINITY else min(MOST, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
