"""Whose fault a failed session is, told from the last words of its program."""

import json
from pathlib import Path

import pytest

from agentctl.core.tasks.ending import End
from agentctl.core.tasks.failure import NATURE, Failure, Kind, at_the_end, classify, written_down
from agentctl.core.tasks.last_words import quote

RECORDED = Path(__file__).parents[1] / "recorded/agents"
NOW = 1_764_331_200.0
"""A Friday, 12:00 UTC."""


def judged(text, end=End.CRASHED, reason="exited"):
    return classify(end, reason, text, NOW, 0.0)


def recorded():
    """What real programs printed at their end, when a server on this machine refused, limited or
    broke off: the heading says how they ended, what it means, and for how long it says to wait."""
    text = Path(__file__).with_name("last_words.txt").read_text()
    for n, part in enumerate(("\n" + text).split("\n==== ")[1:]):
        heading, _, said = part.partition("\n")
        program, how, *status, kind, wait = heading.split()
        end = End.TIMEOUT if how == "timeout" else None if status == ["0"] else End.CRASHED
        yield pytest.param(end, said, Kind[kind], float(wait), id=f"{program}-{kind.lower()}-{n}")


@pytest.mark.parametrize(("end", "said", "kind", "wait"), list(recorded()))
def test_what_real_programs_say(end, said, kind, wait):
    found = classify(end, "exited", said, NOW, 0.0)
    assert (found.kind, found.after) == (kind, NOW + wait if wait else 0.0)
    assert found.said


@pytest.mark.parametrize("place", sorted(RECORDED.iterdir()), ids=lambda place: place.name)
def test_what_real_programs_print_in_a_whole_session(place):
    assert judged((place / "good.log").read_text(), end=None) is None
    assert judged((place / "refused.log").read_text()).kind == Kind.KEY


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        ("401 invalid api key", Kind.KEY),
        ("Invalid API key · Please run /login", Kind.KEY),
        (
            'API Error: 401 {"type":"error","error":{"type":"authentication_error","message":"OAuth token has expired."}}',
            Kind.KEY,
        ),
        ("Error: Missing environment variable: `OPENAI_API_KEY`.", Kind.KEY),
        ("Error: 403 PERMISSION_DENIED. Generative Language API has not been used in project 1", Kind.KEY),
        *(
            (
                json.dumps(
                    {"type": "turn.failed", "error": {"message": f"Your access token could not be refreshed because {why}"}}
                ),
                Kind.KEY,
            )
            for why in (
                "your refresh token was already used. Please log out and sign in again.",
                "your refresh token was revoked. Please log out and sign in again.",
                "you have since logged out or signed in to another account. Please sign in again.",
            )
        ),
        ("OAuth token has expired. Please run /login", Kind.KEY),
        ("OAuth token revoked · Please run /login", Kind.KEY),
        ("OAuth token revoked", Kind.KEY),
        ("Your organization has been disabled.", Kind.KEY),
        ("You're out of extra usage · resets 6pm (UTC)", Kind.RATE),
        ("You’re out of extra usage", Kind.MONEY),
        ("You have no quota remaining.", Kind.MONEY),
        ("ENOSPC: no space left on device, write", Kind.DISK),
        ("OSError: [Errno 122] Disk quota exceeded: '/home/dev/.cache/x'", Kind.DISK),
        ("Credit balance is too low", Kind.MONEY),
        (
            "openai.RateLimitError: Error code: 429 - {'error': {'message': 'You exceeded your current quota, please check "
            "your plan and billing details.', 'code': 'insufficient_quota'}}",
            Kind.MONEY,
        ),
        ("API Error: 429 rate_limit_error: usage limit reached, retry later", Kind.RATE),
        ("Claude AI usage limit reached|1764338400", Kind.RATE),
        ("You've hit your limit · resets 3pm (UTC)", Kind.RATE),
        ("■ You've hit your usage limit. Upgrade to Pro or try again in 2 hours 5 minutes.", Kind.RATE),
        ("ERROR: Quota exceeded for quota metric 'Generate Content API requests per minute'", Kind.RATE),
        ('API Error: 529 {"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}', Kind.OVERLOAD),
        ("[API Error: 503 The model is overloaded. Please try again later.]", Kind.OVERLOAD),
        ("API Error: 500 Internal server error", Kind.OVERLOAD),
        ("Error: connect ECONNREFUSED 127.0.0.1:443", Kind.NETWORK),
        ("curl: (6) Could not resolve host: api.example.com", Kind.NETWORK),
        ("TypeError: fetch failed", Kind.NETWORK),
        ("sh: 1: claud: not found", Kind.PROGRAM),
        ("API Error: 401 unauthorized\nError: the agent ended with status 1", Kind.KEY),
        ("bash: line 1: claud: command not found", Kind.PROGRAM),
        ("error: unexpected argument '--yolo' found", Kind.PROGRAM),
        ("--dangerously-skip-permissions cannot be used with root/sudo privileges for security reasons", Kind.PROGRAM),
        ("stream error: Codex ran out of room in the model's context window.", Kind.CONTEXT),
        ("API Error: 400 input length and `max_tokens` exceed context limit: prompt is too long", Kind.CONTEXT),
    ],
)
def test_what_they_are_known_to_say_besides(said, kind):
    assert judged("I begin.\n" + said + "\n").kind == kind


