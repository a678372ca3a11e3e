"""Names that others chose, made safe to print."""

from __future__ import annotations


def decoded(name: bytes | str) -> str:
    """A name as text, its undecodable bytes kept as surrogates."""
    return name if isinstance(name, str) else name.decode("utf-8", "surrogateescape")


def encoded(text: str) -> bytes:
    """The bytes that `decoded` was given; of what no bytes stand for, something."""
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogatepass")


def printable(name: bytes | str, limit: int = 200) -> str:
    """One line that no terminal obeys: control, bidirectional and undecodable
    characters are escaped, and what is longer than `limit` is cut."""
    text = decoded(name)
    shown = "".join(_escaped(char) for char in text[:limit])
    return shown + "..." if len(text) > limit else shown


def one_line(text: str) -> str:
    """Without what ends a line, controls a terminal or cannot be encoded."""
    return "".join(char if char.isprintable() or "\udc80" <= char <= "\udcff" else " " for char in text)


def _escaped(char: str) -> str:
    if "\udc80" <= char <= "\udcff":
        return f"\\x{ord(char) - 0xDC00:02x}"
    if char == "\\":
        return "\\\\"
    if char.isprintable():
        return char
    return char.encode("unicode_escape", "surrogatepass").decode("ascii")
