"""What a program tells while it works: what it used up, and that it is done although it lives on."""

import json

import pytest

from tests.support.agents import WORK, add, ends, kill, nothing_is_left, started, task
from tests.support.hub import PATIENCE, eventually, write

SESSION = {
    "begin": {"type": "system", "subtype": "init", "session_id": "5e55-10n"},
    "answer": {"type": "assistant", "message": {"id": "m", "usage": {"input_tokens": 900, "output_tokens": 100}}},
    "result": {"type": "result", "num_turns": 3, "result": "All done.", "total_cost_usd": 0.5, "usage": {"input_tokens": 3000}},
}
"""The events of claude that count."""


@pytest.fixture
def claude(tmp_path, monkeypatch):
    """Put a program called claude on the PATH: it runs a script in which begin, answer and result print its events."""

    def put(script):
        told = "".join(f"{name}() {{ echo '{json.dumps(event)}'; }}\n" for name, event in SESSION.items())
        write(tmp_path, {"bin/claude": f"#!/bin/sh\n{told}{script}\n"})
        (tmp_path / "bin/claude").chmod(0o755)

    monkeypatch.setenv("PATH", str(tmp_path / "bin"), prepend=":")
    return put


def run(repo, *options, ok=0):
    return repo.cli("run", "--adapter", "claude", *options, ok=ok)


def test_what_sessions_used_up_is_told(repo, claude):
    claude(f"begin; answer; {WORK}; result")
    add(repo, "one", "two")
    assert "spent       6 turns, 6,000 tokens, $1.00 in 2 sessions" in run(repo).stdout
    (session,) = task(repo, "one")["sessions"]
    assert session["spent"] | {"seconds": 0} == {"turns": 3, "tokens": 3000, "money": 0.5, "seconds": 0}
    assert (session["said"], session["conversation"]) == ("All done.", "5e55-10n")
    assert "spent: 3 turns, 3,000 tokens, $0.50" in repo.cli("task", "show", "one").stdout
    assert "used up 3 turns, 3,000 tokens, $0.50" in repo.cli("why", "one").stdout
    spent = json.loads(repo.cli("why", "one", "--json").stdout)["record"]["change"]["spent"]
    assert spent | {"seconds": 0} == {"turns": 3, "tokens": 3000, "money": 0.5, "seconds": 0}


RESULT = '{"type": "result", "subtype": "%s", "is_error": %s, "result": "%s"}'


def test_the_words_of_a_result_hold_no_fleet(repo, claude):
    claude(f"begin; answer; {WORK}; echo '{RESULT % ('success', 'false', 'Error: 429 Too Many Requests is retried now.')}'")
    add(repo, "one", "two")
    assert "pause" not in run(repo).stdout
    assert [session["end"] for session in task(repo, "one")["sessions"]] == ["submitted"]


def test_a_result_that_is_an_error_hands_nothing_in_whatever_the_exit_status(make_repo, claude):
    repo = make_repo()
    claude(f"begin; answer; {WORK}; echo '{RESULT % ('error_during_execution', 'true', 'the tool bridge is lost')}'")
    add(repo, "one")
    run(repo, "--attempts", "1", ok=7)
    (session,) = task(repo, "one")["sessions"]
    assert (session["end"], session["revision"]) == ("crashed", 0) and session["salvage"]
    assert "it ended by an error: the tool bridge is lost" in session["note"]


def test_a_session_that_lives_on_after_its_result_is_ended_and_its_work_lands(make_repo, claude):
    repo = make_repo(agents="  silence: 1s\n")
    claude(f"begin; answer; {WORK}; result; exec sleep 1000")
    add(repo, "one")
    run(repo)
    (session,) = task(repo, "one")["sessions"]
    assert session["end"] == "submitted" and "it told its result and did not end within 1 s" in session["note"]
    assert repo.landings() == ["one/1"]
    nothing_is_left(repo)


def test_a_session_over_its_budget_is_ended_and_the_next_is_told(make_repo, claude):
    repo = make_repo(agents="  budget: {session: {turns: 1}}\n")
    claude(
        f'begin; if [ "$AGENTCTL_GENERATION" = 1 ]; then echo half >half.txt; answer; exec sleep 1000; fi; '
        f'grep -q "its budget is used up: 1 of 1 turns" "$AGENTCTL_PROMPT_FILE" && {WORK}'
    )
    add(repo, "one")
    run(repo)
    first, second = task(repo, "one")["sessions"]
    assert (first["end"], second["end"]) == ("over budget", "submitted")
    assert repo.show("half.txt", first["salvage"]) == "half\n" and repo.show("half.txt") is None
    assert first["failure"]["kind"] == "cut off by our limit"


