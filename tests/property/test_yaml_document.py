"""Whatever the text: data that keeps to the schema, or Problems; never another exception."""

import json

import jsonschema
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from agentctl.core.policy import policy
from agentctl.core.tasks import task_list
from agentctl.core.text.yaml_document import Problems, load, read

SETTINGS = settings(max_examples=150, deadline=None, database=None, derandomize=True)
PIECES = [
    "version",
    "gates",
    "queue",
    "name",
    "run",
    "timeout",
    "env",
    "slots",
    "limits",
    "prompt",
    "after",
    "id",
    ": ",
    ":",
    "- ",
    "-",
    "\n",
    "\n  ",
    "\n    ",
    " ",
    "\t",
    "[",
    "]",
    "{",
    "}",
    ",",
    "&a ",
    "*a",
    "!!int ",
    "!x ",
    "! ",
    "<<",
    "? ",
    "| ",
    "|\n  x\n",
    "> ",
    "'",
    '"',
    "#",
    "%",
    "@",
    "`",
    "---",
    "...",
    "\n---\n",
    "%YAML 1.1\n---\n",
    "%YAML 99999999999999999999.1\n--- ",
    "%TAG ! x\n---\n",
    '"\\0"',
    '"\\U00110000"',
    '"\\uD800"',
    '"\\x"',
    ".inf",
    "-.INF",
    ".nan",
    "1e999",
    "9" * 5000,
    "0x1F",
    "1",
    "1.0",
    "10m",
    "1GiB",
    "true",
    "null",
    "~",
    "yes",
    "\x00",
    "\x1b",
    "\u2028",
    "\x85",
    "\ufeff",
    "\ud800",
    "é",
    "\U0001f600",
    "[" * 50,
    "{a: " * 50,
    "- " * 50,
]
scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
words = st.sampled_from([piece for piece in PIECES if piece.isalnum() or "." in piece])
structures = st.recursive(
    scalars | words,
    lambda part: st.lists(part, max_size=4) | st.dictionaries(words | st.text(max_size=5), part, max_size=4),
    max_leaves=20,
)
yamlish = st.one_of(
    st.text(),
    st.lists(st.sampled_from(PIECES), max_size=30).map("".join),
    structures.map(lambda data: yaml.safe_dump(data, allow_unicode=True)),
    structures.map(lambda data: "version: 1\n" + yaml.safe_dump({"gates": [data], "queue": data})),
    structures.map(lambda data: yaml.safe_dump([{"prompt": "x", "after": data}, data])),
)


@pytest.fixture(params=["C loader", "Python loader"], scope="module")
def _loader(request):
    with pytest.MonkeyPatch.context() as patch:
        if request.param == "Python loader":
            patch.delattr(yaml, "CSafeLoader", raising=False)
        yield


def tried(action, text):
    """The result; None after Problems whose every line names a place in the text."""
    try:
        return action(text)
    except Problems as problems:
        lines = text.splitlines() or [""]
        assert problems.problems == sorted(problems.problems)
        assert str(problems) == "\n".join(map(str, problems.problems))
        for problem in problems.problems:
            assert 1 <= problem.line <= len(lines) + 1
            assert problem.col >= 1
            assert problem.message.isprintable()
        return None


@pytest.mark.usefixtures("_loader")
@SETTINGS
@given(yamlish)
def test_a_policy_is_valid_or_refused(text):
    data = tried(lambda t: load(t, "f", policy.SCHEMA), text)
    if data is not None:
        jsonschema.Draft202012Validator(policy.SCHEMA).validate(data)
    tried(lambda t: policy.parse(t, "f"), text)


@pytest.mark.usefixtures("_loader")
@SETTINGS
@given(yamlish)
def test_a_task_list_is_valid_or_refused(text):
    tasks = tried(lambda t: task_list.parse(t, "f"), text)
    if tasks is not None:
        ids = [task.id for task in tasks]
        assert len(set(ids)) == len(ids)
        assert all(name in ids and name != task.id for task in tasks for name in task.after)


@pytest.mark.usefixtures("_loader")
@SETTINGS
@given(yamlish)
def test_every_part_of_a_document_has_its_place(text):
    document = tried(lambda t: read(t, "f", {}), text)

    def walk(data, path):
        problem = document.problem("m", path)
        assert (problem.line, problem.col) >= (1, 1)
        parts = data.items() if isinstance(data, dict) else enumerate(data if isinstance(data, list) else [])
        for step, part in parts:
            key = document.problem("m", (*path, step), at_key=True)
            assert (key.line, key.col) <= (document.problem("m", (*path, step)).line, document.problem("m", (*path, step)).col)
            walk(part, (*path, step))

    if document is not None:
        walk(document.data, ())


finite = st.integers(-(10**17), 10**17) | st.booleans() | st.none()
plain = st.recursive(
    finite | st.text(st.characters(blacklist_categories=["Cs", "Cc"]), max_size=10),
    lambda part: st.lists(part, max_size=4) | st.dictionaries(st.text("abc <=:#-é", min_size=1, max_size=5), part, max_size=4),
    max_leaves=20,
)


def quoted(data):
    """The data in YAML's flow style, text always in double quotes."""
    if isinstance(data, dict):
        return "{" + ", ".join(f'"{key}": {quoted(value)}' for key, value in data.items()) + "}"
    if isinstance(data, list):
        return "[" + ", ".join(map(quoted, data)) + "]"
    if isinstance(data, str):
        return '"' + "".join(f"\\U{ord(char):08x}" for char in data) + '"'
    return json.dumps(data)


@pytest.mark.usefixtures("_loader")
@SETTINGS
@given(plain)
def test_what_is_written_is_what_is_read(data):
    assert load(quoted(data), "f", {}) == data


@SETTINGS
@given(yamlish)
def test_both_loaders_agree(text):
    first = tried(lambda t: read(t, "f", {}), text)
    with pytest.MonkeyPatch.context() as patch:
        patch.delattr(yaml, "CSafeLoader", raising=False)
        second = tried(lambda t: read(t, "f", {}), text)
    if first and second:
        assert first.data == second.data
