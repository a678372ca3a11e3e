"""What an entry of a pack will grow to, from the first bytes of it."""

from __future__ import annotations

import random
import zlib

import pytest

from agentctl.git import packs

BLOB = packs.entry(b"blob", bytes(5000))


def size(number: int) -> bytes:
    """A size as a delta writes it: seven bits in each byte, the lowest first."""
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    return bytes([*out, number])


def with_delta(packed: bytes) -> bytes:
    """A pack's bytes: the blob, and a delta on it whose compressed content is `packed`."""
    back = len(BLOB.data)
    distance = bytes([back]) if back < 128 else bytes([(back >> 7) - 1 | 128, back & 127])
    return BLOB.data + bytes([6 << 4]) + distance + packed


def measured(pack: bytes) -> tuple[bytes, int, int]:
    return packs.measured(pack, len(BLOB.data), lambda oid: 0)


def test_a_delta_is_measured_by_its_two_sizes():
    assert measured(with_delta(zlib.compress(size(5000) + size(70_000)))) == (b"blob", 70_000, 70_000)
    assert measured(with_delta(zlib.compress(size(5000) + size(3)))) == (b"blob", 3, 5000)


def test_a_code_that_is_long_to_describe_stands_before_the_sizes():
    # Many different bytes, some more frequent than others: the description of the code is long.
    dice = random.Random(1)
    for _ in range(200):
        used = dice.sample(range(256), dice.randint(100, 256))
        content = bytes(dice.choices(used, [dice.random() ** 8 + 1e-4 for _ in used], k=dice.randint(500, 4000)))
        packed = zlib.compress(size(5000) + size(4321) + content, 9)
        assert measured(with_delta(packed)) == (b"blob", 4321, 5000)
    late = zlib.decompressobj().decompress(packed[:64], 24)
    assert late == b""


@pytest.mark.parametrize("content", [b"", b"\x80", b"\x88\x27", b"\xff" * 30])
def test_a_delta_without_its_sizes_is_said_to_be_one(content):
    with pytest.raises(ValueError, match="without its sizes"):
        measured(with_delta(zlib.compress(content)))