LIMITS = {
    "agents.context": "context: 100",
    "agents.budget.session": "budget: {session: {turns: 1}}",
    "agents.roles.careful.budget": "roles: {careful: {budget: {turns: 1}}}",
}


@pytest.mark.parametrize("key", LIMITS)
def test_a_task_that_is_cut_off_by_a_limit_is_parked_and_the_key_of_that_limit_named(make_repo, claude, key):
    repo = make_repo(agents=f"  {LIMITS[key]}\n")
    claude("begin; answer; exec sleep 1000")
    add(repo, {"id": "one", "role": "careful" if "careful" in key else ""})
    run(repo, "--attempts", 1, ok=7)
    assert task(repo, "one")["reason"].endswith(f"; a larger {key}, or smaller tasks, may help")


def test_an_agent_is_told_that_its_budget_is_nearly_used_up(make_repo, claude):
    repo = make_repo(agents="  budget: {session: {turns: 5}}\n")
    wait = 'until grep -q "nearly over" "$AGENTCTL_SESSION/news.md"; do sleep 0.05; done'
    answers = "".join(f'answer | sed \'s/"m"/"m{n}"/\'; ' for n in range(4))
    claude(f"begin; {answers}{wait}; {WORK}; result")
    add(repo, "one")
    run(repo)
    assert [session["end"] for session in task(repo, "one")["sessions"]] == ["submitted"]


def test_a_task_over_its_budget_is_parked(make_repo, claude):
    repo = make_repo(agents="  budget: {task: {money: 0.9}}\n")
    claude("begin; echo $AGENTCTL_GENERATION >try.txt; result; exit 1")
    add(repo, "one")
    said = run(repo, ok=7).stdout
    assert ends(repo, "one") == ["crashed", "crashed"]
    assert "parked      one: its budget is used up: $1.00 of $0.90" in said


def test_a_fleet_over_its_budget_ends_and_nothing_is_parked(repo, claude):
    claude(f"begin; {WORK}; result")
    add(repo, "one", "two", "three")
    done = run(repo, "--agents", 1, "--budget", "money=0.9", ok=7)
    assert "ended       the fleet's budget is used up: $1.00 of $0.90" in done.stdout
    assert repo.landings() == ["one/1", "two/1"] and task(repo, "three")["status"] == "ready"
    # Run again, it has a new one.
    run(repo, "--budget", "money=0.9")
    assert len(repo.landings()) == 3


def test_what_a_running_session_has_used_up_is_seen_from_another_terminal(repo, claude):
    claude("begin; answer; exec sleep 1000")
    add(repo, "one")
    fleet = started(repo, "", "--adapter", "claude")
    try:
        eventually(lambda: any(row["spent"]["tokens"] == 1000 for row in json.loads(repo.cli("ps", "--json").stdout)))
        assert "1 turn, 1,000 tokens" in repo.cli("ps").stdout
    finally:
        fleet.terminate()
        fleet.communicate(timeout=PATIENCE)


@pytest.mark.parametrize("odd", ["money", "money=", "money=0", "money=inf", "money=x", "hours=3", "tokens=5M", "time=8"])
def test_what_is_no_budget(repo, odd):
    add(repo, "one")
    said = repo.cli("run", "--budget", odd, "--", "true", ok=2).stderr
    assert f"--budget {odd}: not a budget" in said and "money=20" in said


def test_what_a_session_used_up_counts_though_its_supervisor_was_killed(repo, claude, tmp_path):
    claude(f"begin; if [ -e {tmp_path}/once ]; then {WORK}; result; exit; fi; answer; touch {tmp_path}/once; exec sleep 1000")
    add(repo, "one")
    fleet = started(repo, "", "--adapter", "claude", "--agents", 1)
    eventually(lambda: any(row["spent"]["tokens"] == 1000 for row in json.loads(repo.cli("ps", "--json").stdout)))
    kill(fleet, False, repo.hub.mark)
    run(repo, "--agents", 1)
    assert [session["spent"]["tokens"] for session in task(repo, "one")["sessions"]] == [1000, 3000]
