"""The doctor tries agent programs for real: each does a tiny task in a repository made for it."""

import json

import pytest

RESULT = json.dumps({"type": "result", "num_turns": 2, "total_cost_usd": 0.25, "usage": {"input_tokens": 500}})


def test_a_program_that_does_it(repo, claude):
    claude(f"echo hello >hello.txt; git add hello.txt; git commit -qm 'Say hello'; echo '{RESULT}'")
    said = repo.cli("doctor", "--agents", "--adapter", "claude").stdout
    assert said.startswith("claude: well (") and "2 turns, 500 tokens, $0.25" in said
    # Nothing of it is in the repository.
    assert repo.refs() == []


@pytest.mark.parametrize(
    ("script", "how", "todo"),
    [
        ("echo 'API Error: 401 invalid x-api-key'; exit 1", "401 invalid x-api-key", "renew the key"),
        (
            "echo bye >hello.txt; git add .; git commit -qm bye",
            "something else than it was asked for",
            "run the program by hand: claude",
        ),
        ("true", "empty", "run the program by hand"),
    ],
)
def test_one_that_does_not_is_named_with_its_own_words_and_the_mend(repo, claude, script, how, todo):
    claude(script)
    done = repo.cli("doctor", "--adapter", "claude", ok=9)
    assert how in done.stdout and todo in done.stdout
    assert "claude did not do it" in done.stderr
    (trial,) = map(json.loads, repo.cli("doctor", "--adapter", "claude", "--json", ok=9).stdout.splitlines())
    assert (trial["adapter"], trial["well"]) == ("claude", False) and how in trial["how"]


def test_without_any_program_the_doctor_says_so(repo, monkeypatch):
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    assert "no agent program is on the PATH" in repo.cli("doctor", "--agents", ok=4).stderr
    assert "npm install -g @anthropic-ai/claude-code" in repo.cli("doctor", "--adapter", "claude", ok=4).stderr
