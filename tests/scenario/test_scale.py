"""The number of agents changes while they work."""

import json

from tests.support.agents import WORK, add, nothing_is_left, run, task
from tests.support.hub import eventually, policy

NAMES = [f"t{n}" for n in range(6)]


def each_waits(tmp_path):
    """An agent that works until the test lets its task, or all of them, go."""
    return f'while ! [ -e "{tmp_path}/go-$AGENTCTL_TASK" ] && ! [ -e "{tmp_path}/go" ]; do sleep 0.02; done; {WORK}'


def spans(repo):
    """When each session began and ended, in order."""
    sessions = [session for name in NAMES for session in task(repo, name)["sessions"]]
    return sorted((s["ended"] - s["seconds"], s["ended"], s["agent"]) for s in sessions)


def test_more_agents_begin_at_once(repo, live, tmp_path):
    add(repo, *NAMES)
    running = live(each_waits(tmp_path))
    running.working("t0", "t1")
    assert repo.cli("scale", 5).stdout.startswith("5 agents, said ")
    running.working("t0", "t1", "t2", "t3", "t4")
    said = running.ends()
    assert said.count("5 agents instead of 2") == 1 and "6 of 6 landed" in said
    nothing_is_left(repo)


def test_of_fewer_agents_the_idle_ones_go_and_no_session_is_ended(repo, live, tmp_path):
    add(repo, *NAMES)
    running = live(each_waits(tmp_path), "--agents", 3)
    running.working("t0", "t1", "t2")
    assert (
        repo.cli("scale").stdout
        == "3 agents in the run that goes on, by its --agents; 2 agents in later ones, as the policy says\n"
    )
    repo.cli("scale", 1)
    running.hears("1 agent instead of 3")
    assert "6 of 6 landed" in running.ends()
    first, later = spans(repo)[:3], spans(repo)[3:]
    ended = max(end for _, end, _ in first)
    for begin, end, agent in later:
        # Each began when no other ran any more, and it is the first agent that is left.
        assert begin >= ended - 0.001 and agent == "agent-1"
        ended = end
    assert {session["end"] for name in NAMES for session in task(repo, name)["sessions"]} == {"submitted"}
    nothing_is_left(repo)


def test_a_run_follows_the_policy_in_force(repo, live, tmp_path):
    add(repo, *NAMES)
    running = live(each_waits(tmp_path))
    running.working("t0", "t1")
    repo.push({".agentctl/policy.yaml": policy().replace("count: 2", "count: 3")})
    running.working("t0", "t1", "t2")
    # What a person says at a terminal goes before it, and can be taken back.
    repo.cli("scale", 4)
    running.working("t0", "t1", "t2", "t3")
    assert repo.cli("scale", "--policy").stdout == "3 agents, as the policy says\n"
    running.hears("3 agents instead of 4")
    assert "6 of 6 landed" in running.ends()


def test_what_was_said_holds_for_later_runs_but_those_that_are_asked_for_a_number(repo):
    repo.cli("scale", 1)
    assert json.loads(repo.cli("scale", "--json").stdout)["by"] == "scale"
    add(repo, "t0", "t1")
    said = run(repo, f"{WORK}; touch $AGENTCTL_AGENT").stdout
    assert "1 agent instead of 2" in said
    assert {session["agent"] for name in ("t0", "t1") for session in task(repo, name)["sessions"]} == {"agent-1"}
    add(repo, "t2", "t3", "t4")
    assert "instead of" not in run(repo, WORK, "--agents", 3).stdout


def test_a_file_that_cannot_be_read_says_nothing(repo):
    repo.cli("scale", 1)
    (repo.path / ".git/agentctl/scale.json").write_text('{"agents": -3}')
    assert repo.cli("scale").stdout == "2 agents, as the policy says\n"
    add(repo, "t0")
    assert "1 of 1 landed" in run(repo, WORK).stdout


def test_a_run_that_was_asked_for_a_number_keeps_it_until_somebody_says_another(repo, live, tmp_path):
    repo.cli("scale", 5)
    add(repo, *NAMES)
    running = live(each_waits(tmp_path), "--agents", 1)
    running.working("t0")
    repo.push({".agentctl/policy.yaml": policy().replace("count: 2", "count: 3")})
    eventually(lambda: "trunk was moved" in running.said or "adopted" in running.said)
    running.working("t0")
    repo.cli("scale", 2)
    running.working("t0", "t1")
    running.ends()
