"""The list of tasks changes while a fleet works on it."""

import json

from tests.support.agents import WORK, add, ends, nothing_is_left, run, task
from tests.support.hub import eventually, write

WAITS = 'while ! [ -e "$GO" ]; do sleep 0.02; done'
"""What an agent does until the test lets it go on."""


# tasks come


def test_a_list_takes_in_what_is_added_opened_and_bumped_while_it_runs(repo, live, tmp_path):
    add(repo, "parked", "bumped", "other", "another")
    repo.cli("task", "park", "parked")
    write(tmp_path, {"list.yaml": "- {id: first, prompt: do it}\n"})
    running = live(f"[ $AGENTCTL_TASK != first ] || {WAITS}; {WORK}", tmp_path / "list.yaml", "--agents", 2)
    running.working("first")
    repo.cli("task", "add", "--id", "new", "Do it")
    repo.cli("task", "open", "parked")
    repo.cli("task", "bump", "bumped")
    for name in ("new", "parked", "bumped"):
        eventually(lambda name=name: repo.stages().get(f"{name}/1") == "landed")
        assert f"{name} is on the list now" in running.said
    said = running.ends()
    assert said.count("3 other tasks are open: agentctl run without a list works on them too") == 1
    assert "4 of 4 landed, 0 parked" in said
    assert {task(repo, name)["status"] for name in ("other", "another")} == {"ready"}
    nothing_is_left(repo)


def test_without_a_list_all_there_is_and_all_that_comes_is_worked_on(repo, live):
    add(repo, "old")
    running = live(f"[ $AGENTCTL_TASK != old ] || {WAITS}; {WORK}", "--agents", 2)
    running.working("old")
    repo.cli("task", "add", "--id", "new", "Do it")
    eventually(lambda: repo.stages().get("new/1") == "landed")
    said = running.ends()
    assert "2 of 2 landed" in said and "new is on the list now" in said and "other task" not in said


def test_what_is_bumped_goes_next(repo, live):
    add(repo, "first", "second", "third")
    running = live(f"{WAITS}; {WORK}", "--agents", 1)
    running.working("first")
    assert repo.cli("task", "bump", "third").stdout == "third: priority 1\n"
    running.ends()
    assert [task(repo, name)["sessions"][0]["ended"] for name in ("first", "third", "second")] == sorted(
        task(repo, name)["sessions"][0]["ended"] for name in ("first", "second", "third")
    )


# tasks are put aside


def test_a_parked_task_blocks_those_behind_it_until_it_is_opened(repo):
    add(repo, "first", {"id": "then", "after": ["first"]}, {"id": "last", "after": ["then"]}, "other")
    repo.cli("task", "park", "first", "--reason", "after the release")
    said = run(repo, WORK, ok=7).stdout
    assert "1 of 4 landed, 1 parked, 2 blocked" in said
    reason = "it comes after first, which is parked: put aside by Tess Tester: after the release"
    assert f"blocked     then: {reason}" in said
    assert "blocked     last: it comes after then, which waits for first, which is parked: " in said
    assert f"then   do it ({reason})" in repo.cli("task", "list").stdout
    assert f"then: blocked ({reason})" in repo.cli("task", "show", "then").stdout
    assert task(repo, "last")["waits_for"] == ["then"]

    repo.cli("task", "open", "first")
    assert "4 of 4 landed" in run(repo, WORK).stdout
    assert repo.landings()[1:] == ["first/1", "then/1", "last/1"]


def test_the_summary_has_what_is_blocked_as_json(repo):
    add(repo, "first", {"id": "then", "after": ["first"]})
    repo.cli("task", "park", "first")
    *_, summary = map(json.loads, run(repo, WORK, "--json", ok=7).stdout.splitlines())
    assert (summary["parked"], summary["blocked"]) == (1, 1)
    assert summary["blocked_tasks"].keys() == {"then"} and summary["parked_tasks"].keys() == {"first"}


def test_a_list_whose_task_comes_after_one_that_is_left_alone_comes_to_an_end(repo, tmp_path):
    add(repo, "other")
    write(tmp_path, {"list.yaml": "- {id: mine, prompt: do it, after: [other]}\n"})
    said = run(repo, WORK, tmp_path / "list.yaml", ok=7).stdout
    assert "blocked     mine: it comes after other, which is not on the list of this run" in said
    assert "1 other task is open" in said
    assert "2 of 2 landed" in run(repo, WORK).stdout


def test_parking_a_task_ends_its_session_and_keeps_its_work(repo, live):
    add(repo, "one", "two")
    running = live(f"{WORK}; {WAITS}", "--agents", 2)
    running.working("one", "two")
    said = repo.cli("task", "park", "one", "--reason", "not now").stdout
    assert said.startswith("one: parked; agent-") and said.endswith(" is told to stop\n")
    eventually(lambda: task(repo, "one")["sessions"])
    found = task(repo, "one")
    assert (found["status"], found["reason"]) == ("parked", "put aside by Tess Tester: not now")
    (session,) = found["sessions"]
    assert session["end"] == "interrupted" and repo.show("one.txt", session["salvage"]) == "one\n"
    said = running.ends(7)
    assert "parked one: put aside by Tess Tester: not now" in said and "1 of 2 landed, 1 parked" in said

    # No attempt was charged, and the next session is told of the work.
    repo.cli("task", "open", "one")
    run(repo, f'grep -q "{session["salvage"]}" "$AGENTCTL_PROMPT_FILE" && [ $AGENTCTL_ATTEMPT = 1 ] && {WORK}')
    assert ends(repo, "one") == ["interrupted", "submitted"]
    nothing_is_left(repo)