@pytest.mark.parametrize(
    "said",
    [
        "",
        "half of it is written",
        "KeyError: 'colour'",
        "exit status 3",
        "E       assert 429 == 200",
        "FAILED tests/test_client.py::test_rate_limit - AssertionError: 401 != 200",
        "AssertionError: expected status 503",
        "I made the client wait at a rate limit.\nKeyError: 'colour'",
        "I made the client wait at a rate limit.\nFAILED tests/test_client.py::test_429 - AssertionError: 200 != 429\nexit status 3",
        "error: settings.toml: not found",
        "I sign users in again when the OAuth token has expired.\nKeyError: 'colour'",
        "The page says so when an OAuth token was revoked.",
        "Tests cover that no space left on device ends no run.",
        'Traceback (most recent call last):\n  File "a.py", line 401, in run\nZeroDivisionError: division by zero',
    ],
)
def test_anything_else_is_the_tasks_own(said):
    assert judged(said) is None


PROSE = """\
I made the client wait when the server answers with status 429, and added a test for it.
The tests cover 401 and 403 as well, and a connection refused.
OAuth token expired pages are shown again, and ENOSPC is handled.
"""


def test_prose_about_errors_is_no_error_of_a_session_that_ended_well():
    assert judged(PROSE, end=None) is None
    assert judged(PROSE + "429 Too Many Requests\n", end=None).kind == Kind.RATE


def test_what_is_mentioned_after_the_last_test_run_counts():
    assert (
        judged("FAILED tests/test_client.py::test_429 - AssertionError: 200 != 429\nsorry, rate limit reached").kind == Kind.RATE
    )


def test_only_the_last_lines_count():
    later = "".join(f"line {n}\n" for n in range(30))
    assert judged("API Error: 401 unauthorized\n" + later) is None
    assert judged(later + "API Error: 401 unauthorized\n" + "at main.js\n" * 10).kind == Kind.KEY


def test_an_error_that_was_overcome_does_not_count_when_the_time_is_up():
    worked = "".join('{"type":"item.completed","item":{"type":"agent_message","text":"on it"}}\n' for _ in range(8))
    lost = '{"type":"error","message":"Reconnecting... 1/5 (unexpected status 503 Service Unavailable)"}\n'
    assert judged(lost + worked, End.TIMEOUT).kind == Kind.LIMIT
    assert judged(worked + lost, End.TIMEOUT).kind == Kind.OVERLOAD


def test_what_tools_print_is_no_error_of_the_programs():
    tool = '{"type":"tool_result","status":"error","error":{"message":"401 unauthorized"}}'
    read = '{"type":"user","message":{"role":"user","content":[{"type":"tool_result","content":"429 rate limit"}]}}'
    assert judged(f"{tool}\n{read}\n") is None


def test_quota_that_comes_back_is_a_rate():
    found = judged("429 RESOURCE_EXHAUSTED. You exceeded your current quota. Please retry in 28.5s.")
    assert found == Failure(Kind.RATE, found.said, NOW + 28.5)


def test_our_own_limits():
    assert judged("working\n", End.TIMEOUT) == Failure(Kind.LIMIT, "working")
    assert judged("", End.STUCK).kind == Kind.LIMIT
    assert judged("loud\n", End.CRASHED, "output").kind == Kind.LIMIT


