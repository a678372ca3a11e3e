"""Where plain data breaks a JSON Schema, in plain words.

`expectation` says what a schema expects, from the schema itself. The annotation `x-expected` says it where type, range
and choices are not enough.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from agentctl.core.text.json_form import Plain

Path = tuple[str | int, ...]

_TYPES = {
    "string": "text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "array": "a list",
    "object": "a mapping of keys to values",
    "null": "nothing",
}


@dataclass(frozen=True, slots=True)
class Violation:
    path: Path
    at_key: bool
    """True if the key is wrong, not its value."""
    message: str


def violations(data: Any, schema: Plain) -> Iterator[Violation]:
    """Yield every breach of `schema`, in no particular order, found only as it is asked for."""
    for error in _validator(schema).iter_errors(data):
        yield from _explained(error)


def _validator(schema: Plain) -> Any:
    from jsonschema import Draft202012Validator, validators

    checker = Draft202012Validator.TYPE_CHECKER.redefine(
        "integer", lambda _, value: isinstance(value, int) and not isinstance(value, bool)
    )
    extend: Callable[..., Any] = validators.extend
    return extend(Draft202012Validator, type_checker=checker)(schema)


def _explained(error: Any) -> Iterator[Violation]:
    path = tuple(error.absolute_path)
    if error.validator == "additionalProperties":
        yield from _unknown_keys(path, error.instance, error.schema)
    elif error.validator == "required":
        missing = [key for key in error.validator_value if key not in error.instance]
        yield from (Violation(path, False, f"{_where(path)}missing key '{key}'") for key in missing)
    elif "propertyNames" in error.absolute_schema_path:
        message = f"{_where(path)}{shown(error.instance)} is not {expectation(error.schema)}"
        yield Violation((*path, error.instance), True, message)
    else:
        yield Violation(path, False, _where(path) + _wrong_value(error.instance, error.schema))


def _unknown_keys(path: Path, instance: Plain, schema: Plain) -> Iterator[Violation]:
    known = list(schema.get("properties", {}))
    for key in instance:
        if key not in known:
            message = f"{_where(path)}unknown key {shown(key)}{suggestion(key, known)}"
            yield Violation((*path, key), True, message)


def _wrong_value(value: Any, schema: Plain) -> str:
    wanted = f"expected {expectation(schema)}"
    if value is None:
        return f"{wanted}, but found nothing"
    return f"{wanted}, not {shown(value)}" + _advice(value, schema)


def _advice(value: Any, schema: Plain) -> str:
    if isinstance(value, str):
        return suggestion(value, schema.get("enum", ()))
    plain_text = schema.get("type") == "string" and "x-expected" not in schema
    return " (put it in quotes)" if plain_text and isinstance(value, bool | int | float) else ""


def expectation(schema: Plain) -> str:
    """Return what a value must be, in words that follow the word "expected"."""
    if "x-expected" in schema:
        return str(schema["x-expected"])
    if "const" in schema:
        return shown(schema["const"])
    if "enum" in schema:
        choices = ", ".join(map(str, schema["enum"]))
        return f"one of {choices}" if len(schema["enum"]) > 1 else choices
    types = schema.get("type", [])
    names = [types] if isinstance(types, str) else types
    return " or ".join(_TYPES[name] for name in names) + _range(schema)


def _range(schema: Plain) -> str:
    low, high = schema.get("minimum"), schema.get("maximum")
    if low is not None and high is not None:
        return f" from {low} to {high}"
    if low is not None:
        return f" of at least {low}"
    items = schema.get("minItems")
    return f" of {items} or more" if items else ""


def suggestion(word: str, known: Any) -> str:
    """Return "; did you mean 'x'?" if one of the known words is near, else nothing.

    Nothing is searched where it would take long.
    """
    if len(word) > 64 or len(known) > 1000:
        return ""
    near = difflib.get_close_matches(word, [w for w in known if isinstance(w, str)], n=1)
    return f"; did you mean '{near[0]}'?" if near else ""


def shown(value: Any) -> str:
    """Return a value as its writer knows it, on one line, cut if it is long."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict | list):
        kind = "mapping" if isinstance(value, dict) else "list"
        return f"a {kind}" if value else f"an empty {kind}"
    text = value if isinstance(value, str) else str(value)
    cut = text if len(text) <= 60 else text[:57] + "..."
    return repr(cut) if isinstance(value, str) else cut


def _where(path: Path) -> str:
    steps = [f"[{step}]" if isinstance(step, int) else "." + _plain(step) for step in path]
    return "".join(steps).removeprefix(".") + ": " if steps else ""


def _plain(key: str) -> str:
    return key if key.isprintable() and len(key) <= 60 and " " not in key else shown(key)
