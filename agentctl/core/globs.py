"""Globs over the paths of a tree, always anchored at its top.

    *       any run of characters inside one component, also none
    ?       one character inside a component
    [a-z]   one character of a set; [!a-z] one that is not
    **      as a whole component: any number of directories, also none;
            `dir/**` is everything below `dir` and `dir` itself, so that a file or
            a symbolic link cannot take the directory's place
Every other character stands for itself. `Makefile` is the one at the top only;
`**/Makefile` is each of them.
"""

from __future__ import annotations

import re
from functools import lru_cache

_TOKEN = re.compile(r"(\*+)|(\?)|\[(!?)(\]?[^\]/]*)\]|(.)", re.DOTALL)


def matches(pattern: str, path: str) -> bool:
    """True if the whole of `path` (no leading slash) is matched."""
    return bool(_compiled(pattern).fullmatch(path))


@lru_cache(maxsize=1024)
def _compiled(pattern: str) -> re.Pattern[str]:
    parts = _single_stars(pattern.split("/"))
    deep = parts[-1] == "**"
    if parts == ["**"]:
        return re.compile(r".*", re.DOTALL)
    heads = parts[:-1] if deep else parts
    text = "".join(_directories(part) for part in heads[:-1]) + _last(heads[-1])
    return re.compile(text + ("(?:/.*)?" if deep else ""), re.DOTALL)


def _single_stars(parts: list[str]) -> list[str]:
    return [part for i, part in enumerate(parts) if part != "**" or parts[i - 1 : i] != ["**"]]


def _directories(part: str) -> str:
    return "(?:[^/]+/)*" if part == "**" else _last(part) + "/"


def _last(part: str) -> str:
    return "".join(_translated(token) for token in _TOKEN.finditer(part))


def _translated(token: re.Match[str]) -> str:
    stars, question, negated, members, literal = token.groups()
    if stars:
        return "[^/]*"
    if question:
        return "[^/]"
    if literal:
        return re.escape(literal)
    return _character_class(bool(negated), members)


def _character_class(negated: bool, members: str) -> str:
    if not members:
        return re.escape("[!]" if negated else "[]")
    body = re.sub(r"([\\\[\]^&~|])", r"\\\1", members)
    try:
        re.compile(f"[{body}]")
    except re.error:
        return "(?!)"
    return f"[^/{body}]" if negated else f"(?!/)[{body}]"