def test_what_several_words_name_is_done_for_all_or_for_none(repo):
    add(repo, "one", "two")
    for words in (("done",), ("open",), ("park",), ("bump", "--priority", 7)):
        said = repo.cli("task", *words, "one", "no-such", "two", "neither", ok=4).stderr
        assert "nothing was changed: no-such: no task called 'no-such'; neither: no task called 'neither'" in said
    assert [(task(repo, name)["status"], task(repo, name)["priority"]) for name in ("one", "two")] == [("ready", 0)] * 2
    repo.cli("task", "done", "one")
    assert "nothing was changed: one: it is done already" in repo.cli("task", "park", "one", "two", ok=5).stderr
    assert repo.cli("task", "open", "one", "two", "one").stdout == "one: open\ntwo: open\n"
    assert repo.cli("task", "park", "one", "two").stdout == "one: parked\ntwo: parked\n"
    assert repo.cli("task", "done", "one", "two").stdout == "one: done\ntwo: done\n"


def test_what_lands_although_it_was_parked_has_landed(repo):
    add(repo, "one", {"id": "then", "after": ["one"]})
    repo.cli("queue", "pause")
    repo.cli("spawn", "ann", "--task", "one", "--", "sh", "-c", WORK)
    assert (
        "note: its change one/1 is waiting still, and may land: agentctl withdraw one" in repo.cli("task", "park", "one").stdout
    )
    repo.cli("queue", "resume")
    repo.drain()
    assert task(repo, "one")["status"] == "landed"
    run(repo, WORK)
    assert repo.landings() == ["one/1", "then/1"]


# sessions are stopped


def test_a_stopped_task_is_not_offered_again_at_once(repo, live):
    add(repo, "one", "two")
    running = live(f"{WORK}; {WAITS}", "--agents", 2)
    running.working("one", "two")
    agent = next(row["agent"] for row in json.loads(repo.cli("ps", "--json").stdout) if row["task"] == "one")
    said = repo.cli("stop", agent).stdout
    assert said == f"{agent}: told to stop; its task is parked, and goes on after: agentctl task open one\n"
    eventually(lambda: task(repo, "one")["sessions"])
    assert (task(repo, "one")["status"], task(repo, "one")["reason"]) == ("parked", "stopped by hand")
    assert "agent-3" in repo.cli("stop", "agent-3", ok=4).stderr

    # Opened while the fleet runs, it goes on there.
    repo.cli("task", "open", "one")
    running.ends()
    assert ends(repo, "one") == ["interrupted", "submitted"]
    nothing_is_left(repo)


def test_sessions_are_stopped_by_the_names_of_their_tasks_too(repo, live):
    add(repo, "one", "two")
    running = live(f"{WORK}; {WAITS}", "--agents", 2)
    running.working("one", "two")
    said = repo.cli("stop", "one", "nobody", "two", ok=4)
    assert "agent 'nobody' runs no session here" in said.stderr
    assert "agentctl task open one" in said.stdout and "agentctl task open two" in said.stdout
    assert "0 of 2 landed, 2 parked" in running.ends(7)
    assert ends(repo, "one") == ends(repo, "two") == ["interrupted"]


def test_a_run_goes_by_the_policy_that_trunk_has_now(live, repo):
    add(repo, "one", "two")
    fleet = live(
        'while [ ! -e "$GO.$AGENTCTL_TASK" ]; do sleep 0.05; done; echo "$KEY" >"$AGENTCTL_TASK.txt"', "-n", "1", "-e", "OTHER=1"
    )
    fleet.working("one")
    text = (repo.path / ".agentctl/policy.yaml").read_text()
    repo.push({".agentctl/policy.yaml": text.replace("  count: 2", "  count: 2\n  env: {KEY: later}")})
    fleet.go.with_name("go.one").touch()
    fleet.working("two")
    fleet.go.with_name("go.two").touch()
    fleet.ends()
    assert (repo.show("one.txt"), repo.show("two.txt")) == ("\n", "later\n")


def test_a_policy_that_cannot_be_used_holds_what_would_begin_and_ends_nothing(live, repo):
    add(repo, "one", "two")
    fleet = live('while [ ! -e "$GO.$AGENTCTL_TASK" ]; do sleep 0.05; done; echo 1 >"$AGENTCTL_TASK.txt"', "-n", "1")
    fleet.working("one")
    text = (repo.path / ".agentctl/policy.yaml").read_text()
    repo.push({".agentctl/policy.yaml": text.replace("timeout: 50s", "timeout: 50")})
    fleet.hears("trunk's policy cannot be used, and nothing begins or lands until it is mended: .agentctl/policy.yaml:7:14:")
    assert "gates[0].timeout: expected a duration" in repo.cli("doctor", ok=9).stdout
    fleet.go.with_name("go.one").touch()
    eventually(lambda: repo.refs("refs/agentctl/inbox"))
    repo.push({".agentctl/policy.yaml": text})
    fleet.working("two")
    fleet.go.with_name("go.two").touch()
    fleet.ends()
    assert sorted(repo.landings()) == ["one/1", "two/1"] and ends(repo, "one") == ["submitted"]
