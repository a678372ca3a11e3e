"""From JSON back to the dataclass that it was made from, as strictly as the annotations say.

Whoever can write refs can write anything into them.
"""

from __future__ import annotations

import json
from dataclasses import MISSING, fields, is_dataclass
from enum import Enum
from functools import cache
from math import isfinite
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

PLAIN: dict[type, tuple[type, ...]] = {str: (str,), int: (int,), float: (int, float), bool: (bool,), dict: (dict,)}


def loads(data: bytes | str) -> Any:
    """Any JSON value. Raises ValueError, also for one that is nested too deeply."""
    try:
        return json.loads(data)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def built(kind: Any, value: Any, where: str = "it") -> Any:
    """`value` as a `kind`: a plain type, an enumeration, a tuple (a list in JSON), a dataclass
    (an object), or one of several. Raises ValueError naming the place that does not fit."""
    origin = get_origin(kind)
    if is_dataclass(kind):
        return _object(kind, value, where)
    if origin in (Union, UnionType):
        others = [one for one in get_args(kind) if one is not NoneType]
        return None if value is None and len(others) < len(get_args(kind)) else built(others[0], value, where)
    if origin is tuple:
        return _tuple(get_args(kind), value, where)
    plain = origin or kind
    if isinstance(plain, type) and issubclass(plain, Enum):
        return plain(value)
    if not isinstance(value, PLAIN[plain]) or (isinstance(value, bool) and plain is not bool):
        raise ValueError(f"{where} is no {plain.__name__}")
    if plain is float and not (abs(value) < 1e300 and isfinite(value)):
        raise ValueError(f"{where} is out of range")
    return value


def _object(kind: type, value: Any, where: str) -> Any:
    known = _parts(kind)
    if not isinstance(value, dict):
        raise ValueError(f"{where} is no object")
    wrong = sorted(value.keys() - known.keys()) + sorted(
        name for name, (_, needed) in known.items() if needed and name not in value)
    if wrong:
        raise ValueError(f"{where} has too much or too little: {', '.join(wrong[:5])}")
    return kind(**{name: built(known[name][0], part, f"{where}.{name}") for name, part in value.items()})


def _tuple(kinds: tuple[Any, ...], value: Any, where: str) -> tuple:
    if not isinstance(value, (list, tuple)):
        raise ValueError(f"{where} is no list")
    if kinds[-1] is Ellipsis:
        return tuple(built(kinds[0], part, f"{where}[{n}]") for n, part in enumerate(value))
    if len(value) != len(kinds):
        raise ValueError(f"{where} has not {len(kinds)} parts")
    return tuple(built(kind, part, f"{where}[{n}]") for n, (kind, part) in enumerate(zip(kinds, value)))


@cache
def _parts(kind: type) -> dict[str, tuple[Any, bool]]:
    """(annotation, whether it has no default) by name."""
    hints = get_type_hints(kind)
    return {f.name: (hints[f.name], f.default is MISSING and f.default_factory is MISSING)
            for f in fields(kind) if f.init}
