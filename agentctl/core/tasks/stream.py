"""What an agent's program tells while it works, read line by line: a fold over its output (`hear`).

Most programs print events as lines of JSON. A reader knows the events of one program; what it does not know, or what has
not the expected form, changes nothing, because formats change with every version.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgspec

from agentctl.core.queue.spending import Spent
from agentctl.core.text.json_form import replace

LONGEST = 4 << 20
"""The bytes of the longest line that is read."""
REFUSED = (401.0, 402.0, 403.0)
"""The statuses by which a provider refuses whoever asks; no waiting mends that."""
NAME = 200
"""The most characters of the program's own name for a session; a longer one is none."""
SAID = 2000
"""The most characters that are kept of what an agent said last."""
_UNREAD = (b'{"type":"message_update"', b'{"type":"tool_execution_update"', b'{"type":"stream_event"')
"""The beginnings of events that repeat in pieces what a later event tells whole."""


@dataclass(frozen=True, slots=True)
class Heard:
    conversation: str = ""
    """The program's own name for this session, by which it can take it up again."""
    spent: Spent = Spent()
    context: int = 0
    """The tokens of the last request: how full the context is."""
    said: str = ""
    """The last message of the agent."""
    finished: bool = False
    """True if the program has told its final result, and nothing since."""
    well: bool | None = None
    """Whether the program has told that it ended well, and nothing since; None if it has not told how it ended."""
    waits: float = 0.0
    """Until when the program waits for its provider, in seconds since 1970."""
    refused: int = 0
    """How many times in a row the provider refused the program, which goes on trying all the same."""
    same: int = 0
    """How many times in a row the agent has done the same with the same outcome."""
    act: str = ""
    """A fingerprint of what the agent did last, with the outcome."""
    call: str = ""
    """What the agent is about to do."""
    answer: str = ""
    """The id of the model's answer that was counted last, or its kind where there is no id: some programs tell one answer in
    several events."""

    @property
    def answered(self) -> bool | None:
        """Whether the provider answers: False before the first answer and while a request is tried again; None if nothing is told."""
        return None if self == Heard() else self.spent.turns > 0 and not self.waits


Event = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Reader:
    """What one program prints, and what is heard of it."""

    event: Callable[[Heard, Event, float], Heard] = lambda heard, event, now: heard
    """Reads an event, given when it came."""
    line: Callable[[Heard, bytes], Heard] = lambda heard, line: heard
    """Reads a line that is no event."""


def hear(heard: Heard, line: bytes, reader: Reader, now: float) -> Heard:
    """Return what is known after one more line; `now` is when it was read."""
    try:
        if not line.startswith(b"{") or len(line) > LONGEST or line.startswith(_UNREAD):
            return reader.line(heard, line)
        event, working = msgspec.json.decode(line), replace(heard, finished=False, well=None)
        after = reader.event(working, event, now) if isinstance(event, dict) else working
        if len(after.conversation) > NAME:
            after = replace(after, conversation="")
        return heard if after == working else after
    except Exception:
        # Whatever a program prints, such as numbers without end or objects in objects, ends no session.
        return heard


_AIDER = re.compile(
    rb"^Tokens: ([\d.,]+)(k|M)? sent(?:, .*?)?, ([\d.,]+)(k|M)? received\.(?: Cost: \$[\d.]+ message, \$([\d.]+) session)?"
)
_LITELLM = re.compile(rb"^(?:\w+: )?litellm\.\w*(?:Error|Exception)\b")
"""How aider and mini tell that a request failed; if they try again and are answered, what they tell of each answer follows."""
_API_ERROR = re.compile(r"^\[?API Error\b")
"""The beginning of a message or a result that tells of a failed request, by a program that calls it no error: qwen does."""
_MINI = re.compile(rb"^mini-swe-agent \(step (\d+), \$([\d.]+)\)")


def _aider(heard: Heard, line: bytes) -> Heard:
    found = _AIDER.match(line)
    if not found:
        return replace(heard, well=False) if _LITELLM.match(line) else heard
    tokens = sum(
        int(_bounded(float(number.replace(b",", b"")) * {b"k": 1e3, b"M": 1e6}.get(unit, 1)))
        for number, unit in (found.group(1, 2), found.group(3, 4))
    )
    money = _bounded(float(found[5])) if found[5] else heard.spent.money
    spent = Spent(heard.spent.turns + 1, heard.spent.tokens + tokens, money)
    return replace(heard, spent=spent, well=None)


def _mini(heard: Heard, line: bytes) -> Heard:
    found = _MINI.match(line)
    if not found:
        return replace(heard, well=False) if _LITELLM.match(line) else heard
    spent = replace(heard.spent, turns=int(_bounded(float(found[1]))), money=_bounded(float(found[2])))
    return replace(heard, spent=spent, well=None)


# The events of each program


