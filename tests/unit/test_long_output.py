"""What programs and changes may hold without an end is read in a time that grows with its length, not with its square.

With patterns whose time grows with the square, some of these take minutes.
"""

import pytest

from agentctl.core.tasks import failing_tests, last_words
from agentctl.core.text import secrets

OUTPUTS = {
    "blanks": ("x" + " " * 39_990 + "x\n") * 6,
    "empty lines": "\n" * 250_000,
    "one line of blanks": " " * 250_000,
    "frames": "│" * 120_000 + "x" + "│" * 120_000,
    "escapes": "\x1b]" * 60_000 + "\x1b[0;" * 60_000,
    "dots": "[  FAILED  ] " + "a." * 120_000 + " x y",
    "colons": "FAILED " + "a::" * 80_000 + "[",
    "fields": " level=error " + ' msg="' * 40_000,
    "backslashes": ' level=error err="' + "\\" * 240_000,
    "keys": "".join(f"glpat-{n:020}\n" for n in range(38_000)),
}


@pytest.mark.parametrize("name", OUTPUTS)
def test_it_is_read_whole(name):
    output = OUTPUTS[name]
    assert len(last_words.quote(output)) < 1000
    assert all(len(found) <= failing_tests.LONGEST for found in failing_tests.names(output))
    assert len(list(secrets.leaks(output.encode()))) == (38_000 if name == "keys" else 0)
    assert ("REDACTED" in secrets.redact(output)) == (name == "keys")
