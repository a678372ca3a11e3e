"""A list of tasks as people write it: YAML, read as strictly as a policy."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import replace
from itertools import islice

from agentctl.core.policy.schema_kinds import NAME
from agentctl.core.queue.request import PRIORITY
from agentctl.core.refnames import of_title
from agentctl.core.tasks.task import Task
from agentctl.core.text.json_form import Plain
from agentctl.core.text.schema_violations import Path, shown, suggestion
from agentctl.core.text.yaml_document import REPORTED, Document, Problem, Problems, read

_NAME_WORDS = "a name of letters, digits, '.', '_' and '-' (at most 100)"
_ID = {"type": "string", "pattern": NAME, "x-expected": _NAME_WORDS}
_WRITTEN = {"type": "string", "pattern": r"\S", "x-expected": "text that is not empty"}

TASKS_SCHEMA: Plain = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "title": "agentctl tasks",
    "type": "array",
    "description": "Tasks for agents, in the order in which they are offered.",
    "items": {
        "type": ["object", "string"],
        "pattern": r"\S",
        "x-expected": "a task: its text, or a mapping with a prompt",
        "properties": {
            "id": {**_ID, "description": "The task's name. Without it, one is made from the title or the prompt."},
            "title": {**_WRITTEN, "description": "One line for people. Without it, the first line of the prompt."},
            "prompt": {**_WRITTEN, "description": "What the agent is asked to do."},
            "acceptance": {
                "type": "string",
                "description": "When the task counts as done, for the agent to check.",
                "default": "",
            },
            "after": {
                "type": "array",
                "description": "Ids of tasks that must be done before this one starts.",
                "items": _ID,
                "default": [],
            },
            "priority": {
                "type": "integer",
                "description": "Higher goes first.",
                "minimum": -PRIORITY,
                "maximum": PRIORITY,
                "default": 0,
            },
            "paths": {
                "type": "array",
                "description": "Globs of the files the task is about; one for a directory stands for all below it. Of one "
                "priority, tasks start first that are apart from what is being worked on.",
                "items": _WRITTEN,
                "default": [],
            },
            "role": {
                "type": "string",
                "description": "Whose task it is: a role of agents.roles, worker, planner or reviewer. Without it: a worker's.",
                "default": "",
            },
        },
        "required": ["prompt"],
        "additionalProperties": False,
    },
}


def parse(text: str, source: str, known: Collection[str] = ()) -> tuple[Task, ...]:
    """Return the tasks of a list, in its order, not dated yet. Raise Problems.

    `known` are the ids of tasks that exist already; `after` may name them too.
    """
    found = read(text, source, TASKS_SCHEMA)
    found = replace(found, data=[{"prompt": entry} if isinstance(entry, str) else entry for entry in found.data])
    tasks = tuple(_spec(entry) for entry in found.data)
    problems = list(islice(_problems(found, tasks, known), REPORTED + 1))
    if problems:
        raise Problems(problems)
    return tasks


def _spec(entry: Plain) -> Task:
    lines = [line.strip() for line in entry["prompt"].splitlines() if line.strip()]
    title = " ".join(entry.get("title", lines[0]).split())
    return Task(
        id=entry.get("id") or of_title(title),
        title=title if len(title) <= 100 else title[:97] + "...",
        prompt=entry["prompt"],
        acceptance=entry.get("acceptance", ""),
        after=tuple(dict.fromkeys(entry.get("after", []))),
        priority=entry.get("priority", 0),
        paths=tuple(entry.get("paths", [])),
        role=entry.get("role", ""),
    )


def _problems(found: Document, tasks: tuple[Task, ...], known: Collection[str]) -> Iterator[Problem]:
    yield from _repeated(found, tasks)
    yield from _unknown(found, tasks, known)
    yield from _cycles(found, tasks)


def _repeated(found: Document, tasks: tuple[Task, ...]) -> Iterator[Problem]:
    first: dict[str, int] = {}
    for i, task in enumerate(tasks):
        written = "id" in found.data[i]
        place: Path = (i, "id") if written else (i,)
        if task.id in first:
            line = found.problem("", (first[task.id],)).line
            made = "" if written else " (made from the title: give this task another)"
            yield found.problem(f"duplicate id '{task.id}'{made}, first on line {line}", place)
        else:
            first[task.id] = i


def _unknown(found: Document, tasks: tuple[Task, ...], known: Collection[str]) -> Iterator[Problem]:
    ids = {task.id for task in tasks} | set(known)
    for i in range(len(tasks)):
        for k, name in enumerate(found.data[i].get("after", [])):
            if name not in ids:
                near = suggestion(name, ids)
                yield found.problem(f"after: no task {shown(name)}{near}", (i, "after", k))


def _cycles(found: Document, tasks: tuple[Task, ...]) -> Iterator[Problem]:
    """Yield one problem for each dependency that closes a cycle.

    The search goes depth first by its own stack, since a list may be longer than Python can recurse.
    """
    index: dict[str, int] = {}
    for i, task in enumerate(tasks):
        index.setdefault(task.id, i)
    done: set[str] = set()
    for start in index:
        path: list[str] = [start]
        above = {start: 0}
        todo = [] if start in done else [iter(tasks[index[start]].after)]
        while todo:
            name = next(todo[-1], None)
            if name is None:
                todo.pop()
                ended = path.pop()
                del above[ended]
                done.add(ended)
            elif name in above:
                yield _cycle(found, index[path[-1]], name, path[above[name] :])
            elif name in index and name not in done:
                above[name] = len(path)
                path.append(name)
                todo.append(iter(tasks[index[name]].after))


def _cycle(found: Document, task: int, name: str, ring: list[str]) -> Problem:
    names = ring if len(ring) <= 6 else [*ring[:3], "...", *ring[-2:]]
    place = found.data[task]["after"].index(name)
    message = "after: these wait for each other: " + " -> ".join([*names, name])
    return found.problem(message, (task, "after", place))
