"""The messages of the commits that land."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

_OWN = re.compile(r"(?im)^agentctl-[a-z-]*[ \t]*:.*(?:\n[ \t]+.*)*\n?")
_TRAILER = re.compile(r"[A-Za-z][A-Za-z0-9-]*: \S.*")


def strip_own(message: str) -> str:
    """Return a message without the lines that claim to be trailers of the bot.

    A forged trailer of an agent must never make a change look landed.
    """
    return _OWN.sub("", message.replace("\r\n", "\n")).strip("\n")


def with_trailers(message: str, trailers: Mapping[str, str | None]) -> str:
    """Return `message` with the bot's trailers, in its last paragraph if that one holds trailers already."""
    body = strip_own(message).rstrip() or "(no message)"
    lines = [f"{name}: {value}" for name, value in trailers.items() if value]
    last = body.rsplit("\n\n", 1)
    joined = len(last) == 2 and all(_TRAILER.fullmatch(line) for line in last[1].splitlines())
    return body + ("\n" if joined else "\n\n") + "\n".join(lines) + "\n"


def trailer(message: bytes, name: str) -> str:
    """Return the values of a trailer, separated by commas; empty if there is none."""
    last = message.decode(errors="replace").rstrip().rsplit("\n\n", 1)
    lines = last[1].splitlines() if len(last) == 2 else []
    return ",".join(line.removeprefix(name + ":").strip() for line in lines if line.startswith(name + ":"))


def squash(messages: Iterable[str]) -> str:
    """Return one message for a change of several commits.

    The subject of the last commit comes first, because its author knew the whole change. All messages are kept below
    it. A single message stays as it is.
    """
    kept = [strip_own(m).strip() for m in messages if strip_own(m).strip()]
    if len(kept) < 2:
        return kept[0] if kept else ""
    return kept[-1].splitlines()[0] + "\n\n" + "\n\n".join("* " + m.replace("\n", "\n  ") for m in kept)
