"""The notebook: a few lines that agents and people noted for every agent, in every prompt."""

from __future__ import annotations

from collections.abc import Iterable

from agentctl.core.text.printable import one_line

LINES, LONGEST = 100, 300
"""The most lines of the notebook, and the most characters of one; what is longer is cut, and old lines make room."""

Lines = tuple[str, ...]


def with_lines(lines: Lines, new: Iterable[str]) -> Lines:
    """Return the notebook with lines added at its end; a line that is there already moves there."""
    kept = dict.fromkeys(lines)
    for text in map(one_line, new):
        if line := text.strip().removeprefix("- ")[:LONGEST]:
            kept.pop(line, None)
            kept[line] = None
    return tuple(kept)[-LINES:]


def parse(text: str) -> Lines:
    """Read a notebook as it is stored or written by hand: one note on each line."""
    return with_lines((), text.splitlines())
