"""The kinds of values that keys of a policy have, as JSON Schema."""

from __future__ import annotations

from typing import Any

from agentctl.core.text.json_form import Plain
from agentctl.core.text.units import DURATION, LARGEST, SIZE

# The lookahead `(?!\n)` stands here because Python's `$` also matches before a last newline.
END = r"$(?!\n)"
NAME = r"^(?!.*\.lock$)[A-Za-z0-9](?:[A-Za-z0-9_-]|\.(?!\.|$)){0,99}" + END
REMOTE = r"\A([A-Za-z0-9][A-Za-z0-9._-]*)?\Z"
BRANCH = (
    r"^(?!refs/|agent/|HEAD$|@$|[-./])(?!.*(?:\.\.|//|@\{|/\.|\.lock(?:/|$)|[./]$))"
    r"[^\x00-\x20\x7f~^:?*\[\\]{1,200}" + END
)
PATH = r"^(?![/\\!-])(?!(?:.*/)?(?:\.{1,2}|\.git|)(?:/|$))[^\x00-\x1f\x7f]{1,1024}" + END


def text(description: str, default: str | None = None, **rest: Any) -> Plain:
    return with_default({"type": "string", "description": description, **rest}, default)


def with_default(schema: Plain, default: Any) -> Plain:
    return schema if default is None else {**schema, "default": default}


def number(description: str, default: int, low: int, high: int) -> Plain:
    limits = {"minimum": low, "maximum": high}
    return {"type": "integer", "description": description, "default": default, **limits}


def choice(description: str, default: str, *choices: str) -> Plain:
    return text(description, default, enum=list(choices))


def duration(description: str, default: str) -> Plain:
    words = "a duration such as 90s, 10m or 2h"
    unit = {"x-expected": words, "x-unit": "seconds"}
    return text(description, default, pattern=DURATION, **unit)


def size(description: str, default: str | int) -> Plain:
    return {
        "type": ["string", "integer"],
        "description": description,
        "default": default,
        "pattern": SIZE,
        "minimum": 0,
        "maximum": LARGEST,
        "x-expected": "a size such as 64KiB, 100MiB or 2GiB, or a number of bytes",
        "x-unit": "bytes",
    }


def globs(description: str, default: list[str] | None) -> Plain:
    """Return the schema of a list of globs; one without a default must have at least one."""
    words = "a glob relative to the top, such as src/** (no / at either end, no .., no !)"
    item = {"type": "string", "pattern": PATH, "x-expected": words}
    globs = {"type": "array", "description": description, "items": item}
    return {**globs, "minItems": 1} if default is None else {**globs, "default": default}


def paths(description: str) -> Plain:
    words = "a path relative to the top, such as .venv (no / at either end, no ..)"
    item = {"type": "string", "pattern": PATH, "x-expected": words}
    return {"type": "array", "description": description, "default": [], "items": item}


VARIABLE = "[A-Za-z_][A-Za-z0-9_]*"
"""The names of environment variables, as a regular expression."""


def env(description: str) -> Plain:
    return {
        "type": "object",
        "description": description,
        "default": {},
        "propertyNames": {"pattern": f"^{VARIABLE}" + END, "x-expected": "a name of a variable (letters, digits and _)"},
        "additionalProperties": {"type": "string"},
    }


def variables(description: str) -> Plain:
    words = "a name of a variable such as DATABASE_URL, or the beginning of names and a * such as AWS_*"
    item = {"type": "string", "pattern": rf"^{VARIABLE}\*?" + END, "x-expected": words}
    return {"type": "array", "description": description, "default": [], "items": item}


def section(description: str, properties: Plain, required: tuple[str, ...] = ()) -> Plain:
    section = {"type": "object", "description": description, "properties": properties, "additionalProperties": False}
    return {**section, "required": list(required)} if required else {**section, "default": {}}


NAME_WORDS = "a name of letters, digits, '.', '_' and '-' (at most 100)"