def test_a_program_that_never_ran():
    assert judged("", End.CRASHED, "not-found") == Failure(Kind.PROGRAM, "not-found")


@pytest.mark.parametrize("end", [End.DEFERRED, End.INTERRUPTED, End.BLOCKED])
def test_who_was_stopped_or_puts_off_has_not_failed(end):
    assert judged("API Error: 401 unauthorized\n", end) is None


def test_the_quote_is_the_last_error_short_and_harmless():
    assert quote("Error: the disk\nis \x1b[31mfull\x1b[0m\n") == "Error: the disk"
    assert quote("first\n  \x1b]0;title\x07last \u202e words \n\n") == "last \\u202e words"
    assert quote("│ Error: in a box │\n╰──────╯\n") == "Error: in a box"
    assert len(quote("Error: " + "x" * 5000)) < 200
    assert quote("\n") == ""


def test_a_line_that_the_terminal_broke_is_read_as_one():
    assert "Incorrect API key" in quote(
        "litellm.AuthenticationError: AuthenticationError: OpenAIException - Incorrect\nAPI key provided: sk-fake.\n"
    )


@pytest.mark.parametrize("line", ['{"error": ' * 5000, "{", '{"type": 3, "error": {"code": null}}', "\ud800", "[" * 9000])
def test_odd_lines_do_no_harm(line):
    judged(line)
    quote(line)


def test_every_kind_has_its_nature():
    assert set(NATURE) == set(Kind)
    assert all(nature.todo for nature in NATURE.values() if not nature.mends)


def test_what_hits_the_fleet_and_what_passes_by_itself():
    assert {kind for kind in Kind if not NATURE[kind].fleet} == {Kind.CONVERSATION, Kind.CONTEXT, Kind.LIMIT}
    assert {kind for kind in Kind if not NATURE[kind].mends} == {Kind.KEY, Kind.MONEY, Kind.PROGRAM, Kind.SETUP}


@pytest.mark.parametrize("reason", ["not-found", "not-executable", "error"])
def test_a_command_that_never_ran_is_no_fault_of_the_tasks(reason):
    assert judged("", reason=reason) == Failure(Kind.PROGRAM, reason)


def test_of_several_words_those_that_say_enough_are_quoted():
    short, enough = "Error: " + "429".ljust(12, "!"), "Error: 429".ljust(20, "!")
    assert judged(f"{enough}\n{short}").said == enough
    assert judged(short).said == short


def test_a_quote_is_from_the_last_lines_only():
    assert quote("Error: it broke\n" + "line\n" * 24) == "Error: it broke"
    assert quote("Error: it broke\n" + "line\n" * 25) == "line"


def test_an_errors_words_are_found_a_few_levels_down_and_no_further():
    def nested(depth):
        return '{"error": ' + '{"a": ' * depth + '"deep"' + "}" * depth + "}"

    assert quote(nested(4)) == "deep" and quote(nested(5)) == ""


@pytest.mark.parametrize("end", End)
def test_a_session_with_a_result_or_without_anything_to_do_has_no_failure(end):
    failure = Failure(Kind.RATE, "429")
    assert written_down(end, failure) == (
        None if end in (End.SUBMITTED, End.EMPTY, End.GAVE_UP, End.PLANNED, End.DONE) else failure
    )


def test_a_log_of_fields_is_quoted_by_what_its_errors_say():
    line = 'time=12:00 level=ERROR session=1 message="stream error" mode=primary error.error="Error: no \\"answer\\" came"'
    assert quote(line) == 'stream error: Error: no \\"answer\\" came'
    assert judged('time=12:00 level=INFO message="401 unauthorized"', end=None) is None


@pytest.mark.parametrize(
    ("tail", "ends"),
    [
        ('step 1 of 3\nAPI Error: 401 {"type":"error","error":{"type":"authentication_error"}}\n', True),
        ("Error: 429 Too Many Requests: rate limit exceeded\n\n", True),
        ("Error: 429 Too Many Requests: rate limit exceeded\nretried, and done\n", False),
        ("FAILED tests/test_x.py::test - Error: 429 Too Many Requests\n", False),
        ("Error: the file is missing\n", False),
        ('{"type": "error", "error": {"message": "overloaded_error"}}\n{"type": "turn.completed"}\n', False),
        ("", False),
    ],
)
def test_whether_an_error_of_the_provider_was_the_end(tail, ends):
    assert at_the_end(tail) == ends
