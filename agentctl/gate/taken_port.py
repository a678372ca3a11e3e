"""Whether a gate failed because something else on the machine had what it wanted, such as a port.

What several gates and sessions share says nothing of the change under test: the second of two gates that bind the same port fails,
and so does one beside a server that an agent has started. Such an output counts as exit status 125 does: the gate runs again, and
the change is blamed only if trunk without it passes at that time.
"""

from __future__ import annotations

import re

_TAKEN = re.compile(r"\bEADDRINUSE\b|(?i:address already in use)|port is already allocated|Only one usage of each socket address")


def said(output: str) -> str:
    """Return the words by which an output tells that a port is taken; empty if it tells nothing of the kind."""
    found = _TAKEN.search(output)
    return found[0] if found else ""
