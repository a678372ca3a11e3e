"""YAML that people write, read strictly: all problems at once, each with its place.

The language is a small one: one document of mappings, lists, text, numbers, true, false and nothing. Duplicate keys,
anchors, aliases, tags, merge keys and keys that are not text are refused, since each can make a file say something
other than it seems to say. Plain words follow YAML 1.2, so `no`, `on` and `2024-01-01` are text.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

from agentctl.core.text.json_form import Plain
from agentctl.core.text.schema_violations import Path, shown, violations
from agentctl.errors import PolicyError

LIMIT = 1 << 20
"""The most bytes of a document."""
DEPTH = 32
REPORTED = 100

_REFUSED = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]")
_ESCAPED = re.compile("[\x00\ud800-\udfff]")
_WORDS = {"true": True, "false": False, "null": None, "~": None, "": None}
_INTEGER = re.compile(r"[-+]?[0-9]+")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_NOT_FINITE = re.compile(r"[-+]?\.inf|\.nan", re.IGNORECASE)
_DIGITS = 18


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    source: str
    line: int
    col: int
    """The line and the column count from 1, the column in characters."""
    message: str

    def __str__(self) -> str:
        return f"{self.source}:{self.line}:{self.col}: {self.message}"


class Problems(PolicyError):
    """{message}"""  # noqa: D400, D415

    hint = "mend the lines named, then run the same command again"

    def __init__(self, problems: Iterable[Problem]) -> None:
        found = sorted(set(problems))
        self.problems = found[:REPORTED]
        if len(found) > REPORTED:
            last = found[REPORTED]
            self.problems.append(Problem(last.source, last.line, last.col, "more problems follow"))
        super().__init__("\n".join(map(str, self.problems)))


@dataclass(frozen=True, slots=True)
class Document:
    """Plain data that still knows where each part of it was written."""

    source: str
    data: Any
    root: Any
    """The root of PyYAML's graph of nodes."""

    def problem(self, message: str, path: Path = (), at_key: bool = False) -> Problem:
        """Return a problem at the value, or at the key, that `path` leads to."""
        return _problem(self.source, _mark(self.root, path, at_key), message)


def load(text: str, source: str, schema: Plain) -> Any:
    """Return the plain data of a document that keeps to `schema`. Raise Problems."""
    return read(text, source, schema).data


def read(text: str, source: str, schema: Plain) -> Document:
    """Return what `load` reads as a document, for those that look for further problems themselves."""
    text = text.removeprefix("\ufeff")
    _refuse_unreadable(text, source)
    root = _composed(text, source)
    problems: list[Problem] = []
    document = Document(source, _plain(root, source, problems), root)
    taken = {(found.line, found.col) for found in problems}
    breaches = (
        document.problem(breach.message, breach.path, breach.at_key)
        for breach in islice(violations(document.data, schema), REPORTED + 1)
    )
    problems += [found for found in breaches if (found.line, found.col) not in taken]
    if problems:
        raise Problems(problems)
    return document


def _problem(source: str, mark: Any, message: str) -> Problem:
    line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
    return Problem(source, line, column, message)


def _refuse_unreadable(text: str, source: str) -> None:
    if len(text) > LIMIT or len(text.encode("utf-8", "surrogatepass")) > LIMIT:
        raise Problems([Problem(source, 1, 1, f"longer than {LIMIT} bytes")])
    found = _REFUSED.search(text)
    if found:
        before = text[: found.start()]
        column = found.start() - (before.rfind("\n") + 1) + 1
        message = f"character U+{ord(found[0]):04X} is not allowed"
        raise Problems([Problem(source, before.count("\n") + 1, column, message)])


