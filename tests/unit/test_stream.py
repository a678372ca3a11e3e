"""What is heard from agent programs: a whole session of each that did its task, and one whose key was refused."""

import json
from pathlib import Path

import pytest

from agentctl.core.queue.spending import Spent
from agentctl.core.tasks import stream
from agentctl.core.tasks.stream import Heard, hear
from agentctl.fleet import adapters

RECORDED = Path(__file__).parents[1] / "recorded/agents"
NOW = 1_000_000.0
SPENT = {
    "claude": Spent(3, 58_494, 0.29367),
    "codex": Spent(3, 31_630),
    "gemini": Spent(3, 37_890),
    "opencode": Spent(3, 24_013),
    "pi": Spent(3, 5_098, 0.005158),
    "qwen": Spent(3, 60_544),
    "cline": Spent(3, 11_533),
    "mini-swe-agent": Spent(3),
    "aider": Spent(1, 2_320),
}
"""The session of each runs two commands and then says that it is done; aider edits a file in one answer."""
SILENT = ("mini-swe-agent", "aider")
"""Those that print no events."""


def lines(name, kind="good"):
    return (RECORDED / name / f"{kind}.log").read_bytes().splitlines()


def heard(name, told, start=Heard()):
    for line in told:
        start = hear(start, line, adapters.lookup(name).reads, NOW)
    return start


@pytest.mark.parametrize("name", SPENT)
def test_what_a_session_used_up_is_known_at_its_end(name):
    spent = heard(name, lines(name)).spent
    assert (spent.turns, spent.tokens, round(spent.money, 6)) == (SPENT[name].turns, SPENT[name].tokens, SPENT[name].money)


@pytest.mark.parametrize("name", [name for name in SPENT if name not in SILENT])
def test_the_result_is_known_and_not_before_it_came(name):
    told = lines(name)
    end = heard(name, told)
    assert end.finished and ("as asked" in end.said)
    before = [heard(name, told[:n]) for n in range(len(told))]
    assert [n for n, one in enumerate(before) if one.finished and n < len(told) - 8] == []


@pytest.mark.parametrize(
    ("name", "conversation"),
    [("claude", "c1b70344"), ("codex", "01a227e1"), ("gemini", "0e3f45c4"), ("opencode", "ses_dd81e"), ("pi", "01a227e1")],
)
def test_the_name_of_the_conversation(name, conversation):
    assert heard(name, lines(name)).conversation.startswith(conversation)


@pytest.mark.parametrize("name", ["claude", "codex", "gemini", "opencode", "pi", "qwen", "cline"])
def test_the_same_with_the_same_outcome_is_counted(name):
    told = lines(name)
    acts = {heard(name, told[: n + 1]).act: n for n in range(len(told))}
    assert len(acts) >= 3, "two commands, and nothing before them"
    assert heard(name, told).same == 1
    # One command, over and over.
    first = sorted(acts.values())[1]
    again = [
        line for line in told[: first + 1] if line.startswith(b"{") and b'"session"' not in line and b"init" not in line[:40]
    ]
    assert heard(name, again * 5).same >= 5


@pytest.mark.parametrize("name", SPENT)
def test_who_is_refused_uses_up_nothing(name):
    spent = heard(name, lines(name, "refused")).spent
    assert spent == Spent()


def test_a_request_that_was_refused_is_no_turn():
    failed, good = lines("pi", "refused"), heard("pi", lines("pi")).spent
    assert heard("pi", [*failed[:-1] * 8, *lines("pi")]).spent == good
    said = {
        "model": "<synthetic>",
        "content": [{"type": "text", "text": "API Error: 529 Overloaded"}],
        "usage": {"input_tokens": 0},
    }
    over = {"type": "result", "subtype": "success", "is_error": True, "num_turns": 1, "result": "API Error: 529 Overloaded"}
    told = [json.dumps(event).encode() for event in ({"type": "assistant", "message": said}, over)]
    assert heard("claude", told).spent == Spent()
    assert heard("claude", [*lines("claude")[:-1], *told]).spent.turns == heard("claude", lines("claude")).spent.turns


def test_what_a_program_calls_its_own_wait():
    retry = json.dumps({"type": "system", "subtype": "api_retry", "retry_delay_ms": 30_000, "error_status": 429}).encode()
    waiting = hear(Heard(), retry, stream.claude, NOW)
    assert waiting.waits == NOW + 30
    assert heard("claude", [line for line in lines("claude") if b'"assistant"' in line][:1], waiting).waits == 0, "it goes on"


def test_what_one_program_prints_says_nothing_of_another():
    quoted = b"Tokens: 9k sent, 9k received."
    assert hear(Heard(), quoted, stream.claude, NOW) == hear(Heard(), quoted, stream.nothing, NOW) == Heard()


def test_who_is_refused_and_goes_on_trying():
    assert heard("claude", lines("claude", "refused")).refused >= 3
    assert heard("claude", [*lines("claude", "refused"), *lines("claude")]).refused == 0
    busy = json.dumps({"type": "system", "subtype": "api_retry", "retry_delay_ms": 500, "error_status": 529}).encode()
    assert heard("claude", [*lines("claude", "refused"), busy]).refused == 0


