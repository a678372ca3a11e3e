"""Agents that plan: they add tasks for others, are called again when these are over, and say when the goal is reached."""

import json

import pytest

from tests.support.agents import WORK, add, ends, nothing_is_left, run, started, task
from tests.support.hub import PATIENCE, eventually, write

PLANNER = """
case "$AGENTCTL_GENERATION" in
1) %s ;;
2) grep -q "^- one: landed" "$AGENTCTL_PROMPT_FILE" && grep -q "> one is easy" "$AGENTCTL_PROMPT_FILE" &&
       agentctl task add --id three "do three" ;;
*) grep -q "^- three: landed" "$AGENTCTL_PROMPT_FILE" && agentctl task done --reason "all three are there" ;;
esac
"""
BY_COMMAND = 'agentctl task add --id one "do one"; agentctl task add --id two --after one "do two"'
BY_FILE = (
    """printf -- '- {id: one, prompt: do one}\\n- {id: two, prompt: do two, after: [one]}\\n' >"$AGENTCTL_SESSION/tasks.yaml" """
)


def agent(planner):
    """An agent that plans or works, by what its task is."""
    worker = f'echo "one is easy" >"$AGENTCTL_SESSION/handoff.md"; {WORK}'
    return f'case "$AGENTCTL_TASK" in goal*) {planner} ;; *) {worker} ;; esac'


@pytest.mark.parametrize("how", [BY_COMMAND, BY_FILE])
def test_from_a_goal_to_what_reaches_it(repo, tmp_path, how):
    write(tmp_path, {"GOAL.md": "# Three files\n\nThere are one.txt, two.txt and three.txt.\n"})
    done = run(repo, agent(PLANNER % how), "--goal", tmp_path / "GOAL.md")
    assert "3 of 4 landed, 1 done without a change" in done.stdout
    assert repo.landings() == ["one/1", "two/1", "three/1"]
    goal = task(repo, "goal-three-files")
    assert (goal["status"], goal["reason"]) == ("done", "all three are there")
    assert ends(repo, "goal-three-files") == ["planned", "planned", "done"]
    assert task(repo, "one")["parent"] == "goal-three-files"
    assert "planned by: goal-three-files" in repo.cli("task", "show", "one").stdout
    nothing_is_left(repo)
    repo.proven()


def test_what_a_planner_changes_is_kept_and_does_not_land(repo):
    add(repo, {"id": "goal", "role": "planner"})
    run(repo, 'echo x >x.txt; git add -A; git commit -qm x; echo y >y.txt; agentctl task done --reason "nothing to do"')
    (session,) = task(repo, "goal")["sessions"]
    assert session["end"] == "done" and "kept in refs/agentctl/salvage/" in session["note"]
    kept = session["note"].partition("kept in ")[2].split(",")[0]
    assert (repo.show("x.txt", kept), repo.show("y.txt", kept), repo.landings()) == ("x\n", "y\n", [])


def test_a_planner_that_does_neither_is_asked_again_and_then_parked(make_repo):
    repo = make_repo(attempts=2)
    add(repo, {"id": "goal", "role": "planner"})
    run(repo, "true", ok=7)
    assert ends(repo, "goal") == ["empty", "empty"] and task(repo, "goal")["status"] == "parked"
    assert "added no task, and did not say that it is done" in task(repo, "goal")["reason"]


def test_a_planner_that_needs_a_person_parks_its_goal(repo):
    add(repo, {"id": "goal", "role": "planner"})
    run(repo, "echo x >x.txt; agentctl task block 'Which of the two?'", ok=7)
    (session,) = task(repo, "goal")["sessions"]
    assert session["end"] == "blocked" and "kept in refs/agentctl/salvage/" in session["note"]
    assert "cannot go on without a person: Which of the two?" in task(repo, "goal")["reason"]


def test_a_list_that_cannot_be_read_is_told_to_the_next_session(repo):
    add(repo, {"id": "goal", "role": "planner"})
    run(
        repo,
        """
        if [ "$AGENTCTL_GENERATION" = 1 ]; then echo "- {id: one, promt: x}" >"$AGENTCTL_SESSION/tasks.yaml"; exit; fi
        grep -q "tasks.yaml:1:.*promt" "$AGENTCTL_PROMPT_FILE" && agentctl task done
        """,
    )
    assert ends(repo, "goal") == ["empty", "done"]