def _composed(text: str, source: str) -> Any:
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        # The events come first: the composer recurses, and forgets anchors and tags.
        problems = list(islice(_beyond_plain(yaml.parse(text, loader), source), REPORTED + 1))
        if not problems:
            return yaml.compose(text, loader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
        problems = [_problem(source, mark, _syntax(error, text, mark))]
    except (ValueError, OverflowError):
        # The pure Python parser of PyYAML 6.0 raises these from chr() and int(), for what "\U..." and %YAML hold.
        problems = [Problem(source, 1, 1, "not YAML: an escape or a version is out of range")]
    raise Problems(problems)


def _beyond_plain(events: Iterator[Any], source: str) -> Iterator[Problem]:
    import yaml

    depth = documents = 0
    for event in events:
        refused = ""
        if isinstance(event, yaml.AliasEvent):
            refused = f"alias {shown(f'*{event.anchor}')} is not allowed: write the value again"
        elif getattr(event, "anchor", None):
            refused = f"anchor {shown('&' + event.anchor)} is not allowed"
        elif getattr(event, "tag", None):
            refused = f"tag {shown(event.tag)} is not allowed"
        if refused:
            yield _problem(source, event.start_mark, refused)
        documents += isinstance(event, yaml.DocumentStartEvent)
        depth += isinstance(event, yaml.CollectionStartEvent)
        depth -= isinstance(event, yaml.CollectionEndEvent)
        if documents > 1:
            yield _problem(source, event.start_mark, "a second document begins here: keep one")
            return
        if depth > DEPTH:
            yield _problem(source, event.start_mark, f"nested more than {DEPTH} deep")
            return


def _syntax(error: Any, text: str, mark: Any) -> str:
    problem = getattr(error, "problem", None) or "it cannot be read"
    char = text[mark.index : mark.index + 1] if mark else ""
    if char == "\t":
        return "not YAML: a tab where only spaces may indent"
    if char in ("@", "`", "%") and "start any token" in problem:
        return f"not YAML: a value that begins with {char} needs quotes"
    if "mapping values are not allowed" in problem:
        return "not YAML: a second ': ' in one value (put the value in quotes)"
    return "not YAML: " + "".join(c for c in problem if c.isprintable())


def _plain(node: Any, source: str, problems: list[Problem]) -> Any:
    """Return the data of a node. The recursion ends, because the depth was checked on the events."""
    import yaml

    if node is None:
        return None
    if isinstance(node, yaml.MappingNode):
        return _mapping(node, source, problems)
    if isinstance(node, yaml.SequenceNode):
        return [_plain(item, source, problems) for item in node.value]
    try:
        return _scalar(node)
    except ValueError as error:
        problems.append(_problem(source, node.start_mark, str(error)))
        return None


def _mapping(node: Any, source: str, problems: list[Problem]) -> dict[str, Any]:
    data: dict[str, Any] = {}
    lines: dict[str, int] = {}
    for key_node, value_node in node.value:
        value = _plain(value_node, source, problems)
        try:
            key = _key(key_node)
            if key in data:
                raise ValueError(f"duplicate key {shown(key)}, first on line {lines[key]}")
        except ValueError as error:
            problems.append(_problem(source, key_node.start_mark, str(error)))
            continue
        data[key] = value
        lines[key] = key_node.start_mark.line + 1
    return data


def _key(node: Any) -> str:
    import yaml

    if not isinstance(node, yaml.ScalarNode):
        raise ValueError("a key must be text, not a list or a mapping")
    key = _scalar(node)
    if not isinstance(key, str):
        raise ValueError(f"a key must be text: put {node.value[:60] or 'it'} in quotes")
    if key == "<<" and not node.style:
        raise ValueError("the merge key << is not allowed: write the keys out")
    return key


def _scalar(node: Any) -> Any:
    """Return the value of a plain or quoted text. Raise ValueError, in words for the writer, if it is not allowed."""
    text = node.value
    if _ESCAPED.search(text):
        raise ValueError("text must not hold a zero byte or half a surrogate pair")
    if node.style:
        return text
    word = text if text in _WORDS else text.lower()
    if word in _WORDS and text in (word, word.upper(), word.capitalize()):
        return _WORDS[word]
    if _INTEGER.fullmatch(text):
        if len(text.lstrip("+-")) > _DIGITS:
            raise ValueError("the number is too large")
        return int(text)
    return _float(text)


def _float(text: str) -> float | str:
    if _NOT_FINITE.fullmatch(text):
        raise ValueError(f"{text} is not a number that can be used here")
    if not _FLOAT.fullmatch(text):
        return text
    if not math.isfinite(float(text)):
        raise ValueError("the number is too large")
    return float(text)


def _mark(root: Any, path: Path, at_key: bool) -> Any:
    """Return where the value, or its key, begins; if it does not exist, where the nearest that exists begins."""
    node, mark = root, root.start_mark if root else None
    for i, step in enumerate(path):
        found = _child(node, step)
        if found is None:
            return mark
        key, node = found
        mark = key.start_mark if at_key and i == len(path) - 1 else node.start_mark
    return mark


def _child(node: Any, step: str | int) -> tuple[Any, Any] | None:
    import yaml

    if isinstance(node, yaml.SequenceNode) and isinstance(step, int):
        return node.value[step], node.value[step]
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value == step:
                return key, value
    return None
