"""From values to JSON and back, as strictly as the types say: whoever can write refs can write anything into them.

A `Struct` is an object of JSON. An unknown or missing key, or a value of another type, is an error. A field that has
its default value is left out. JSON is UTF-8, so what UTF-8 cannot hold is escaped when it is written. Names of files
have to come back as they were, so they are quoted, as Git quotes them (`quoted`).
"""

from __future__ import annotations

import dataclasses
import re
from typing import Annotated, Any, TypeVar, overload

import msgspec

from agentctl.core.text.printable import decoded, encoded

__all__ = ["Oid", "Plain", "Struct", "dump", "facts", "load", "quoted", "replace", "unquoted"]

Kind = TypeVar("Kind")

Plain = dict[str, Any]
"""An object of JSON."""

Oid = Annotated[str, msgspec.Meta(pattern=r"\A[0-9a-f]{40}\Z")]
"""The id of an object of Git."""


class Struct(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A value with a form in JSON."""


def dump(value: object) -> bytes:
    """Return a line of JSON; the same value always gives the same bytes."""
    try:
        return msgspec.json.encode(value, order="deterministic") + b"\n"
    except UnicodeEncodeError:
        return msgspec.json.encode(_clean(value), order="deterministic") + b"\n"


def _clean(value: Any) -> Any:
    """Return the value with bytes that are not text escaped."""
    if isinstance(value, str):
        return _ODD.sub(lambda found: f"\\x{ord(found[0]) & 0xFF:02x}", value)
    if isinstance(value, msgspec.Struct):
        return replace(value, **{name: _clean(getattr(value, name)) for name in value.__struct_fields__})
    if isinstance(value, (tuple, list)):
        return type(value)(map(_clean, value))
    return {_clean(key): _clean(one) for key, one in value.items()} if isinstance(value, dict) else value


@overload
def load(kind: type[Kind], data: bytes) -> Kind: ...
@overload
def load(kind: Any, data: bytes) -> Any: ...
def load(kind: Any, data: bytes) -> Any:
    """Return the value that the JSON holds.

    Raise a ValueError that names the place, also if the JSON is nested too deeply.
    """
    try:
        return msgspec.json.decode(data, type=kind)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    except msgspec.ValidationError as error:
        what, _, where = str(error).replace("`", "").partition(" - at $")
        raise ValueError(f"{where.lstrip('.')}: {what[0].lower()}{what[1:]}" if where else what) from None
    except msgspec.DecodeError as error:
        what = str(error).removeprefix("JSON is malformed: ")
        half = "half of a surrogate pair stands for no character"
        raise ValueError(f"it is no JSON: {half if _HALF.search(data) else what[0].lower() + what[1:]}") from None


def replace(value: Kind, **changes: object) -> Kind:
    """Return the `Struct` or the dataclass with other values in some fields."""
    if isinstance(value, msgspec.Struct):
        return msgspec.structs.replace(value, **changes)
    return dataclasses.replace(value, **changes)  # type: ignore[type-var]


def facts(value: object) -> Any:
    """Return a value as dictionaries and lists, for `--json`.

    Fields with default values are included, and the tags that tell kinds apart are not.
    """
    if isinstance(value, msgspec.Struct):
        return {name: facts(getattr(value, name)) for name in value.__struct_fields__}
    if dataclasses.is_dataclass(value):
        return {field.name: facts(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, (tuple, list)):
        return [facts(one) for one in value]
    return {name: facts(one) for name, one in value.items()} if isinstance(value, dict) else value


_HALF = re.compile(rb"\\ud[89ab][0-9a-f]{2}(?!\\ud[c-f])|(?<!\\ud[89ab][0-9a-f]{2})\\ud[c-f]", re.IGNORECASE)
_ODD = re.compile("[\ud800-\udfff]")
_ESCAPED = re.compile(rb"\\([0-3][0-7]{2}|.)", re.DOTALL)


def quoted(path: str) -> str:
    """Return a path, whose undecodable bytes are surrogates, in a form that UTF-8 can hold.

    A path that has such bytes, or begins with a quote, is put in quotes. The bytes are written in octal, and the quotes
    and backslashes in the path are escaped. Any other path stays as it is.
    """
    if not _ODD.search(path) and not path.startswith('"'):
        return path
    octal = "".join(f"\\{ord(c) & 0xFF:03o}" if _ODD.match(c) else "\\" + c if c in '"\\' else c for c in path)
    return f'"{octal}"'


def unquoted(path: str) -> str:
    """Return the path that `quoted` was given."""
    if not path.startswith('"'):
        return path
    inner = _ESCAPED.sub(lambda found: bytes([int(found[1], 8)]) if len(found[1]) == 3 else found[1], encoded(path[1:-1]))
    return decoded(inner)
