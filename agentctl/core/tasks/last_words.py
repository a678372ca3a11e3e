"""What an agent's program said last, taken from the end of its output.

Programs print plain lines, or events as lines of JSON. Only the last lines count, and of events only errors and the
text that ends the session: what an agent reads and writes while it works may well speak of errors, too.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

from agentctl.core.text.printable import printable

LONGEST = 2000
"""The characters of one utterance that are looked at."""
QUOTED = 160
"""The characters of an utterance that are shown."""
WRAPPED = range(50, 81)
"""The lengths of a line that its program may have broken at the width of a terminal."""

_CONTROL = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|[\x00-\x08\x0b-\x1f\x7f]")
_SPACE = "".join(filter(str.isspace, map(chr, range(0x3001))))
_BEFORE, _AFTER = _SPACE + "│┃|╭╰╮╯─━❱✖✗×■●•", _SPACE + "│┃╭╰╮╯─━"
"""The characters with which programs frame a line, before it and after it."""
_BEGINS = re.compile(
    r"(?i)^\W{0,4}(?:\d{4}-\d\d-\d\d\S*\s+(?:\d\d:\d\d\S*\s+)?)?(?:[\w.-]{1,40}: )?\W{0,2}(?:"
    r"(?:(?:api|http|fatal|unexpected|unknown|runtime) )?(?:status\b|[\w.]*(?:error|exception)\b)(?=\s*(?:[:(\[{\d\"'-]|$))|"
    r"(?:fatal|panic|usage): |retrying |attempt \d+ failed|failed(?: to\b|:)|(?:http )?[45]\d\d\b\W{1,3}(?:[{\"(]|invalid|incorrect|unauthori|forbidden|"
    r"authentication|permission|payment|insufficient|quota|too many|rate.limit(?:ed| |_error)|internal|bad gateway|service|"
    r"overloaded)|you(?:['’]ve| have) (?:hit|reached) your|you exceeded|you(?:['’]re| are) out of (?:credits|extra usage)|you have no quota\b|(?:[\w-]+ ){0,3}(?:limit|quota) (?:reached|exceeded)|"
    r"too many requests|(?:your )?credit balance|not logged in|please run /login|enospc: |no space left on device|"
    r"(?:oauth|access|refresh) token (?:has |was )?(?:been )?(?:expired|revoked)(?=\s*(?:[.·]|$))|your access token could not be refreshed|"
    r"(?:your|this) organi[sz]ation has been disabled|your (?:\w+ )?account (?:has been|is) (?:disabled|deactivated|suspended)|"
    r"(?:invalid|incorrect|missing|no|unknown|unrecognized|no such|unexpected) "
    r"(?:x-)?(?:api|auth|key|token|credential|environment variable|option|argument|flag))"
)
"""The beginnings of an error, chosen so that prose about errors does not begin like this."""
_MENTIONS = re.compile(
    r"(?i)error|exception|fatal|fail|denied|refused|unauthori[sz]ed|forbidden|exceeded|exhausted|overloaded|limit|quota|"
    r"too (?:many|low|long)|invalid|unknown|unrecognized|unexpected|not (?:found|able|logged|allowed)|missing|is locked|"
    r"please run /login|no space left on device|cannot|can't|could not|unable|timed? ?out|\b[45]\d\d\b|^(?:-\w, )?--[\w-]+ {2}"
)
_JUDGEMENT = re.compile(r"^(?:E\s|>\s|FAILED |ERROR \S+::|PASSED |AssertionError|assert\b|not ok |--- FAIL)")
"""The form in which test runners report: that is the agent's own work, whatever it is about."""
_OWN_WORK = re.compile(r"(?i)^(?:i|i'm|i've|we|giving up)\b|\btests?\b|\btest_")
"""The words of an agent about its own work, which may mention errors of any kind."""
_FRAME_OF_STACK = re.compile(r"^(?:at (?:async )?[\w.<>$]+ ?\(|at (?:async )?\S+:\d+|File \"[^\"]+\", line \d+|[{}()\[\],;]+$)")
"""The lines that say where an error came about; they do not count."""
_FIELDS = re.compile(r"(?i)(?:^|\s)level=(?:error|fatal)\s")
"""The mark of an error in a log whose lines are fields, each `name=value` or `name="value"`."""
_TELLING_FIELD = re.compile(r'(?:^|\s)(?:msg|message|(?:error\.)?error|err)="((?:[^"\\]|\\.)*)"')
_WARNS = re.compile(r"(?i)^model metadata for \S+ not found")
"""The beginnings of errors by their form that stop nothing: codex says this of every model that it does not know."""
_ERRORS = ("error", "errorMessage", "error_message", "finalError", "errors")
_INNER = ("message", "messages", "item", "part", "data", "info", "response")


