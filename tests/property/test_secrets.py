"""Whatever the text: redacting it again changes nothing, and it takes as long as the text is."""

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentctl.core.text.secrets import RULES, leaks, redact

SETTINGS = settings(max_examples=300, deadline=None, database=None, derandomize=True)
PIECES = [
    "-----BEGIN ",
    "PRIVATE KEY",
    "-----",
    "-----END RSA PRIVATE KEY-----",
    "\n",
    "\\n",
    "AbC1" * 16,
    "AbC1" * 5,
    "E   ",
    "> ",
    "AKIA",
    "ABCDEFGHIJ234567",
    "ghp_",
    "a1B2c3" * 6,
    "eyJ",
    ".eyJ",
    "://",
    "u:",
    "@",
    "secret_key",
    "=",
    ": ",
    '"',
    "token",
    "Authorization: Bearer ",
    "sk-",
    "T3BlbkFJ",
    " ",
    "postgres",
    "correct-horse",
    "ü",
    "\udc80",
    "***REDACTED ",
    "***",
    "Private-Lines: 8\n",
    "xoxb-",
    "1234567890-",
]
texts = st.lists(st.sampled_from(PIECES) | st.text(max_size=5), max_size=30).map("".join)
KNOWN = {"correct-horse": "PHRASE", "postgres": "PASSWORD"}


@SETTINGS
@given(texts)
def test_redacting_again_changes_nothing(text):
    once = redact(text, KNOWN)
    assert redact(once, KNOWN) == once
    assert "correct-horse" not in once


@SETTINGS
@given(st.binary(max_size=200) | texts.map(lambda text: text.encode("utf-8", "surrogatepass")))
def test_whatever_the_bytes_the_leaks_lie_in_them(data):
    for leak in leaks(data):
        assert 1 <= leak.line <= data.count(b"\n") + 1
        assert data[:2] in (b"\xff\xfe", b"\xfe\xff") or leak.secret in data


ALIKE = (
    [begin.decode() for rule in RULES for begin in rule.begins]
    + PIECES
    + [
        "-----BEGIN PRIVATE KEY-----\n",
        "-----BEGIN PRIVATE KEY-----\n" + "AbC1" * 16 + "\n",
        "secret_key=" + "a" * 39 + " ",
        "eyJ" + "a" * 20 + ".",
        "Private-Lines: 8\n" + "AbC1" * 16 + " ",
        "://a:" + "b" * 100,
    ]
)


def seconds(text):
    begun = time.process_time()
    redact(text)
    list(leaks(text.encode("utf-8", "surrogatepass")))
    return time.process_time() - begun


@pytest.mark.parametrize("piece", ALIKE)
def test_no_repetition_makes_it_slow(piece):
    """A text four times as long takes about four times as long; sixteen times would be quadratic."""
    short, long = (piece * (size // len(piece) + 1) for size in (16_384, 65_536))
    best = min(seconds(short) for _ in range(5))
    assert min(seconds(long) for _ in range(5)) < max(0.05, 12 * best)
