"""How what people read is laid out."""

from agentctl.core.text.plural import many
from agentctl.messages import aligned, folded


def test_many():
    assert (many(1, "change"), many(2, "change"), many(0, "change"), many(2, "process")) == (
        "1 change",
        "2 changes",
        "0 changes",
        "2 processes",
    )


def test_a_long_line_is_broken_at_words_and_hangs():
    assert folded("label  one two three", 7, 13) == "label  one\n    two three"
    assert folded("label  one two", 7, 14) == "label  one two"
    assert folded("  indented", 4, 80) == "  indented" and folded("", 4, 80) == ""


def test_columns_are_as_wide_as_they_need():
    assert aligned([("a", "bbb", "c"), ("aa", "b", "")]) == ["a   bbb  c", "aa  b"]
    assert aligned([]) == []
    assert aligned([("", "x"), ("of", "10", "2.0"), ("n", "5")], numbers=True) == ["     x", "of  10  2.0", "n    5"]
