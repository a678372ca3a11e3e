"""The names of the tests that failed, from the output of a gate: how each test runner says it is a pattern."""

from __future__ import annotations

import re

from agentctl.core.text.printable import uncoloured

PATTERNS = (
    r"^(?:FAILED|ERROR) (\S+?::[^\[\n]*?(?:\[.*?\])?)(?: - .*)?$",  # pytest
    r"^(?:FAIL|ERROR): (\w+ \([\w.]+\))$",  # unittest
    r"^[ \t]*--- FAIL: (\S+)",  # go test
    r"^test (\S+) \.\.\. FAILED$",  # cargo test
    r"^[ \t]*(?:✕|✗|×) (.+?)(?: \(\d+ ?m?s\))?$",  # jest, vitest
    r"^[ \t]*● ([^›\n]+ › .+)$",  # jest
    r"^[ \t]*FAIL {2}(\S+ > .+)$",  # vitest
    r"^not ok \d+ (?:- )?(.+?)(?: #.*)?$",  # TAP
    r"^rspec (\S+)",  # rspec
    r"^[ \t]*\[ {2}FAILED {2}\] (\S+\.\S+?),?(?: \(.*\))?$",  # googletest
)
_ANY = re.compile("|".join(PATTERNS), re.MULTILINE)
LONGEST = 200
"""The most characters of a name."""
LINE = 1000
"""The characters of a line that are looked at: the time of some patterns grows with the square of it."""


def names(output: str) -> list[str]:
    """Return the names in order, each once; empty if the runner is none that is known."""
    text = "\n".join(line[:LINE] for line in uncoloured(output).split("\n"))
    found = (next(filter(None, match.groups())) for match in _ANY.finditer(text))
    return list(dict.fromkeys(name.strip()[:LONGEST] for name in found))
