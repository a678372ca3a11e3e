"""A provider that refuses, limits or fails, and a fleet that neither burns sessions nor gives up."""

import json
import re
import signal
import subprocess
import time

import pytest

from tests.support.agents import WORK, add, ends, nothing_is_left, run, started, task
from tests.support.hub import PATIENCE, command, environment, eventually

SIX = ("one", "two", "three", "four", "five", "six")


def refused(repo, seconds, words, status=1):
    """An agent whose provider refuses it for some seconds from the first session on, and which counts its sessions."""
    mark = repo.path.parent / "first"
    return f"""
        echo "$AGENTCTL_TASK" >>{repo.path.parent}/sessions
        [ -f {mark} ] || {{ date +%s%N >{mark}.$$; ln {mark}.$$ {mark} 2>/dev/null; }}
        if [ $(( $(date +%s%N) - $(cat {mark}) )) -lt {int(seconds * 1e9)} ]; then echo '{words}'; exit {status}; fi
        {WORK}
    """


def sessions(repo):
    return (repo.path.parent / "sessions").read_text().split()


@pytest.mark.parametrize(
    ("words", "status", "kind"),
    [
        ("API Error: 401 invalid api key", 1, "the key is refused"),
        ("API Error: 429 rate_limit_error", 1, "rate limited"),
        (
            '{"type":"agent_end","messages":[{"role":"assistant","stopReason":"error","errorMessage":"503 overloaded"}]}',
            0,
            "the provider has trouble",
        ),
    ],
)
def test_an_outage_costs_few_sessions_and_no_task(make_repo, words, status, kind):
    repo = make_repo(attempts=1, backoff="400ms")
    add(repo, *SIX)
    said = run(repo, refused(repo, 1.0, words, status)).stdout
    assert "6 of 6 landed, 0 parked" in said
    assert len(sessions(repo)) <= 6 + 2 + 2
    assert f"the fleet pauses: {kind}; the next try is at " in said
    assert "the try did not fail" in said
    assert "\npaused " in said
    nothing_is_left(repo)
    repo.proven()


def test_what_to_do_is_said_at_once_and_where_it_is_looked_for(make_repo):
    repo = make_repo(attempts=1, backoff="300ms")
    add(repo, "one")
    told = [
        json.loads(line)
        for line in repo.cli("run", "--json", "--", "sh", "-c", refused(repo, 0.2, "401 invalid api key")).stdout.splitlines()
    ]
    braked = next(news for news in told if news["kind"] == "braked")
    assert braked["failure"] == "the key is refused" and braked["said"] == "401 invalid api key"
    assert "renew the key" in braked["text"]
    ended = next(news for news in told if news["kind"] == "ended")
    assert ended["session"]["failure"]["kind"] == "the key is refused"
    summary = told[-1]
    assert summary["pauses"] == 1 and summary["paused"] >= 0.3 and "401 invalid api key" in summary["why_paused"]
    shown = repo.cli("task", "show", "one").stdout
    assert "crashed (the key is refused: no attempt)  exit status 1: 401 invalid api key" in shown
    assert task(repo, "one")["sessions"][0]["failure"]["said"] == "401 invalid api key"


def test_a_program_that_cannot_be_run_ends_the_run_and_no_task(make_repo):
    repo = make_repo(attempts=1, backoff="100ms")
    add(repo, *SIX)
    failed = run(repo, f"echo $AGENTCTL_TASK >>{repo.path.parent}/sessions; no-such-agent --yes", ok=125)
    assert "the agents' program cannot be run: sh: 1: no-such-agent: not found" in failed.stderr
    assert "run the command by hand" in failed.stderr
    assert len(sessions(repo)) <= 4
    assert {task(repo, name)["status"] for name in SIX} == {"ready"}
    nothing_is_left(repo)
    # With another command they are all done, and the first session is a try.
    assert "one agent begins, as a try" in run(repo, WORK).stdout
    assert len(repo.landings()) == 6


def test_deaths_that_nobody_explains_stop_the_fleet_for_a_while(make_repo):
    repo = make_repo(attempts=3, backoff="400ms")
    add(repo, *SIX)
    said = run(repo, refused(repo, 0.5, "Segmentation fault (core dumped)", 139), "--agents", 3).stdout
    assert "6 of 6 landed" in said
    assert re.search(r"the fleet pauses: one crash after the other; the next try .*: exit status 139: Segmentation fault", said)


def test_who_starts_it_again_need_not_wait(make_repo):
    repo = make_repo(attempts=1, backoff="1h")
    add(repo, "one", "two")
    first = started(repo, "echo '401 invalid api key'; exit 1")
    eventually(lambda: any(ends(repo, name) for name in ("one", "two")))
    first.send_signal(signal.SIGINT)
    first.communicate(timeout=PATIENCE)
    begun = time.monotonic()
    assert "2 of 2 landed" in run(repo, WORK).stdout
    assert time.monotonic() - begun < PATIENCE


def test_who_gives_up_after_a_rejection_needs_a_person(repo):
    add(repo, "tired")
    said = run(
        repo,
        """if [ -z "$AGENTCTL_ANSWER" ]; then echo BUG >w; git add w; git commit -qm work
                        else git commit -q --allow-empty -m "It works for me"; fi""",
        ok=7,
    ).stdout
    assert ends(repo, "tired") == ["submitted", "gave up"]
    assert task(repo, "tired")["status"] == "parked"
    assert "it needs a person: tired/1 was rejected" in task(repo, "tired")["reason"] and "It works for me" in said


def test_the_programs_own_words_are_in_the_reason_of_a_parked_task(make_repo):
    repo = make_repo(attempts=1)
    add(repo, "odd")
    said = run(repo, "echo 'KeyError: colour'; exit 1", ok=7).stdout
    assert "parked      odd: 1 attempt; the last one: crashed, exit status 1: KeyError: colour" in said


def test_nothing_starts_on_a_machine_without_room(make_repo, tmp_path):
    repo = make_repo(agents="  headroom: {disk: 900000TiB}\n")
    add(repo, "one")
    with open(tmp_path / "told", "w") as told:
        fleet = subprocess.Popen(
            command("run", "--", "sh", "-c", WORK),
            cwd=repo.path,
            env=environment(),
            stdout=told,
            stderr=told,
            stdin=subprocess.DEVNULL,
        )
    try:
        eventually(lambda: "nothing starts until there is more room: only" in (tmp_path / "told").read_text())
        assert task(repo, "one")["status"] == "ready"
    finally:
        fleet.terminate()
        fleet.wait(timeout=PATIENCE)
    assert repo.landings() == []
