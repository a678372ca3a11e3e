r"""Durations and sizes as people write them.

    duration    90s, 10m, 1h30m, 1.5h, 250ms, 2d; more than zero
    size        64KiB, 100MiB, 2GiB, 512B, or a plain number of bytes; zero allowed

The patterns are for JSON Schema, so they use only what Python and ECMAScript share. They end with `$(?!\n)`, because
Python's `$` also matches before a last newline.
"""

from __future__ import annotations

import re

_SECONDS = {"d": 86400.0, "h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
_BYTES = {"": 1, "B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40}
_NUMBER = r"[0-9]{1,9}(?:\.[0-9]{1,6})?"

DURATION = r"^(?=.*[1-9])(?=[0-9])" + "".join(f"(?:{_NUMBER}{unit})?" for unit in _SECONDS) + r"$(?!\n)"
SIZE = rf"^{_NUMBER}(?:B|KiB|MiB|GiB|TiB)$(?!\n)"
LARGEST = 1 << 60


def duration(text: str) -> float:
    """Return the seconds of a duration. Raise ValueError for anything else."""
    if not re.search(DURATION, text):
        raise ValueError(f"not a duration: {text!r}")
    parts = re.findall(rf"({_NUMBER})(ms|[dhms])", text)
    return sum(float(number) * _SECONDS[unit] for number, unit in parts)


def size(text: str | int) -> int:
    """Return the bytes of a size. Raise ValueError for anything else."""
    if isinstance(text, int) and not isinstance(text, bool) and 0 <= text <= LARGEST:
        return text
    if not isinstance(text, str) or not re.search(SIZE, text):
        raise ValueError(f"not a size: {text!r}")
    number, unit = re.findall(rf"^({_NUMBER})(.*)", text)[0]
    return int(float(number) * _BYTES[unit]) if "." in number else int(number) * _BYTES[unit]
