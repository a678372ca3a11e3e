"""Globs over the paths of a tree, always anchored at its top.

    *       any run of characters inside one component, also an empty one
    ?       one character inside a component
    [a-z]   one character of a set; [!a-z] one that is not in it; a star is never a member
    **      as a whole component: any number of directories, also none;
            `dir/**` is everything below `dir` and `dir` itself, so that a file or
            a symbolic link cannot take the directory's place

Every other character stands for itself. `Makefile` is only the one at the top; `**/Makefile` is each of them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from functools import lru_cache
from itertools import chain, takewhile

ALL = ("**",)

_TOKEN = re.compile(r"(\?)|\[(!?)(\]?[^\]/]*)\]|(.)", re.DOTALL)


def matches(pattern: str, path: str) -> bool:
    """Tell whether the whole of `path` (without a leading slash) matches."""
    return bool(_compiled(pattern).fullmatch(path))


@lru_cache(maxsize=1 << 14)
def below(patterns: tuple[str, ...], name: str) -> tuple[str, ...]:
    """Return the globs for what lies in the directory `name`.

    One of them matches a path there exactly if one of `patterns` matches `name/path`. The result is ("**",) for
    everything and () for nothing.
    """
    found: set[str] = set()
    for pattern in patterns:
        first, _, rest = pattern.partition("/")
        if first == "**":
            found.add(pattern)
            found.update(below((rest,), name) if rest else ())
        elif rest and matches(first, name):
            found.add(rest)
    return ALL if "**" in found else tuple(sorted(found))


_WILD = frozenset("*?[")
LONGEST = 256
"""Characters of the longest glob that `meet` looks into; a longer one is taken to meet every other."""


@lru_cache(maxsize=1 << 16)
def meet(one: str, other: str) -> bool:
    """Tell whether some path may match both globs.

    False is certain. True is not: two sets of characters, or a set and a question mark, are taken to share a character.
    """
    if max(len(one), len(other)) > LONGEST:
        return True
    mine, its = one.split("/"), other.split("/")
    for here, there in zip(mine, its):
        if _WILD.intersection(here) or _WILD.intersection(there):
            break
        if here != there:
            return False
    return _meet(mine, its, "**", _components_meet)


class Crowd:
    """Many globs, of which one finds quickly whether a glob meets any."""

    def __init__(self, members: Iterable[str] = ()) -> None:
        self._at: dict[tuple[str, ...], dict[str, None]] = {}
        """The globs by the directory in which they begin to be wild."""
        self._below: dict[tuple[str, ...], dict[str, None]] = {}
        """The globs by that directory and by each one above it."""
        for glob in members:
            self.add(glob)

    def add(self, glob: str) -> None:
        top = _top(glob)
        self._at.setdefault(top, {})[glob] = None
        for depth in range(len(top) + 1):
            self._below.setdefault(top[:depth], {})[glob] = None

    def meets(self, glob: str) -> bool:
        """Tell whether `meet` holds for the glob and any member: these lie in one directory, or one above the other."""
        top = _top(glob)
        above = (other for depth in range(len(top)) for other in self._at.get(top[:depth], ()))
        return any(meet(glob, other) for other in chain(self._below.get(top, ()), above))


@lru_cache(maxsize=1 << 14)
def _top(glob: str) -> tuple[str, ...]:
    """Return the components before the first one that is wild; none of a glob that `meet` does not look into."""
    parts = glob.split("/") if len(glob) <= LONGEST else ()
    return tuple(takewhile(lambda part: not _WILD.intersection(part), parts))


def _meet(one: list[str], other: list[str], star: str, share: Callable[[str, str], bool]) -> bool:
    """Tell whether one sequence may match two, in which a `star` matches any number of elements."""
    # Row i has at j whether the first i elements of `one` meet the first j of `other`.
    row = [True]
    for its in other:
        row.append(row[-1] and its == star)
    for mine in one:
        new = [row[0] and mine == star]
        for j, its in enumerate(other):
            new.append(row[j + 1] or new[j] if star in (mine, its) else row[j] and share(mine, its))
        row = new
    return row[-1]


@lru_cache(maxsize=1 << 14)
def _components_meet(one: str, other: str) -> bool:
    return _meet(_tokens(one), _tokens(other), "*", _tokens_meet)


def _tokens(part: str) -> list[str]:
    """Return the globs of one character each that a component consists of, and "*" for each run of stars."""
    first, *others = ([token[0] for token in _TOKEN.finditer(piece)] for piece in re.split(r"\*+", part))
    return first + [token for piece in others for token in ("*", *piece)]


def _tokens_meet(one: str, other: str) -> bool:
    if one == other or (_many(one) and _many(other)):
        return True
    return matches(one, other) if _many(one) else matches(other, one)


def _many(token: str) -> bool:
    """Tell whether a glob of one character may match several."""
    return token == "?" or len(token) > 1


# What stands between two stars is matched where it first fits and never tried again elsewhere (an atomic group): a
# later fit could only leave less to the rest. Plain backtracking takes minutes for a*a*a*a*b and a long name.
@lru_cache(maxsize=1024)
def _compiled(pattern: str) -> re.Pattern[str]:
    first, *others = _sections(pattern)
    if not others:
        return re.compile(first, re.DOTALL)
    last = others.pop()
    text = f"{first}{_end(last, others)}" if first else ""
    for i, section in enumerate(others):
        text += f"(?>(?:[^/]+/)*?{section}{_end(last, others[i + 1 :])})"
    return re.compile(text + (f"(?:[^/]+/)*{last}" if last else ".*"), re.DOTALL)


def _end(last: str, following: list[str]) -> str:
    return "/" if last or following else r"(?:/|\Z)"


def _sections(pattern: str) -> list[str]:
    """Return what stands between the ** components; only the first and the last may be empty."""
    sections: list[list[str]] = [[]]
    for part in pattern.split("/"):
        if part == "**":
            sections.append([])
        else:
            sections[-1].append(_component(part))
    texts = ["/".join(section) for section in sections]
    return [text for i, text in enumerate(texts) if text or i in (0, len(texts) - 1)]


def _component(part: str) -> str:
    first, *others = (_literal(piece) for piece in re.split(r"\*+", part))
    if not others:
        return first
    *middle, last = others
    return first + "".join(f"(?>[^/]*?{piece})" for piece in middle) + f"[^/]*{last}"


def _literal(piece: str) -> str:
    return "".join(_translated(token) for token in _TOKEN.finditer(piece))


def _translated(token: re.Match[str]) -> str:
    question, negated, members, literal = token.groups()
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
