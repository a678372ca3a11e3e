"""What an agent may say in its session: what is about itself, and what it has planned."""

from tests.support.agents import WORK, add, ends, run, task

OTHERS = [
    "stop agent-2",
    "scale 1",
    "rm agent-2",
    "rm --force agent-1",
    "queue pause",
    "queue resume",
    "task park other",
    "task done other",
    "task open other",
    "task bump other",
    "run -- true",
    "bot restore",
    "bot adopt",
    "bot run --once",
    "spawn zed -- true",
    "spawn zed --task other -- true",
    "revert landed",
    "note --replace",
    "doctor --mend all",
    "task open one",
]


def test_an_agent_does_nothing_to_others(repo):
    repo.submit("landed", {"landed.txt": "landed\n"})
    repo.drain()
    add(repo, "one", "other")
    tried = "; ".join(f'agentctl {words} </dev/null >>said 2>&1; echo "$?" >>said' for words in OTHERS)
    tried += "; agentctl task done one >>said 2>&1"
    script = f'if [ "$AGENTCTL_TASK" = one ]; then {tried}; git add said; git commit -qm said; else {WORK}; fi'
    run(repo, script, "-n", "1")
    said = repo.show("said")
    assert said.count("agentctl: an agent does not do this in its session") == len(OTHERS)
    assert "hint: commit and end the session: the rest happens by itself" in said
    assert [line for line in said.splitlines() if line.isdigit()] == ["5"] * len(OTHERS)
    assert ends(repo, "other") == ["submitted"] and len(repo.landings()) == 3


def test_a_planner_may_park_and_open_what_it_has_planned(make_repo):
    roles = "{planner: {does: plan, command: [sh, -c, 'agentctl task add --id one one; agentctl task park one; exec true']}}"
    repo = make_repo(agents=f"  roles: {roles}\n", attempts=1)
    add(repo, {"id": "goal", "role": "planner"})
    run(repo, WORK, "-n", "1", ok=7)
    assert task(repo, "one")["status"] == "parked" and task(repo, "one")["reason"].startswith("put aside by agent-")


def test_another_hub_is_nobodys_session(repo, make_repo, monkeypatch):
    other = make_repo("other")
    add(other, "one")
    monkeypatch.setenv("AGENTCTL_SESSION", str(repo.path / ".agentctl/session"))
    monkeypatch.setenv("AGENTCTL_HUB", str(repo.path / ".git"))
    assert "one: parked" in other.cli("task", "park", "one").stdout


def test_removing_an_agent_hides_nothing_that_a_dead_supervisor_left(live, repo):
    add(repo, "one")
    fleet = live("echo half >half.txt; git add half.txt; git commit -qm half; touch $GO.half; sleep 100", "-n", "1")
    fleet.working("one")
    fleet.dies("half")
    assert "removed" in repo.cli("rm", "--force", "agent-1").stdout
    (session,) = task(repo, "one")["sessions"]
    assert (session["end"], repo.show("half.txt", session["salvage"])) == ("interrupted", "half\n")
