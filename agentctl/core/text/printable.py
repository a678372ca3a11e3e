"""What others chose or wrote, made safe to print: nothing is left that a terminal obeys or hides."""

from __future__ import annotations

import re

_COLOUR = re.compile(r"\x1b\[[0-9;:]{0,64}m")
_BEGINS_COLOUR = re.compile(r"\x1b(?:\[[0-9;:]{0,64})?\Z")
_OBEYED = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
    "\ud800-\udfff\U000e0000-\U000e007f]"
)
"""Control characters except tab and newline, direction marks, invisible characters, and bytes that are not text.

Joiners are kept, because scripts and emoji need them.
"""


def decoded(name: bytes | str) -> str:
    """Return a name as text, with its undecodable bytes kept as surrogates."""
    return name if isinstance(name, str) else name.decode("utf-8", "surrogateescape")


def encoded(text: str) -> bytes:
    """Return the bytes that `decoded` was given.

    A text that `decoded` cannot have returned gives some bytes too.
    """
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogatepass")


def printable(name: bytes | str, limit: int = 200) -> str:
    """Return one line that no terminal obeys.

    Control, bidirectional and undecodable characters are escaped, and what is longer than `limit` is cut.
    """
    text = decoded(name)
    shown = "".join(_escaped(char) for char in text[:limit])
    return shown + "..." if len(text) > limit else shown


def visible(text: str) -> str:
    """Return a text of any number of lines, with what a terminal would obey or hide escaped.

    Doing it again changes nothing.
    """
    return _OBEYED.sub(lambda found: _code(found[0]), text.replace("\r\n", "\n"))


def uncoloured(output: str) -> str:
    """Return what a program printed, without the colours that it chose; `visible` treats all else."""
    return _COLOUR.sub("", output)


def split_colour(output: str) -> tuple[str, str]:
    """Return a piece of output, and separately its last characters if they may go on in the next piece.

    Such characters are the beginning of a colour, or of the end of a line.
    """
    cut = len(output) - 1 if output.endswith("\r") else len(output)
    if found := _BEGINS_COLOUR.search(output):
        cut = found.start()
    return output[:cut], output[cut:]


def one_line(text: str) -> str:
    """Return the text with a space in place of whatever ends a line, controls a terminal or cannot be encoded."""
    return "".join(char if char.isprintable() or "\udc80" <= char <= "\udcff" else " " for char in text)


def _escaped(char: str) -> str:
    if char == "\\":
        return "\\\\"
    return char if char.isprintable() else _code(char)


def _code(char: str) -> str:
    if "\udc80" <= char <= "\udcff":
        return f"\\x{ord(char) - 0xDC00:02x}"
    return char.encode("unicode_escape", "surrogatepass").decode("ascii")