def _claude(heard: Heard, event: Event, now: float) -> Heard:
    """Read the stream-json of claude; qwen, cursor-agent and amp print the same form."""
    match event.get("type"):
        case "system" if event.get("subtype") == "api_retry":
            refused = heard.refused + 1 if _number(event, "error_status") in REFUSED else 0
            return replace(heard, waits=now + _number(event, "retry_delay_ms") / 1000, refused=refused)
        case "system" if event.get("subtype") == "init":
            return replace(heard, conversation=_text(event, "session_id"))
        case "assistant":
            usage = _at(event, "message", "usage")
            if _refused(event):
                return _said(heard, "\n".join(_text(part, "text") for part in _parts(event, "message")))
            called = [part for part in _parts(event, "message") if part.get("type") == "tool_use"]
            heard = _said(heard, "\n".join(_text(part, "text") for part in _parts(event, "message")))
            heard = replace(heard, call=_print([(part.get("name"), part.get("input")) for part in called]), waits=0.0, refused=0)
            full = sum(_number(usage, f"{kind}input_tokens") for kind in ("", "cache_creation_", "cache_read_"))
            paid = full - _number(usage, "cache_read_input_tokens") + _number(usage, "output_tokens")
            return _answered(heard, _text(_at(event, "message"), "id"), int(paid), 0.0, int(full))
        case "user":
            results = [part for part in _parts(event, "message") if part.get("type") == "tool_result"]
            return _acted(heard, heard.call, [part.get("content") for part in results]) if results else heard
        case "result":
            usage = _at(event, "usage")
            paid = sum(_number(usage, f"{kind}_tokens") for kind in ("input", "cache_creation_input", "output"))
            failed = event.get("is_error") is True or _text(event, "subtype").startswith("error")
            well = not (failed or _API_ERROR.match(_text(event, "result")))
            spent = Spent(
                # It counts requests, of which the last was not answered if it failed.
                well and int(_number(event, "num_turns")) or heard.spent.turns,
                int(paid) or heard.spent.tokens,
                _number(event, "total_cost_usd") or heard.spent.money,
            )
            return replace(_said(heard, _text(event, "result")), spent=spent, finished=True, well=well)
    return heard


def _refused(event: Event) -> bool:
    """Tell whether a message of the assistant is the program's own, to say that its request failed."""
    first = next((_text(part, "text") for part in _parts(event, "message")), "")
    unanswered = not _number(event, "message", "usage", "output_tokens")
    return _at(event, "message").get("model") == "<synthetic>" or unanswered and bool(_API_ERROR.match(first))


def _codex(heard: Heard, event: Event, now: float) -> Heard:
    item = _at(event, "item")
    match event.get("type"), item.get("type"):
        case "thread.started", _:
            return replace(heard, conversation=_text(event, "thread_id"))
        case "item.completed", "agent_message":
            return _answered(_said(heard, _text(item, "text")), _text(item, "id"), 0, 0.0, heard.context)
        case "item.completed", "command_execution":
            heard = _answered(heard, _text(item, "id"), 0, 0.0, heard.context)
            return _acted(heard, _text(item, "command"), [_text(item, "aggregated_output"), item.get("exit_code")])
        case "turn.completed", _:
            usage = _at(event, "usage")
            paid = _number(usage, "input_tokens") - _number(usage, "cached_input_tokens") + _number(usage, "output_tokens")
            return replace(heard, spent=heard.spent + Spent(tokens=max(0, int(paid))), finished=True, well=True)
        case "turn.failed", _:
            return replace(heard, well=False)
    return heard


def _gemini(heard: Heard, event: Event, now: float) -> Heard:
    match event.get("type"):
        case "init":
            return replace(heard, conversation=_text(event, "session_id"))
        case "message" if event.get("role") == "assistant":
            before = heard.said if event.get("delta") is True and heard.answer == "message" else ""
            return replace(heard, said=(before + _text(event, "content"))[-SAID:], answer="message")
        case "tool_use":
            call = _print((event.get("tool_name"), event.get("parameters")))
            return replace(heard, call=call, answer="", spent=replace(heard.spent, turns=heard.spent.turns + 1))
        case "tool_result":
            return _acted(heard, heard.call, [event.get("status"), event.get("output")])
        case "result":
            stats = _at(event, "stats")
            well = event.get("status") != "error"
            spent = Spent(heard.spent.turns + well, int(_number(stats, "input") + _number(stats, "output_tokens")), 0.0)
            return replace(heard, spent=spent, finished=True, well=well)
    return heard


def _opencode(heard: Heard, event: Event, now: float) -> Heard:
    part, heard = _at(event, "part"), replace(heard, conversation=_text(event, "sessionID") or heard.conversation)
    match event.get("type"):
        case "text":
            return _said(heard, _text(part, "text"))
        case "tool_use":
            state = _at(part, "state")
            return _acted(heard, _print((part.get("tool"), state.get("input"))), [state.get("status"), state.get("output")])
        case "step_finish":
            tokens = _at(part, "tokens")
            paid = int(_number(tokens, "input") + _number(tokens, "output") + _number(tokens, "reasoning"))
            full = int(_number(tokens, "input") + _number(tokens, "cache", "read"))
            heard = _answered(heard, _text(part, "id"), paid, _number(part, "cost"), full)
            stopped = part.get("reason") == "stop"
            return replace(heard, finished=stopped, well=True if stopped else None)
        case "error":
            return replace(heard, well=False)
    return heard


