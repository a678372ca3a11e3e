"""What is heard from agent programs: one whole session of each, as it was printed, with long texts cut."""

import json
from pathlib import Path

import pytest

from agentctl.core.tasks import stream
from agentctl.core.tasks.spending import Spent
from agentctl.core.tasks.stream import Heard, hear
from agentctl.fleet import adapters

RECORDED = Path(__file__).parent / "streams"
NOW = 1_000_000.0
# The session of each asks for three commands and then says that it is done; aider edits a file in one answer.
SPENT = {
    "claude": Spent(4, 78_196, 0.39258),
    "codex": Spent(4, 40_190),
    "gemini": Spent(4, 50_899),
    "opencode": Spent(4, 32_224),
    "pi": Spent(4, 7_019, 0.007099),
    "qwen": Spent(4, 80_946),
    "cline": Spent(7, 28_529),
    "mini-swe-agent": Spent(4),
    "aider": Spent(1, 2_320),
}


def lines(name):
    return (RECORDED / f"{name}.log").read_bytes().splitlines()


def heard(name, told, start=Heard()):
    for line in told:
        start = hear(start, line, adapters.lookup(name).reads, NOW)
    return start


@pytest.mark.parametrize("name", SPENT)
def test_what_a_session_used_up_is_known_at_its_end(name):
    spent = heard(name, lines(name)).spent
    assert (spent.turns, spent.tokens, round(spent.money, 6)) == (SPENT[name].turns, SPENT[name].tokens, SPENT[name].money)


@pytest.mark.parametrize("name", [name for name in SPENT if name not in ("mini-swe-agent", "aider")])
def test_the_result_is_known_and_not_before_it_came(name):
    told = lines(name)
    end = heard(name, told)
    assert (end.finished, end.said) == (True, "Done: committed.")
    for n in range(len(told) - 3):
        assert not heard(name, told[:n]).finished, told[n]


@pytest.mark.parametrize(
    ("name", "conversation"),
    [("claude", "964c13c6"), ("codex", "01a227dc"), ("gemini", "7c55192e"), ("opencode", "ses_dd82"), ("pi", "01a227dd")],
)
def test_the_name_of_the_conversation(name, conversation):
    assert heard(name, lines(name)).conversation.startswith(conversation)


@pytest.mark.parametrize("name", ["claude", "codex", "gemini", "opencode", "pi", "qwen", "cline"])
def test_the_same_with_the_same_outcome_is_counted(name):
    told = lines(name)
    acts = {heard(name, told[: n + 1]).act: n for n in range(len(told))}
    assert len(acts) >= 4, "three commands, and nothing before them"
    assert heard(name, told).same in (1, 3), "cline tries three times to end, and fails the same way"
    # One command, over and over.
    first = sorted(acts.values())[1]
    again = [
        line for line in told[: first + 1] if line.startswith(b"{") and b'"session"' not in line and b"init" not in line[:40]
    ]
    assert heard(name, again * 5).same >= 5


def test_what_a_program_calls_its_own_wait():
    retry = json.dumps({"type": "system", "subtype": "api_retry", "retry_delay_ms": 30_000, "error_status": 429}).encode()
    waiting = hear(Heard(), retry, stream.claude, NOW)
    assert waiting.waits == NOW + 30
    assert heard("claude", lines("claude")[1:2], waiting).waits == 0, "it goes on"


def test_money_of_programs_that_print_plain_lines():
    told = hear(
        Heard(), b"Tokens: 1.5k sent, 2k cache write, 300 received. Cost: $0.02 message, $1.25 session.", stream.nothing, NOW
    )
    assert told.spent == Spent(1, 1800, 1.25)
    assert hear(Heard(), b"mini-swe-agent (step 12, $0.37):", stream.nothing, NOW).spent == Spent(12, 0, 0.37)


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
