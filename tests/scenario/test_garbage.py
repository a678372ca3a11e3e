"""Refs written by hand that hold nonsense: every command says which, or goes on without."""

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
