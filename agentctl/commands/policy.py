"""agentctl policy: check the policy, explain it, print its schema, try other settings."""

from __future__ import annotations

import contextlib
import json
import os
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import click

from agentctl.commands import tune
from agentctl.core.policy.policy import SCHEMA, document, parse
from agentctl.core.tasks import prompt
from agentctl.core.text.printable import printable
from agentctl.core.text.schema_violations import expectation, suggestion
from agentctl.core.text.yaml_document import Problems
from agentctl.errors import AgentctlError, NotFound
from agentctl.fleet import briefing
from agentctl.git.repository import POLICY_PATH
from agentctl.terminal.parser import Given, as_command, given, group

_WIDTH = 80
_Schema = dict[str, Any]
"""A JSON Schema, or a part of one."""


@dataclass(frozen=True, slots=True)
class _Row:
    group: str
    key: str
    value: object
    is_set: bool
    schema: _Schema

    @property
    def name(self) -> str:
        return f"{self.group}.{self.key}" if self.group else self.key

    @property
    def origin(self) -> str:
        return "set" if self.is_set else "default"


def check(text: str, source: str) -> tuple[int, str]:
    """Check a policy, and return (exit status, what to print).

    The status is 0, or 3 for an invalid policy. What to print is every problem as `file:line:col: message`, or one
    line saying that the policy is valid.
    """
    try:
        policy = parse(text, source)
    except Problems as problems:
        return problems.exit, str(problems)
    gates = ", ".join(gate.name for gate in policy.gates)
    return 0, f"{source}: valid (trunk {policy.trunk}, gates: {gates})"


def explain(text: str, source: str, key: str | None = None) -> str:
    """Return every key with its value, whether that is set or a default, and what it means.

    With a key (`queue.slots`, `gates.run`) or a section (`queue`), return only that, in full.

    Raises Problems if the policy is invalid, and NotFound if there is no such key.
    """
    rows = list(_rows(document(text, source).data))
    if key is not None:
        return "\n".join(_in_full(row) for row in _named(rows, key))
    groups = dict.fromkeys(sorted((row.group for row in rows), key=bool))
    return "\n".join(_group(name, [row for row in rows if row.group == name]) for name in groups)


def schema() -> str:
    """Return the JSON Schema of a policy, for editors and other tools."""
    return json.dumps(SCHEMA, indent=2) + "\n"


def _properties(section: _Schema) -> dict[str, _Schema]:
    found: dict[str, _Schema] = section["properties"]
    return found


def _rows(data: dict[str, Any]) -> Iterator[_Row]:
    for key, part in _properties(SCHEMA).items():
        if "properties" in part:
            yield from _section(key, part, data.get(key, {}))
        elif "properties" in part.get("items", {}) and data.get(key):
            for i, item in enumerate(data[key]):
                yield from _section(f"{key}[{i}]", part["items"], item)
        else:
            yield _row("", key, part, data)


def _section(group: str, section: _Schema, data: dict[str, Any]) -> Iterator[_Row]:
    for key, part in _properties(section).items():
        yield _row(group, key, part, data)


def _row(group: str, key: str, part: _Schema, data: dict[str, Any]) -> _Row:
    return _Row(group, key, data.get(key, part.get("default")), key in data, part)


def _named(rows: list[_Row], key: str) -> list[_Row]:
    names: dict[str, list[_Row]] = {}
    for row in rows:
        array = row.group.split("[")[0]
        for name in {row.name, row.group, array, f"{array}.{row.key}".lstrip("."), row.key} - {""}:
            names.setdefault(name, []).append(row)
    if key not in names:
        message = f"no key {key!r} in a policy{suggestion(key, names)}"
        raise NotFound(message, hint="agentctl policy explain")
    return names[key]


def _group(name: str, rows: list[_Row]) -> str:
    key = max(len(row.key) for row in rows)
    room = _WIDTH - key - 14
    values = [_cut(_shown(row.value), room) for row in rows]
    width = max(map(len, values))
    lines = [f"{name}: {_about(name)}" if name else "The policy as a whole"]
    for row, value in zip(rows, values, strict=True):
        lines.append(f"  {row.key:<{key}}  {value:<{width}}  {row.origin}")
        lines.append(_wrapped(row.schema["description"], "      "))
    return "\n".join(lines) + "\n"


def _about(group: str) -> str:
    part = _properties(SCHEMA)[group.split("[")[0]]
    return str(part.get("items", part)["description"])


