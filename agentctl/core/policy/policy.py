"""A hub's policy: how changes are judged and agents are run.

It is read from trunk's tip, never from an agent's branch. Durations are in seconds, sizes in bytes. The keys, their
defaults and their meaning stand in `core.policy.schema`.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from agentctl.core.policy.schema import ANYBODY, PERSON, PLANNER, REVIEWER, SCHEMA, WORKER
from agentctl.core.policy.schema_of_agents import PLACEHOLDERS
from agentctl.core.text.globs import ALL
from agentctl.core.text.json_form import Plain
from agentctl.core.text.schema_violations import suggestion
from agentctl.core.text.units import duration, size
from agentctl.core.text.yaml_document import Document, Problem, Problems, read

__all__ = [
    "SCHEMA",
    "Agents",
    "ApprovalRule",
    "Budget",
    "Budgets",
    "Gate",
    "Headroom",
    "Limits",
    "Part",
    "Policy",
    "QueueSettings",
    "Role",
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
    """The globs of all that the verdict depends on; empty for the whole tree."""
    pass_env: tuple[str, ...] = ()
    """Patterns as in `core.policy.environment`, here and in slot and agents."""


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
class Budget:
    """Limits of what may be used up; 0 is none."""

    turns: int = 0
    tokens: int = 0
    money: float = 0.0
    """US dollars."""
    time: float = 0.0
    """Seconds."""


@dataclass(frozen=True, slots=True)
class Headroom:
    """What must be left for another session to start."""

    disk: int = 0
    """Bytes."""
    memory: int = 0
    """Bytes."""
    load: float = 0.0
    """The most processes that want each processor; 0 for any number."""


@dataclass(frozen=True, slots=True)
class Budgets:
    session: Budget = Budget()
    task: Budget = Budget()
    fleet: Budget = Budget()


@dataclass(frozen=True, slots=True)
class Role:
    """What a kind of agents is for; what it leaves empty is as in `Agents`."""

    does: str = "work"
    """work, plan or review."""
    adapter: str = ""
    command: tuple[str, ...] = ()
    model: str = ""
    env: dict[str, str] = field(default_factory=dict)
    count: int = 0
    """How many of its sessions run at a time; 0 for as many as there are agents."""
    budget: Budget = Budget()


@dataclass(frozen=True, slots=True)
class Agents:
    adapter: str
    command: tuple[str, ...]
    count: int
    setup: str
    setup_on: tuple[str, ...]
    timeout: float
    attempts: int
    dirty: str
    on_failure: str
    backoff: float
    """The first pause in seconds."""
    env: dict[str, str]
    silence: float
    pass_env: tuple[str, ...] = ()
    budget: Budgets = Budgets()
    model: str = ""
    roles: dict[str, Role] = field(default_factory=dict)
    resume: str = "never"
    headroom: Headroom = Headroom()
    context: int = 0
    """Tokens of one request; 0 for any number."""
    behind: int = 0
    """The most commits of trunk that a session may be behind if it conflicts; 0 means any number."""
    split_hot: bool = False


@dataclass(frozen=True, slots=True)
class Limits:
    change_files: int
    change_bytes: int
    depth: int
    path: int
    message: int
    allow_submodules: bool
    memory: int
    """The most memory, in bytes; 0 means no limit, here and in `output`, `processes` and `file_size`."""
    output: int
    allow_secrets: tuple[str, ...] = ()
    """Globs of the files to which a change may add a key."""
    processes: int = 0
    file_size: int = 0


@dataclass(frozen=True, slots=True)
class ApprovalRule:
    paths: tuple[str, ...]
    by: str = ANYBODY
    """`ANYBODY`, `PERSON`, or the name of a role of agents."""
    count: int = 1


@dataclass(frozen=True, slots=True)
class Policy:
    version: int
    trunk: str
    remote: str
    publish: str
    upstream: str
    foreign: str
    strategy: str
    gates: tuple[Gate, ...]
    slot: Slot
    queue: QueueSettings
    agents: Agents
    protect: tuple[str, ...]
    limits: Limits
    approvals: tuple[ApprovalRule, ...] = ()


@dataclass(frozen=True, slots=True)
class Part:
    """Gates whose verdicts depend on the same paths of a tree."""

    gates: tuple[str, ...]
    """The names of the gates."""
    fingerprint: str
    """The fingerprint of these gates alone."""
    paths: tuple[str, ...]
    """The globs of the paths."""


def parse(text: str, source: str) -> Policy:
    """Return the policy written in `text`, with its defaults filled in. Raise Problems."""
    values = completed(SCHEMA, document(text, source).data)
    return Policy(
        version=values["version"],
        trunk=values["trunk"],
        remote=values["remote"],
        publish=values["publish"],
        upstream=values["upstream"],
        foreign=values["foreign"],
        strategy=values["strategy"],
        gates=tuple(Gate(**gate) for gate in values["gates"]),
        slot=Slot(**values["slot"]),
        queue=QueueSettings(**values["queue"]),
        agents=_agents(values["agents"]),
        protect=values["protect"],
        limits=Limits(**values["limits"]),
        approvals=tuple(ApprovalRule(**rule) for rule in values["approvals"]),
    )


DOES = {PLANNER: "plan", REVIEWER: "review"}
"""What the roles are for that need no word about it."""


def _agents(values: Plain) -> Agents:
    budgets = Budgets(**{kind: Budget(**budget) for kind, budget in values["budget"].items()})
    roles = {
        name: Role(**role | {"does": role["does"] or DOES.get(name, "work"), "budget": Budget(**role["budget"])})
        for name, role in values["roles"].items()
    }
    return Agents(**values | {"budget": budgets, "roles": roles, "headroom": Headroom(**values["headroom"])})


def document(text: str, source: str) -> Document:
    """Return the policy as it was written, proven valid. Raise Problems."""
    found = read(text, source, SCHEMA)
    checks = (_same_names, _misspelt_placeholders, _no_such_approvers, _too_large, _upstream)
    problems = [problem for check in checks for problem in check(found)]
    if problems:
        raise Problems(problems)
    return found


def completed(schema: Plain, value: Any) -> Any:
    """Return a valid value with its defaults filled in and its units converted."""
    if "properties" in schema:
        return {key: completed(part, value.get(key, part.get("default"))) for key, part in schema["properties"].items()}
    if "properties" in schema.get("additionalProperties", ()):
        return {key: completed(schema["additionalProperties"], part) for key, part in value.items()}
    if schema["type"] == "array":
        return tuple(completed(schema["items"], item) for item in value)
    unit = schema.get("x-unit")
    if unit == "seconds":
        return duration(value) if value != "0" else 0.0
    return size(value) if unit == "bytes" else value


_USUAL = completed(SCHEMA["properties"]["limits"], {})
"""The limits of a policy that sets none."""


def fingerprint(policy: Policy) -> str:
    """Return 16 hex digits that stand for all that can influence a gate's verdict on a tree.

    A verdict counts only under the fingerprint that it was given with. Settings that only decide which changes are
    admitted, tested together or landed are left out. So are keys that were added later, as long as they say nothing
    new: what was judged before they came still counts.
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
"""The keys of each section that a fingerprint always names; a new key is not among them until it is written here."""
LATER = {"gates": ("paths", "pass_env"), "slot": ("pass_env",), "limits": ("processes", "file_size")}
"""The keys that were added later; a fingerprint names them only if they say something."""


