"""kill -9 of a whole fleet: the same command again completes everything."""

import signal
import time

import pytest

from tests.support.agents import add, ends, kill, nothing_is_left, run, started, task
from tests.support.hub import PATIENCE, eventually

TASKS = ("one", "two", "three")
AGENT = 'echo "$AGENTCTL_TASK" >"$AGENTCTL_TASK.txt"; git add -A; git commit -qm "$AGENTCTL_TASK"; sleep 0.3'
GATE = "sleep 0.3; sh check.sh"


def refs_of(prefix):
    return lambda repo: [path for path in (repo.path / ".git/refs" / prefix).rglob("*") if path.is_file()]


MOMENTS = {
    "the first agents work": refs_of("agentctl/claims"),
    "a gate runs": refs_of("agentctl/stage"),
    "something has landed": lambda repo: repo.landings(),
}


def completes(repo):
    assert "3 of 3 landed" in run(repo, AGENT).stdout
    assert sorted(key.split("/")[0] for key in repo.landings()) == sorted(TASKS)
    assert "all invariants hold" in repo.cli("verify").stdout
    assert repo.git("status", "--porcelain") == ""
    nothing_is_left(repo)


@pytest.mark.parametrize(
    "moment, everything",
    [
        pytest.param(
            moment,
            everything,
            id=f"{moment}, {'all processes' if everything else 'the main process alone'}",
            # The normal run has each moment and each way of killing once at least.
            marks=[pytest.mark.slow] if everything == bool(n % 2) else [],
        )
        for n, moment in enumerate(MOMENTS)
        for everything in (False, True)
    ],
)
def test_killed_when(make_repo, moment, everything):
    repo = make_repo(gate=GATE)
    add(repo, *TASKS)
    process = started(repo, AGENT)
    eventually(lambda: MOMENTS[moment](repo) or process.poll() is not None)
    kill(process, everything, repo.hub.mark)
    completes(repo)


@pytest.mark.slow
@pytest.mark.parametrize("everything", [False, True], ids=["only the main process", "all processes"])
@pytest.mark.parametrize("tenths", range(1, 21, 2))
def test_killed_after_a_while(make_repo, tenths, everything):
    repo = make_repo(gate=GATE)
    add(repo, *TASKS)
    process = started(repo, AGENT)
    time.sleep(tenths / 10)
    kill(process, everything, repo.hub.mark)
    completes(repo)


@pytest.mark.parametrize("how, status", [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_stopped_fleet_leaves_nothing_and_goes_on(repo, how, status):
    add(repo, *TASKS)
    # Each agent has work in its worktree, committed and not, and would go on for long.
    process = started(repo, 'echo half >"half-$AGENTCTL_TASK.txt"; touch "$AGENTCTL_HUB/begun"; exec sleep 1000')
    eventually((repo.path / ".git/begun").exists)
    process.send_signal(how)
    process.communicate(timeout=PATIENCE)
    assert process.returncode == status
    nothing_is_left(repo)
    kept = repo.refs("refs/agentctl/salvage")
    assert kept and all(any(repo.show(f"half-{name}.txt", ref) for name in TASKS) for ref in kept)
    assert task(repo, "one")["status"] == "ready"
    completes(repo)
    assert ends(repo, "one") in (["submitted"], ["interrupted", "submitted"])
