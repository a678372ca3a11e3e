"""How a schema and a value are put into words."""

from __future__ import annotations

import pytest

from agentctl.core.text.schema_violations import expectation, shown, suggestion


@pytest.mark.parametrize(
    ("schema", "said"),
    [
        ({"x-expected": "a name", "const": 1}, "a name"),
        ({"const": 1}, "1"),
        ({"const": "x", "type": "string"}, "'x'"),
        ({"enum": ["a", "b"]}, "one of a, b"),
        ({"enum": ["a"]}, "a"),
        ({"type": "integer", "minimum": 0, "maximum": 5}, "a whole number from 0 to 5"),
        ({"type": "integer", "minimum": 0}, "a whole number of at least 0"),
        ({"type": "integer", "maximum": 5}, "a whole number"),
        ({"type": "array", "minItems": 2}, "a list of 2 or more"),
        ({"type": "array", "minItems": 0}, "a list"),
        ({"type": ["string", "integer"]}, "text or a whole number"),
    ],
)
def test_what_is_expected(schema, said):
    assert expectation(schema) == said


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (True, "true"),
        (False, "false"),
        ({}, "an empty mapping"),
        ([1], "a list"),
        (12, "12"),
        ("a", "'a'"),
        ("x" * 60, repr("x" * 60)),
        ("x" * 61, repr("x" * 57 + "...")),
    ],
)
def test_what_was_found(value, said):
    assert shown(value) == said


def test_what_is_near_is_suggested_unless_it_takes_long():
    assert suggestion("slwo", ["fast", "slow", 3]) == "; did you mean 'slow'?" and suggestion("x", ["fast"]) == ""
    assert suggestion("a" * 64, ["a" * 63]) and not suggestion("a" * 65, ["a" * 64])
    names = ["slow", *map(str, range(999))]
    assert suggestion("slwo", names) and not suggestion("slwo", [*names, "one more"])
