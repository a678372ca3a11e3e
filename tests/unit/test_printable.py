"""What a terminal would obey, or hide, is shown for what it is."""

import re
import unicodedata

import pytest

from agentctl.core.text.printable import split_colour, uncoloured, visible


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain, ünïcödé, 漢字, 👩\u200d🔬\n\tnext\n", "plain, ünïcödé, 漢字, 👩\u200d🔬\n\tnext\n"),
        ("\x1b[2J\x1b]52;c;QQ==\x07", "\\x1b[2J\\x1b]52;c;QQ==\\x07"),
        ("a\rb\r\nc", "a\\rb\nc"),
        ("\x9b2J\x85", "\\x9b2J\\x85"),
        ("a\u202eb\u2066c\u200bd\ufeff", "a\\u202eb\\u2066c\\u200bd\\ufeff"),
        ("\udc9b\ud800", "\\x9b\\ud800"),
        ("\x1b[31mred\x1b[0m", "\\x1b[31mred\\x1b[0m"),
        ("tag\U000e0041", "tag\\U000e0041"),
        ("\\x1b", "\\x1b"),
    ],
)
def test_visible(text, shown):
    assert visible(text) == shown
    assert visible(shown) == shown


def test_no_control_and_no_bidirectional_character_passes():
    for code in range(0x110000):
        shown = visible(chr(code))
        if unicodedata.category(chr(code)) in ("Cc", "Cs", "Zl", "Zp") or unicodedata.bidirectional(chr(code)) in (
            "LRE",
            "RLE",
            "LRO",
            "RLO",
            "PDF",
            "LRI",
            "RLI",
            "FSI",
            "PDI",
        ):
            assert chr(code) in "\n\t" or (shown != chr(code) and re.fullmatch(r"[\\a-zA-Z0-9]+", shown)), hex(code)


def test_colours_are_taken_from_output_and_nothing_else():
    assert uncoloured("\x1b[1;38;5;208mFAILED\x1b[m \x1b[2K\x1b[8mhidden\x1b[0m") == "FAILED \x1b[2Khidden"


def test_a_colour_or_the_end_of_a_line_that_is_cut_in_two_is_put_together():
    text = "one\x1b[31mtwo\x1b[0m\r\nthree\x1b[2Jfour\r\n"
    for cut in range(len(text)):
        first, held = split_colour(text[:cut])
        assert visible(uncoloured(first)) + visible(uncoloured(held + text[cut:])) == "onetwo\nthree\\x1b[2Jfour\n"
