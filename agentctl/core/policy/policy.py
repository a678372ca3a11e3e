"""A hub's policy: how changes are judged and agents are run.

It is read from trunk's tip, never from an agent's branch. Durations are seconds,
sizes are bytes; keys, defaults and their meaning stand in `policy_schema`.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from agentctl.core.policy.schema import PLACEHOLDERS, SCHEMA
from agentctl.core.text.globs import ALL
from agentctl.core.text.json_form import Plain
from agentctl.core.text.schema_violations import suggestion
from agentctl.core.text.units import duration, size
from agentctl.core.text.yaml_document import Document, Problem, Problems, read

__all__ = [
    "SCHEMA",
    "Agents",
    "Gate",
    "Limits",
    "Part",
    "Policy",
    "QueueSettings",
    "Slot",
    "completed",
    "document",
    "duration",
    "fingerprint",
    "in_parts",
    "parse",
    "parts",
    "size",
]


@dataclass(frozen=True, slots=True)
class Gate:
    name: str
    run: str
    timeout: float
    env: dict[str, str]
    paths: tuple[str, ...] = ()
    """Globs: all that its verdict depends on. Empty: the whole tree."""
    pass_env: tuple[str, ...] = ()
    """Patterns of `environment`; so they are for slot and agents."""


@dataclass(frozen=True, slots=True)
class Slot:
    setup: str
    setup_on: tuple[str, ...]
    keep: tuple[str, ...]
    pass_env: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class QueueSettings:
    slots: int
    batch: int
    rejection: str
    retries: int


@dataclass(frozen=True, slots=True)
class Agents:
    adapter: str
    command: tuple[str, ...]
    count: int
    setup: str
    timeout: float
    attempts: int
    dirty: str
    on_failure: str
    backoff: float
    """Seconds."""
    env: dict[str, str]
    silence: float
    pass_env: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Limits:
    change_files: int
    change_bytes: int
    depth: int
    path: int
    message: int
    allow_submodules: bool
    memory: int
    """0 is no limit; so it is for `output`."""
    output: int
    allow_secrets: tuple[str, ...] = ()
    """Globs."""
    processes: int = 0
    file_size: int = 0


@dataclass(frozen=True, slots=True)
class Policy:
    version: int
    trunk: str
    foreign: str
    strategy: str
    gates: tuple[Gate, ...]
    slot: Slot
    queue: QueueSettings
    agents: Agents
    protect: tuple[str, ...]
    limits: Limits


@dataclass(frozen=True, slots=True)
class Part:
    """Gates whose verdicts depend on the same paths of a tree."""

    gates: tuple[str, ...]
    """Their names."""
    fingerprint: str
    """Of these gates alone."""
    paths: tuple[str, ...]
    """Globs."""


def parse(text: str, source: str) -> Policy:
    """The policy written in `text`, defaults filled in. Raises Problems."""
    values = completed(SCHEMA, document(text, source).data)
    return Policy(
        version=values["version"],
        trunk=values["trunk"],
        foreign=values["foreign"],
        strategy=values["strategy"],
        gates=tuple(Gate(**gate) for gate in values["gates"]),
        slot=Slot(**values["slot"]),
        queue=QueueSettings(**values["queue"]),
        agents=Agents(**values["agents"]),
        protect=values["protect"],
        limits=Limits(**values["limits"]),
    )


def document(text: str, source: str) -> Document:
    """The policy as it was written, proven valid. Raises Problems."""
    found = read(text, source, SCHEMA)
    problems = [*_same_names(found), *_misspelt_placeholders(found), *_too_large(found)]
    if problems:
        raise Problems(problems)
    return found


def completed(schema: Plain, value: Any) -> Any:
    """A valid value with its defaults filled in and its units converted."""
    if "properties" in schema:
        return {key: completed(part, value.get(key, part.get("default"))) for key, part in schema["properties"].items()}
    if schema["type"] == "array":
        return tuple(completed(schema["items"], item) for item in value)
    unit = schema.get("x-unit")
    return duration(value) if unit == "seconds" else size(value) if unit == "bytes" else value


_USUAL = completed(SCHEMA["properties"]["limits"], {})
"""The limits where nothing is said."""


def fingerprint(policy: Policy) -> str:
    """Names all that can influence a gate's verdict of a tree; 16 hex digits.

    A verdict counts only under the fingerprint it was given with. What merely decides
    which changes are admitted, tested together or landed is left out. So are keys that came
    later, while they say nothing new: what was judged before they came still counts.
    """
    limits = policy.limits
    parts = {
        "gates": [_covered(gate, COVERED["gates"], LATER["gates"]) for gate in policy.gates],
        "slot": _covered(policy.slot, COVERED["slot"], LATER["slot"]),
        **{key: getattr(limits, key) for key in COVERED["limits"]},
        **{key: value for key in LATER["limits"] if (value := getattr(limits, key)) != _USUAL[key]},
    }
    text = json.dumps(parts, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


COVERED = {"gates": ("name", "run", "timeout", "env"), "slot": ("setup", "setup_on", "keep"), "limits": ("memory", "output")}
"""The keys of each section that a fingerprint names: a new one is not among them until it is written here."""
LATER = {"gates": ("paths", "pass_env"), "slot": ("pass_env",), "limits": ("processes", "file_size")}
"""Those that came later: named where they say something."""


def _covered(section: Gate | Slot, always: tuple[str, ...], later: tuple[str, ...]) -> dict[str, Any]:
    values = {key: getattr(section, key) for key in (*always, *later)}
    return {key: value for key, value in values.items() if value or key in always}


def in_parts(policy: Policy) -> bool:
    """True if not all gates judge the whole tree."""
    return any(gate.paths for gate in policy.gates)


def parts(policy: Policy) -> tuple[Part, ...]:
    """What can be judged apart: each gate that names paths, and all that name none together.

    These run one after the other in one slot, and one may count on what another left there.
    What makes the slot's setup run again belongs to every part.
    """
    whole = tuple(gate for gate in policy.gates if not gate.paths)
    groups: list[tuple[tuple[Gate, ...], tuple[str, ...]]] = [(whole, ALL)] if whole else []
    groups += [((gate,), (*gate.paths, *policy.slot.setup_on)) for gate in policy.gates if gate.paths]
    return tuple(
        Part(tuple(gate.name for gate in gates), fingerprint(replace(policy, gates=gates)), paths) for gates, paths in groups
    )


def _same_names(found: Document) -> Iterator[Problem]:
    seen: set[str] = set()
    for i, gate in enumerate(found.data["gates"]):
        if gate["name"] in seen:
            message = f"gates[{i}].name: another gate is already called '{gate['name']}'"
            yield found.problem(message, ("gates", i, "name"))
        seen.add(gate["name"])


def _misspelt_placeholders(found: Document) -> Iterator[Problem]:
    """Only near misses: braces may also be meant for the program that is started."""
    for i, word in enumerate(found.data.get("agents", {}).get("command", [])):
        for name in re.findall(r"\{([a-z_-]{1,40})\}", word):
            near = "" if name in PLACEHOLDERS else suggestion(name, PLACEHOLDERS)
            if near:
                message = f"agents.command[{i}]: unknown placeholder '{name}'{near}"
                yield found.problem(message, ("agents", "command", i))


def _too_large(found: Document) -> Iterator[Problem]:
    for section, schema in SCHEMA["properties"].items():
        for key, part in schema.get("properties", {}).items():
            value = found.data.get(section, {}).get(key)
            is_size = value is not None and part.get("x-unit") == "bytes"
            if is_size and size(value) > part["maximum"]:
                yield found.problem(f"{section}.{key}: the size is too large", (section, key))