def _covered(section: Gate | Slot, always: tuple[str, ...], later: tuple[str, ...]) -> dict[str, Any]:
    values = {key: getattr(section, key) for key in (*always, *later)}
    return {key: value for key, value in values.items() if value or key in always}


def in_parts(policy: Policy) -> bool:
    """Tell whether some gate judges only a part of the tree."""
    return any(gate.paths for gate in policy.gates)


def parts(policy: Policy) -> tuple[Part, ...]:
    """Return what can be judged separately: each gate that names paths, and all gates that name none together.

    The gates that name none run one after the other in one slot, and one may rely on what another left there. The files
    that make the slot's setup run again belong to every part.
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
    """Yield only near misses: braces may also be meant for the program that is started."""
    for i, word in enumerate(found.data.get("agents", {}).get("command", [])):
        for name in re.findall(r"\{([a-z_-]{1,40})\}", word):
            near = "" if name in PLACEHOLDERS else suggestion(name, PLACEHOLDERS)
            if near:
                message = f"agents.command[{i}]: unknown placeholder '{name}'{near}"
                yield found.problem(message, ("agents", "command", i))


def _no_such_approvers(found: Document) -> Iterator[Problem]:
    roles = found.data.get("agents", {}).get("roles", {})
    for name in roles.keys() & {ANYBODY, PERSON}:
        yield found.problem(f"agents.roles: approvals mean something else by '{name}'", ("agents", "roles", name))
    known = [ANYBODY, PERSON, *dict.fromkeys((WORKER, PLANNER, REVIEWER, *roles))]
    for i, rule in enumerate(found.data.get("approvals", [])):
        by = rule.get("by", ANYBODY)
        if by not in known:
            near = suggestion(by, known) or f"; there are {', '.join(known[2:])}"
            yield found.problem(f"approvals[{i}].by: there is no role '{by}'{near}", ("approvals", i, "by"))


def _upstream(found: Document) -> Iterator[Problem]:
    said = {key: found.data.get(key, "") for key in ("trunk", "remote", "publish", "upstream")}
    for key, other in (("publish", "remote"), ("publish", "upstream"), ("upstream", "trunk")):
        if said[key] and (said[key] == said[other] or key == "publish" and other == "upstream" and said[other]):
            yield found.problem(f"{key}: " + WRONG[key, other].format(**said), (key,))


WRONG = {
    ("publish", "remote"): "the hub stands on {remote}, where trunk is moved anyway",
    ("publish", "upstream"): "there is an upstream already: {upstream}",
    ("upstream", "trunk"): "that is trunk itself; name a branch of the bot's own with `trunk:`",
}
"""What is wrong with two keys that say what trunk follows."""


def _too_large(found: Document) -> Iterator[Problem]:
    for section, schema in SCHEMA["properties"].items():
        for key, part in schema.get("properties", {}).items():
            value = found.data.get(section, {}).get(key)
            is_size = value is not None and part.get("x-unit") == "bytes"
            if is_size and size(value) > part["maximum"]:
                yield found.problem(f"{section}.{key}: the size is too large", (section, key))
