"""Values as JSON, and back."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec
import pytest

from agentctl.core.text.json_form import Oid, Struct, dump, facts, load, quoted, replace, unquoted


class Point(Struct, frozen=True, tag_field="kind", tag="point"):
    x: int
    words: tuple[str, ...] = ()
    more: dict[str, str] = {}
    on: Oid = "a" * 40


@dataclass(frozen=True)
class Pair:
    one: Point
    other: str = "o"


def test_a_value_is_one_line_without_its_defaults_in_one_order():
    assert dump(Point(1)) == b'{"kind":"point","x":1}\n'
    assert dump({"b": 1, "a": [2]}) == dump({"a": [2], "b": 1}) == b'{"a":[2],"b":1}\n'


def test_what_is_no_text_is_escaped_wherever_it_stands():
    odd = "a\udcffb"
    assert dump(odd) == b'"a\\\\xffb"\n'
    assert (
        dump(Point(1, (odd,), {odd: odd})) == b'{"kind":"point","x":1,"words":["a\\\\xffb"],"more":{"a\\\\xffb":"a\\\\xffb"}}\n'
    )
    assert dump([odd, 1, None, ("t", odd)]) == b'["a\\\\xffb",1,null,["t","a\\\\xffb"]]\n'


def test_what_was_written_is_read():
    point = Point(1, ("ü",), {"k": "v"}, "b" * 40)
    assert load(Point, dump(point)) == point


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b'{"kind":"point","x":"1"}', "x: expected"),
        (b'{"kind":"point","x":1,"words":[1]}', "words[0]: expected"),
        (b'{"kind":"point","x":1,"y":1}', "unknown field"),
        (b'{"kind":"point"}', "missing required field"),
        (b'{"kind":"point","x":1,"on":"A"}', "on: expected"),
        (b"[" * 100_000, ""),
        (b"{", ""),
        (b"\xff", ""),
    ],
)
def test_all_else_is_an_error_that_says_where(data, said):
    with pytest.raises(ValueError) as caught:
        load(Point, data)
    assert said.lower() in str(caught.value).lower() and "`" not in str(caught.value)


def test_what_is_nested_too_deeply_is_no_crash():
    with pytest.raises(ValueError, match="nested too deeply"):
        load(msgspec.Raw | dict[str, object] | list[object], b"[" * 100_000 + b"]" * 100_000)


def test_fields_are_replaced_in_both_kinds_of_values():
    assert replace(Point(1), x=2) == Point(2) and replace(Pair(Point(1)), other="p") == Pair(Point(1), "p")


def test_facts_have_defaults_and_no_kind():
    shown = {"x": 1, "words": ["w"], "more": {"k": "v"}, "on": "a" * 40}
    assert facts(Point(1, ("w",), {"k": "v"})) == shown
    assert facts(Pair(Point(1, ("w",), {"k": "v"}))) == {"one": shown, "other": "o"}
    assert facts({"a": (Point(1, ("w",), {"k": "v"}), 2)}) == {"a": [shown, 2]} and facts(None) is None


@pytest.mark.parametrize(
    ("path", "written"),
    [
        ("a/b", "a/b"),
        ('a"b', 'a"b'),
        ("a\\b", "a\\b"),
        ("ü", "ü"),
        ("", ""),
        ('"a', '"\\"a"'),
        ("a\udcff", '"a\\377"'),
        ('\udc80"\\', '"\\200\\"\\\\"'),
        ('"ü\\1', '"\\"ü\\\\1"'),
    ],
)
def test_a_path_is_quoted_where_it_has_to_be_and_comes_back(path, written):
    assert quoted(path) == written and unquoted(written) == path