def test_what_is_parked_below_wakes_the_planner_too(make_repo):
    repo = make_repo(attempts=1)
    add(repo, {"id": "goal", "role": "planner"})
    planner = """
        if [ "$AGENTCTL_GENERATION" = 1 ]; then agentctl task add --id hard "do it"; exit; fi
        grep -q "^- hard: parked" "$AGENTCTL_PROMPT_FILE" && agentctl task done --reason "it cannot be done"
    """
    run(repo, f'case "$AGENTCTL_TASK" in goal) {planner} ;; *) exit 1 ;; esac', ok=7)
    assert task(repo, "goal")["status"] == "done"


def test_each_role_has_its_own_program_and_prompt(make_repo):
    roles = "{planner: {does: plan, command: [sh, -c, 'agentctl task add --id one \"do one\"; exit $FAIL'], env: {FAIL: '0'}}}"
    repo = make_repo(agents=f"  roles: {roles}\n")
    write(repo.path, {".agentctl/prompt-planner.md": "Plan: {{task}}\n"})
    repo.git("add", ".agentctl")
    repo.git("commit", "-qm", "how we plan")
    add(repo, {"id": "goal", "role": "planner", "prompt": "all of it"})
    assert repo.cli("prime", "goal").stdout == "Plan: all of it\n"
    run(repo, WORK, ok=7)
    # The planner of this test never says that it is done: its second session adds nothing new.
    assert repo.landings() == ["one/1"] and ends(repo, "goal")[0] == "planned"


def test_a_task_that_names_no_role_is_a_workers(make_repo):
    roles = "{worker: {command: [sh, -c, 'echo $WHO >$AGENTCTL_TASK.txt; git add -A; git commit -qm x'], env: {WHO: worker}, count: 1}}"
    repo = make_repo(agents=f"  roles: {roles}\n")
    write(repo.path, {".agentctl/prompt-worker.md": "Work: {{task}}\n"})
    repo.git("add", ".agentctl")
    repo.git("commit", "-qm", "how we work")
    add(repo, "one", {"id": "two", "role": "worker"}, {"id": "goal", "role": "planner"})
    assert [repo.cli("prime", name).stdout for name in ("one", "two")] == ["Work: do one\n", "Work: do it\n"]
    assert not repo.cli("prime", "goal").stdout.startswith("Work") and "{{task}}\n" in repo.cli("prime", "--template").stdout
    repo.cli("task", "park", "goal")
    run(repo, "exit 1", ok=7)
    assert repo.show("one.txt") == repo.show("two.txt") == "worker\n"


def test_a_role_that_does_not_exist_is_refused_or_parks_its_task(repo):
    said = repo.cli("task", "add", "--role", "gardener", "water it", ok=2).stderr
    assert "there is no role 'gardener'" in said and "planner" in said
    assert "no role" in repo.cli("task", "add", "--file", "-", stdin="- {id: a, prompt: a, role: gardener}\n", ok=2).stderr
    assert json.loads(repo.cli("task", "list", "--json").stdout) == []


def test_a_role_whose_program_fails_holds_up_no_other(make_repo):
    roles = "{planner: {does: plan, command: [sh, -c, 'echo Error: 401 invalid api key; exit 1']}}"
    repo = make_repo(agents=f"  roles: {roles}\n")
    add(repo, {"id": "goal", "role": "planner"}, *(f"t{n}" for n in range(4)))
    fleet = started(repo, WORK)
    try:
        eventually(lambda: len(repo.landings()) == 4)
        assert set(ends(repo, "goal")) == {"crashed"} and task(repo, "goal")["status"] == "ready"
    finally:
        fleet.terminate()
        fleet.communicate(timeout=PATIENCE)


def test_an_empty_file_says_that_it_is_done_too_and_a_long_reason_is_one_line(repo):
    add(repo, {"id": "empty", "role": "planner"}, {"id": "long", "role": "planner"})
    run(
        repo,
        'if [ "$AGENTCTL_TASK" = empty ]; then touch "$AGENTCTL_SESSION/done"; else yes no | head -9999 >"$AGENTCTL_SESSION/done"; fi',
    )
    assert ends(repo, "empty") == ends(repo, "long") == ["done"]
    assert "it does not say why" in task(repo, "empty")["reason"]
    assert len(task(repo, "long")["reason"]) < 1100 and "\n" not in task(repo, "long")["reason"]