def _pi(heard: Heard, event: Event, now: float) -> Heard:
    match event.get("type"):
        case "session":
            return replace(heard, conversation=_text(event, "id"))
        case "auto_retry_start":
            return replace(heard, waits=now + _number(event, "delayMs") / 1000)
        case "message_end" if _at(event, "message").get("role") == "assistant":
            usage = _at(event, "message", "usage")
            said = "\n".join(_text(part, "text") for part in _parts(event, "message"))
            full = int(_number(usage, "input") + _number(usage, "cacheRead") + _number(usage, "cacheWrite"))
            paid = full - int(_number(usage, "cacheRead")) + int(_number(usage, "output"))
            if _at(event, "message").get("stopReason") == "error":
                return replace(_said(heard, said), spent=heard.spent + Spent(0, max(0, paid), _number(usage, "cost", "total")))
            return _answered(_said(heard, said), "", paid, _number(usage, "cost", "total"), full)
        case "tool_execution_start":
            return replace(heard, call=_print((event.get("toolName"), event.get("args"))), finished=False)
        case "tool_execution_end":
            return _acted(heard, heard.call, [event.get("result")])
        case "agent_end":
            listed = event.get("messages")
            last = listed[-1] if isinstance(listed, list) and listed and isinstance(listed[-1], dict) else {}
            return replace(heard, finished=True, well=last.get("stopReason") not in ("error", "aborted"))
    return heard


def _cline(heard: Heard, event: Event, now: float) -> Heard:
    if event.get("type") == "run_result":
        return replace(_said(heard, _text(event, "text")), finished=True, well=event.get("finishReason") != "error")
    if event.get("type") == "error":
        return replace(heard, well=False)
    inner = _at(event, "event")
    match inner.get("type"), inner.get("contentType"):
        case "usage", _:
            tokens = int(_number(inner, "totalInputTokens") + _number(inner, "totalOutputTokens"))
            spent = Spent(heard.spent.turns + 1, tokens, _number(inner, "totalCost"))
            return replace(heard, spent=spent, context=int(_number(inner, "inputTokens")))
        case "content_end", "text":
            return _said(heard, _text(inner, "text"))
        case "content_start", "tool":
            return replace(heard, call=_print((inner.get("toolName"), inner.get("input"))))
        case "content_end", "tool":
            return _acted(heard, heard.call, [inner.get("output")])
    return heard


def _goose(heard: Heard, event: Event, now: float) -> Heard:
    match event.get("type"):
        case "message" if _at(event, "message").get("role") == "assistant":
            said = "\n".join(_text(part, "text") for part in _parts(event, "message"))
            return _answered(_said(heard, said), _text(_at(event, "message"), "id"), 0, 0.0, heard.context)
        case "complete":
            tokens = int(_number(event, "total_tokens")) or heard.spent.tokens
            return replace(heard, spent=replace(heard.spent, tokens=tokens), finished=True, well=True)
        case "error":
            return replace(heard, well=False)
    return heard


# What the readers share


def _answered(heard: Heard, answer: str, tokens: int, money: float, context: int) -> Heard:
    """Count an answer of the model, once if it has an id."""
    if answer and answer == heard.answer:
        return heard
    return replace(heard, spent=heard.spent + Spent(1, max(0, tokens), money), context=context, answer=answer, waits=0.0)


def _acted(heard: Heard, call: str, outcome: object) -> Heard:
    act = _print((call, outcome))
    return replace(heard, act=act, same=heard.same + 1 if act == heard.act else 1, waits=0.0)


def _said(heard: Heard, text: str) -> Heard:
    return replace(heard, said=text.strip()[-SAID:]) if text.strip() else heard


def _print(value: object) -> str:
    return hashlib.sha1(msgspec.json.encode(value)).hexdigest()


def _at(event: Event, *path: str) -> Event:
    """Return the object at a path; an empty one if there is none."""
    value: Any = event
    for key in path:
        value = value.get(key) if isinstance(value, dict) else None
    return value if isinstance(value, dict) else {}


def _parts(event: Event, key: str) -> list[Event]:
    """Return the parts of a message's content that are objects."""
    content = _at(event, key).get("content")
    return [part for part in content if isinstance(part, dict)] if isinstance(content, list) else []


def _text(event: Event, key: str) -> str:
    value = event.get(key)
    return value if isinstance(value, str) else ""


def _number(event: Event, *path: str) -> float:
    """Return the number at a path; 0 for what is no number that can be spent."""
    value = _at(event, *path[:-1]).get(path[-1])
    return _bounded(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else 0.0


def _bounded(number: float) -> float:
    """Return a number that can be spent; 0 for one that cannot."""
    return float(number) if 0 <= number < 1e12 else 0.0


claude, codex, gemini, opencode = Reader(_claude), Reader(_codex), Reader(_gemini), Reader(_opencode)
pi, cline, goose = Reader(_pi), Reader(_cline), Reader(_goose)
aider, mini = Reader(line=_aider), Reader(line=_mini)
nothing = Reader()
"""For a program that nobody knows."""
