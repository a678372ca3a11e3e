"""Refs written by hand that hold nonsense: every command says which, or goes on without."""

import json
import subprocess

import pytest

from tests.support.agents import WORK, add, run
from tests.support.hub import PATIENCE, command, environment, until

COMMANDS = (
    ["queue", "--all"],
    ["why", "one"],
    ["task", "list"],
    ["task", "show", "one"],
    ["ps"],
    ["radar"],
    ["verify"],
    ["doctor"],
    ["policy", "tune"],
    ["bot", "run", "--once"],
)
RUN = ["run", "--attempts", "1", "--", "sh", "-c", WORK]
GOES_ON = (
    "verdicts",
    "pause",
    "inbox/ann/one/9",
    "inbox/nobody",
    "outbox/ann/two/1",
    "stage/7",
    "salvage/agent-1/mine",
    "tasks/a/b",
    "tasks/three",
    "claims/two",
    "claims/c/d",
)
STOPS = {
    "state": ("bot", 5, "[]"),
    "tasks/one": ("task", 1, "[]"),
    "claims/one": ("run", 7, '{"agent": "../x", "generation": 1, "expires": 1}'),
}
"""The command that cannot go on with this there, and its exit status."""


def write(repo, ref, text):
    files = {name: text.encode() for name in ("task.json", "meta.json", "verdict.json")}
    tree = repo.hub.objects.replace(repo.hub.objects.commit(repo.tip).tree, {**files, "format": b"1", "probes.json": b"{}"})
    repo.git("update-ref", f"refs/agentctl/{ref}", repo.hub.objects.write_commit(tree, (), text + "\n", 1))


def told(repo, *more):
    """(words, what became of it) of each command."""
    for words in (*COMMANDS, *more):
        done = subprocess.run(
            command(*words),
            cwd=repo.path,
            env=environment(),
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            timeout=PATIENCE,
        )
        assert "Traceback" not in done.stderr, (words, done.stderr)
        yield words, done


@pytest.fixture
def lived(make_repo):
    repo = make_repo(attempts=1)
    add(repo, "one")
    repo.submit("two", {"two.txt": "BUG\n"})
    repo.drain()
    return repo


@pytest.mark.parametrize("ref", STOPS)
def test_what_stops_is_named(lived, ref):
    stopped, status, text = STOPS[ref]
    write(lived, ref, text)
    said = {words[0]: done for words, done in told(lived, RUN)}
    for words in (stopped, "doctor"):
        told_of = said[words].stderr + said[words].stdout
        assert f"refs/agentctl/{ref}" in told_of and "hint: " in told_of
    assert said[stopped].returncode == status


def test_what_does_not_matter_stops_nobody(lived):
    for n, ref in enumerate(GOES_ON):
        write(lived, ref, ("[]", "no JSON", '{"by": 7}')[n % 3])
    said = {words[0]: done.returncode for words, done in told(lived)}
    assert said["bot"] == 7, "what came in by hand is rejected although the queue is paused"
    lived.cli("queue", "resume")
    assert "shares no history" in lived.record("one").why
    run(lived, WORK)
    assert lived.stage("one") == "landed"


@pytest.mark.parametrize(
    "spoil",
    [
        lambda repo, number: repo.git("update-ref", f"refs/agentctl/stage/{number + 1}", repo.tip),
        lambda repo, number: repo.git("update-ref", f"refs/agentctl/stage/{number}", repo.tip),
        lambda repo, number: repo.git("update-ref", "-d", f"refs/agentctl/stage/{number}"),
    ],
    ids=["the next", "moved", "deleted"],
)
def test_a_bot_goes_on_whatever_becomes_of_its_stage(make_repo, tmp_path, spoil):
    go = tmp_path / "go"
    repo = make_repo(gate=f"while ! [ -e {go} ]; do sleep 0.01; done; sh check.sh")
    go.touch()
    repo.trunk_judged()
    go.unlink()
    repo.submit("one", {"one.txt": "1\n"})
    with repo.bot() as bot:
        until(bot, lambda: bot.state.probes)
        spoil(repo, bot.state.probes[-1].probe.number)
        repo.submit("two", {"two.txt": "2\n"})
        go.touch()
        until(bot, lambda: bot.idle)
    assert repo.stages() == {"one/1": "landed", "two/1": "landed"}
    assert repo.refs("refs/agentctl/stage") == []
    repo.proven()


ANSWERS = {
    "no subject": '{"with": [{"commit": "x", "change": "a"}]}',
    "deep": '{"x": ' + "[" * 900 + "]" * 900 + "}",
    "null": '{"with": null}',
    "no object": "[1]",
    "a large number": '{"exit": 1' + "0" * 6000 + "}",
    "half a pair": '{"why": "\\ud800"}',
}


@pytest.mark.parametrize("text", ANSWERS.values(), ids=ANSWERS)
def test_why_tells_the_rest_whatever_stands_in_the_outbox(make_repo, text):
    repo = make_repo(attempts=1)
    repo.submit("bad", {"bad.txt": "BUG\n"})
    repo.drain()
    ref = "outbox/ann/bad/1"
    write(repo, ref, text)
    said = repo.cli("why", "bad").stdout
    assert "bad/1: rejected" in said and "admit bad/1" in said and "next: " in said
    assert "    found a bug" in said, "the bot's own verdict has the output"
    plain = json.loads(repo.cli("why", "bad", "--json").stdout)
    assert plain["reason"].startswith("check: exit status 1") and plain["history"]
    broken = text not in (ANSWERS["deep"],)
    assert bool(plain["answer"]["unread"]) == broken == (f"note: the answer cannot be read: refs/agentctl/{ref}" in said)
    # A broken ref is told like that, too.
    (repo.path / ".git/refs/agentctl" / ref).write_text("odd\n")
    assert f"note: the answer cannot be read: broken ref refs/agentctl/{ref}" in repo.cli("why", "bad").stdout
    (repo.path / ".git/refs/agentctl" / ref).unlink()
    assert "    found a bug" in repo.cli("why", "bad").stdout


def test_what_a_conflict_is_with_is_told_by_the_history_and_not_by_the_answer(make_repo):
    repo = make_repo(files={"color": "grey\n"})
    base = repo.tip
    for name in ("red", "blue"):
        repo.submit(name, {"color": f"{name}\n"}, base=base)
    repo.drain()
    [lost] = [name for name in ("red", "blue") if repo.stage(name) == "rejected"]
    before = repo.cli("why", lost).stdout
    assert "conflicts with" in before and "conflict" in repo.answer(lost)["verdict.json"]
    write(repo, f"outbox/ann/{lost}/1", json.dumps({"with": [{"commit": "1" * 40, "subject": "innocent"}]}))
    said = repo.cli("why", lost).stdout
    assert [line for line in before.splitlines() if "conflicts with" in line][0] in said and "innocent" not in said


def test_a_session_begins_whatever_stands_in_the_outbox(make_repo):
    repo = make_repo(attempts=1)
    add(repo, "one")
    run(repo, "echo BUG >one.txt; git add -A; git commit -qm bug", ok=7)
    [ref] = repo.refs("refs/agentctl/outbox")
    write(repo, ref.removeprefix("refs/agentctl/"), ANSWERS["null"])
    repo.cli("task", "open", "one")
    run(repo, f'grep -q "exit status 1" "$AGENTCTL_PROMPT_FILE" && {WORK}')
    assert repo.stage("one") == "landed"