def _in_full(row: _Row) -> str:
    lines = [row.name, _wrapped(row.schema["description"], "    "), ""]
    lines += _field("value", f"{_shown(row.value)}  ({row.origin})")
    lines += _field("expected", expectation(row.schema))
    if "default" in row.schema:
        lines += _field("default", _shown(row.schema["default"]))
    return "\n".join(lines) + "\n"


def _field(label: str, text: str) -> list[str]:
    head, rest = f"    {label:<10}", " " * 14
    return textwrap.wrap(text, _WIDTH, initial_indent=head, subsequent_indent=rest, break_on_hyphens=False)


def _wrapped(text: str, indent: str) -> str:
    return textwrap.fill(text, _WIDTH, initial_indent=indent, subsequent_indent=indent, break_on_hyphens=False)


def _cut(text: str, room: int) -> str:
    return text if len(text) <= room else text[: room - 3] + "..."


def _shown(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return ", ".join(f"{name}={_shown(text)}" for name, text in value.items()) or "{}"
    if isinstance(value, list):
        return ", ".join(map(_shown, value)) or "[]"
    return printable(str(value), 4096) or '""'


@group(
    "policy",
    "agentctl policy check\nagentctl policy check policies/strict.yaml\nagentctl policy explain queue.slots\n"
    "agentctl policy schema > policy.schema.json\nagentctl policy tune",
)
def policy_group() -> None:
    """Check the policy, explain it, try other settings."""


def _source(given: Given, file: str | None) -> tuple[str, str]:
    """Return (text, name) of the policy: of a file, else of the one in the worktree, else of trunk's."""
    top = None if file else given.hub.top
    path = file or (os.path.join(top, POLICY_PATH) if top else None)
    if path and (file or os.path.exists(path)):
        try:
            with open(path, encoding="utf-8") as opened:
                return opened.read(), file or POLICY_PATH
        except (OSError, UnicodeDecodeError) as error:
            raise NotFound(f"{path}: {error}", hint="agentctl init") from None
    tip = given.tip
    data = given.hub.objects.read(given.hub.objects.commit(tip).tree, POLICY_PATH) or b""
    return data.decode(errors="replace"), f"{given.trunk}:{POLICY_PATH}"


def _template(given: Given) -> tuple[str, str]:
    """Return (text, name) of the template of prompts in the worktree, or of trunk's."""
    top = given.hub.top
    with contextlib.suppress(OSError, UnicodeDecodeError):
        if top:
            with open(os.path.join(top, briefing.TEMPLATE), encoding="utf-8") as opened:
                return opened.read(), briefing.TEMPLATE
    with contextlib.suppress(AgentctlError):
        text, path = briefing.template(given.hub, given.tip)
        return text, f"{given.trunk}:{path}"
    return prompt.TEMPLATE, ""


@policy_group.add_command
@as_command("check", "agentctl policy check\nagentctl policy check policies/strict.yaml")
@click.argument("file", required=False, type=click.Path())
@given
def check_command(given: Given, file: str | None) -> int:
    """Say whether the policy is valid, or what is wrong with it.

    So it does of .agentctl/prompt.md, the template of prompts. Each problem is told as file:line:column, and the exit status is 3.
    """
    text, source = _source(given, file)
    misspelt = [] if file else prompt.misspelt(*_template(given))
    if misspelt and given.json:
        raise Problems(misspelt)
    if not given.json:
        status, told = check(text, source)
        given.show("\n".join([told, *map(str, misspelt)]))
        return status or (Problems.exit if misspelt else 0)
    policy = parse(text, source)
    given.emit({"source": source, "trunk": policy.trunk, "gates": [gate.name for gate in policy.gates]})
    return 0


@policy_group.add_command
@as_command("explain", "agentctl policy explain\nagentctl policy explain queue.slots")
@click.argument("key", required=False)
@given
def explain_command(given: Given, key: str | None) -> int:
    """Show what the policy says and means, or one KEY of it in full."""
    text, source = _source(given, None)
    if given.json:
        rows = list(_rows(document(text, source).data))
        given.emit(
            [
                {"key": row.name, "value": row.value, "set": row.is_set, "meaning": row.schema["description"]}
                for row in (_named(rows, key) if key else rows)
            ]
        )
    else:
        given.show(explain(text, source, key))
    return 0


@policy_group.add_command
@as_command("schema", "agentctl policy schema > policy.schema.json")
@given
def schema_command(given: Given) -> int:
    """Print the JSON Schema of the policy, for editors."""
    given.show(schema(), end="")
    return 0


policy_group.add_command(tune.command)

command = policy_group