@dataclass(frozen=True, slots=True)
class Utterance:
    text: str
    error: bool
    """True if it is an error by its form: an error event, or a line that begins like an error."""
    mentions: bool
    """True if it is an error by its form or by its words."""
    judgement: bool = False
    """True if it is a test runner's report: then the agent was still at work."""


def utterances(tail: str, lines: int) -> list[Utterance]:
    """Return the utterances of the last `lines` lines, newest first.

    Empty lines and lines of a stack trace do not count.
    """
    kept = _kept(tail, lines)
    found = [_spoken(line, kept[n + 1 :]) for n, line in enumerate(kept)]
    return [one for one in reversed(found) if one]


def quote(tail: str, lines: int = 25) -> str:
    """Return the last error that a program printed, or else its last words; empty if it said nothing.

    The result is one short line that no terminal obeys.
    """
    said = utterances(tail, lines)
    best = next((one for one in said if one.error), said[0] if said else None)
    return shown(best.text) if best else ""


def shown(text: str) -> str:
    """Return the text as one short line without anything that a terminal would obey.

    A backslash stays a single one, because it is escaped where the line is printed.
    """
    return printable(" ".join(text.split()), QUOTED).replace("\\\\", "\\")


def _kept(tail: str, lines: int) -> list[str]:
    counted = (line for raw in reversed(tail.splitlines()) if (line := _clean(raw)) and not _FRAME_OF_STACK.match(line))
    return list(islice(counted, lines))[::-1]


def _clean(raw: str) -> str:
    line = _CONTROL.sub("", raw.rstrip("\r\n").rsplit("\r", 1)[-1])[: 20 * LONGEST]
    return line.lstrip(_BEFORE).rstrip(_AFTER)


def _spoken(line: str, following: list[str]) -> Utterance | None:
    if line.startswith("{"):
        try:
            event = json.loads(line)
        except (ValueError, RecursionError):
            event = None
        if isinstance(event, dict):
            return _of_event(event)
    if _FIELDS.search(line) and (fields := _TELLING_FIELD.findall(line)):
        return Utterance(": ".join(fields)[:LONGEST], True, True)
    judgement = bool(_JUDGEMENT.match(line))
    error = not judgement and bool(_BEGINS.match(line))
    text = " ".join(_unwrapped(line, following)) if error else line
    mentions = error or not judgement and not _OWN_WORK.search(line) and bool(_MENTIONS.search(line))
    return Utterance(text[:LONGEST], error, mentions, judgement)


def _unwrapped(line: str, following: list[str]) -> list[str]:
    """Return the line and those that go on with it."""
    parts = [line]
    for after in following[:3]:
        if len(parts[-1]) not in WRAPPED or parts[-1].endswith((".", ":")) or after.startswith("{"):
            break
        parts.append(after)
    return parts


def _of_event(event: dict[str, Any]) -> Utterance | None:
    """Return the error of an event, or the text with which the event ends the session, or None."""
    if "tool" in str(event.get("type", "")).lower():
        return None
    words = " ".join(_errors(event, 4))
    if _WARNS.match(words):
        return None
    if words and "retry" in str(event.get("subtype", "")):
        words = f"{event['subtype']} {words}"
    if words:
        return Utterance(words[:LONGEST], True, True)
    result = event.get("result")
    if not isinstance(result, str) or not result.strip():
        return None
    error = event.get("is_error") is True or bool(_BEGINS.match(result.strip()))
    return Utterance(result.strip()[:LONGEST], error, error)


def _errors(value: Any, depth: int) -> Iterator[str]:
    if not isinstance(value, dict) or depth == 0:
        return
    is_error = str(value.get("type", "")).lower() in ("error", "turn.failed") or value.get("is_error") is True
    for key, part in value.items():
        if part and (key in _ERRORS or (key == "error_status" and isinstance(part, int))):
            yield from _words(key, part, 5)
        elif is_error and key in ("message", "result", "data") and part:
            yield from _words(key, part, 5)
        elif key in _INNER:
            yield from _errors(part[-1] if isinstance(part, list) and part else part, depth - 1)


def _words(key: str, value: Any, depth: int) -> Iterator[str]:
    """Yield every text and number inside a value, after its key if the key says what it is."""
    if depth == 0:
        return
    if isinstance(value, dict):
        for name, part in value.items():
            yield from _words(str(name), part, depth - 1)
    elif isinstance(value, list):
        for part in value:
            yield from _words(key, part, depth - 1)
    elif isinstance(value, (str, int, float)) and not isinstance(value, bool):
        named = re.search(r"(?i)status|code|retry|reset", key)
        yield f"{key}: {value}" if named else str(value)