def test_half_of_a_long_list_is_not_taken_for_a_list(make_repo):
    repo = make_repo(attempts=1)
    add(repo, {"id": "goal", "role": "planner"})
    run(
        repo,
        """for n in $(seq 30000); do echo "- {id: t$n, prompt: do it in a while}"; done >"$AGENTCTL_SESSION/tasks.yaml" """,
        ok=7,
    )
    (session,) = task(repo, "goal")["sessions"]
    assert session["end"] == "empty" and "tasks.yaml has more than" in session["note"]
    assert len(repo.refs("refs/agentctl/tasks/")) == 1


def test_a_plan_whose_session_ends_badly_is_told_to_the_next(repo):
    add(repo, {"id": "goal", "role": "planner"})
    first = """echo "- {id: one, prompt: do one}" >"$AGENTCTL_SESSION/tasks.yaml"; exit 1"""
    then = """grep -F "{id: one, prompt: do one}" "$AGENTCTL_PROMPT_FILE" >/dev/null && agentctl task done --reason "told" """
    run(repo, f'if [ "$AGENTCTL_GENERATION" = 1 ]; then {first}; else {then}; fi')
    assert ends(repo, "goal") == ["crashed", "done"]
    assert task(repo, "goal")["reason"] == "told"


def test_a_planner_submits_nothing(repo):
    add(repo, {"id": "goal", "role": "planner"})
    submit = 'echo x >x.txt; git add x.txt; git commit -qm x; agentctl submit 2>"$AGENTCTL_SESSION/said"; echo $? >>"$AGENTCTL_SESSION/said"'
    run(repo, f'{submit}; agentctl task done --reason "$(cat "$AGENTCTL_SESSION/said")"')
    assert "the role of goal hands in no files" in task(repo, "goal")["reason"] and "'WHAT' 5" in task(repo, "goal")["reason"]
    assert repo.landings() == []


def test_what_was_planned_belongs_to_the_run_that_goes_on(repo, tmp_path):
    write(tmp_path, {"GOAL.md": "# Two\n\nThere are one.txt and two.txt.\n"})
    hold = f"[ -e {tmp_path}/go ] || exec sleep 1000"
    planner = PLANNER % BY_COMMAND
    running = started(repo, agent(planner).replace(WORK, f"{hold}; {WORK}"), "--goal", str(tmp_path / "GOAL.md"))
    eventually(
        lambda: repo.refs("refs/agentctl/claims") == ["refs/agentctl/claims/one"] and ends(repo, "goal-two") == ["planned"]
    )
    running.kill()
    running.wait()
    (tmp_path / "go").touch()
    done = run(repo, agent(planner), "--goal", tmp_path / "GOAL.md")
    assert "3 of 4 landed, 1 done without a change" in done.stdout


def test_a_child_that_would_wait_for_its_planner_is_refused(repo):
    add(repo, {"id": "goal", "role": "planner"})
    child = """
        if [ "$AGENTCTL_GENERATION" = 1 ]; then echo "- {id: one, prompt: x, after: [goal]}" >"$AGENTCTL_SESSION/tasks.yaml"; exit; fi
        agentctl task done --reason "seen"
    """
    run(repo, child)
    assert "one cannot come after goal, which planned it" in task(repo, "goal")["sessions"][0]["note"]


def test_the_named_roles_are_what_they_are_called(make_repo):
    repo = make_repo(agents="  roles: {planner: {count: 1}, reviewer: {count: 1}, writer: {count: 2}}\n")
    add(repo, {"id": "goal", "role": "planner"}, {"id": "look", "role": "reviewer"}, {"id": "text", "role": "writer"})
    quiet = 'echo x >x.txt; git add -A; git commit -qm x; agentctl task done --reason "nothing to do"'
    run(repo, f'if [ "$AGENTCTL_TASK" = text ]; then {WORK}; else {quiet}; fi')
    assert (ends(repo, "goal"), ends(repo, "look"), ends(repo, "text")) == (["done"], ["done"], ["submitted"])
    assert repo.landings() == ["text/1"]