def test_whether_the_provider_answers():
    retry = json.dumps({"type": "system", "subtype": "api_retry", "retry_delay_ms": 500, "error_status": 529}).encode()
    told = lines("claude")
    assert Heard().answered is None and heard("claude", told[:1]).answered is False
    assert heard("claude", told).answered is True and heard("claude", [*told[:-1], retry]).answered is False
    assert not any(heard(name, lines(name, "refused")).answered for name in SPENT)
    again = json.dumps({"type": "auto_retry_start", "delayMs": 2000}).encode()
    assert heard("pi", [*lines("pi", "refused")[:-1], again, *lines("pi", "refused")[-3:-2]]).answered is False


def test_money_of_programs_that_print_plain_lines():
    told = hear(
        Heard(), b"Tokens: 1.5k sent, 2k cache write, 300 received. Cost: $0.02 message, $1.25 session.", stream.aider, NOW
    )
    assert told.spent == Spent(1, 1800, 1.25)
    assert hear(Heard(), b"mini-swe-agent (step 12, $0.37):", stream.mini, NOW).spent == Spent(12, 0, 0.37)


ODD = [
    b"",
    b"{",
    b"[]",
    b'{"type": 7}',
    b'{"type": "assistant"}',
    b'{"type": "assistant", "message": 3}',
    b'{"type": "assistant", "message": {"content": "text", "usage": []}}',
    b'{"type": "assistant", "message": {"content": [1, null], "usage": {"input_tokens": "many", "output_tokens": -5}}}',
    b'{"type": "result", "total_cost_usd": 1e300, "num_turns": true, "usage": null, "result": {}}',
    b'{"type": "turn.completed", "usage": {"input_tokens": 1e99}}',
    b'{"type": "step_finish", "part": {"tokens": {"cache": 0}}}',
    b'{"type": "message_end", "message": {"role": "assistant", "usage": {"cost": 5}}}',
    b'{"type": "agent_event", "event": []}',
    b"\xff\xfe{}",
    b"{" * 100_000,
    b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
]


@pytest.mark.parametrize("name", SPENT)
def test_what_has_not_the_form_that_is_known_costs_nothing(name):
    told = heard(name, ODD)
    assert (told.spent.tokens, told.spent.money) == (0, 0.0)


AIDER = b"""\
Applied edit to calc/a.py
Commit 7f6cc11 feat: change what it returns

litellm.AuthenticationError: AuthenticationError: OpenAIException - Incorrect
API key provided: fake. You can find your API key at
https://platform.openai.com/account/api-keys.
The API provider is not able to authenticate you. Check your API key.

https://platform.openai.com/account/api-keys
"""


@pytest.mark.parametrize("name", SPENT)
def test_how_a_program_says_that_it_ended(name):
    plain = name in SILENT
    assert heard(name, lines(name)).well is (None if plain else True)
    # claude tries on for minutes with a refused key.
    assert heard(name, lines(name, "refused")).well is (None if name == "claude" else False)


def ended(name, *told):
    return heard(name, [json.dumps(one).encode() if isinstance(one, dict) else one for one in told]).well


def test_the_words_of_a_result_do_not_make_it_an_error():
    result = {"type": "result", "subtype": "success", "is_error": False}
    for words in ("Retrying rate-limited requests now honours Retry-After.", "Error: 401 Unauthorized was printed. Mended.", ""):
        assert ended("claude", result | {"result": words}) is True
    assert ended("qwen", result | {"result": "[API Error: 401 Incorrect API key]"}) is False
    assert ended("claude", result | {"is_error": True, "result": "Execution stopped"}) is False
    assert ended("claude", result | {"subtype": "error_max_turns"}) is False
    assert ended("claude", result, {"type": "assistant", "message": {}}) is None, "it went on"
    assert ended("claude") is None


def test_a_program_without_events_tells_of_a_request_that_failed():
    told = AIDER.splitlines()
    assert ended("aider", *told) is False
    assert ended("aider", *told, b"Tokens: 2.3k sent, 20 received.") is None
    assert ended("aider", b"- litellm.RateLimitError is retried now.") is None
    assert ended("mini-swe-agent", b"AuthenticationError: litellm.AuthenticationError: Incorrect API key") is False
    assert ended("command", *told) is None


DEEP = b"[" * 994 + b"1" + b"]" * 994
ODD = [
    ("aider", b"Tokens: 1.2.3k sent, 5 received."),
    ("aider", b"Tokens: , sent, . received."),
    ("aider", b"Tokens: " + b"9" * 400 + b" sent, 5 received. Cost: $1.00 message, $9.9.9 session."),
    ("mini-swe-agent", b"mini-swe-agent (step 1, $1.2.3)"),
    ("mini-swe-agent", b"mini-swe-agent (step " + b"9" * 5000 + b", $1.00)"),
    ("mini-swe-agent", b"mini-swe-agent (step 1, $" + b"9" * 400 + b")"),
    ("claude", b'{"type":"user","message":{"content":[{"type":"tool_result","content":' + DEEP + b"}]}}"),
    ("codex", b'{"type":"item.completed","item":{"type":"command_execution","exit_code":' + DEEP + b"}}"),
    ("claude", b'{"type":"result","num_turns":1e300,"total_cost_usd":-5,"usage":{"input_tokens":"x"}}'),
]


@pytest.mark.parametrize(("name", "line"), ODD, ids=[str(n) for n in range(len(ODD))])
def test_what_no_program_prints_harms_nobody(name, line):
    assert heard(name, [line]).spent.is_sane
