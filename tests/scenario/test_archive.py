"""What is over leaves the list of tasks for the archive, and is found there by whoever asks for it."""

import json

import pytest

from agentctl.core import refnames
from agentctl.core.tasks.archiving import ENOUGH, KEPT
from agentctl.core.tasks.task import End, Session
from agentctl.core.text.json_form import replace
from agentctl.errors import Contended
from agentctl.fleet import conclusion
from agentctl.hub import rights, tasks
from agentctl.hub.archive import Archive
from tests.support.agents import WORK, add, run, task
from tests.support.hub import write

MANY = KEPT + ENOUGH


@pytest.fixture
def old(repo, tmp_path):
    """A hub in whose list so many tasks are over that the oldest are to leave it, and one that is open."""
    names = [f"t{n}" for n in range(MANY)]
    write(tmp_path, {"many.yaml": json.dumps([{"id": name, "prompt": "do it"} for name in [*names, "open"]])})
    repo.cli("task", "add", "--file", str(tmp_path / "many.yaml"))
    repo.cli("task", "done", *names)
    return repo


def listed(repo):
    return {name.rsplit("/", 1)[1] for name in repo.refs() if name.startswith("refs/agentctl/tasks/")}


def put_away(repo, *names):
    tasks.put_away(repo.hub, [tasks.get(repo.hub, name) for name in names])


def test_a_fleet_puts_away_what_is_over_the_longest_and_counts_it(old):
    said = run(old, WORK).stdout
    assert f"1 of {MANY + 1} landed, {MANY} done without a change" in said
    assert listed(old) == {f"t{n}" for n in range(ENOUGH, MANY)} | {"open"}
    # The summary of the next run is about what is in the list.
    assert f"1 of {KEPT + 1} landed" in run(old, WORK).stdout
    assert "verify" not in old.cli("verify").stderr and old.cli("doctor").returncode == 0


def test_nothing_leaves_the_list_before_it_is_worth_it(old):
    old.cli("task", "open", "t0", "t1")
    old.cli("task", "park", "t0", "t1")
    run(old, WORK, ok=7)
    # So many are done that the one that landed makes one too few.
    assert len(listed(old)) == MANY + 1


def test_what_is_put_away_is_listed_shown_and_known_by_its_name(repo, tmp_path):
    add(repo, "first", {"id": "then", "after": ["first"]})
    run(repo, WORK)
    put_away(repo, "first", "then")
    assert listed(repo) == set()
    assert [line.split()[:2] for line in repo.cli("task", "list").stdout.splitlines()] == [
        ["landed", "first"],
        ["landed", "then"],
    ]
    assert repo.cli("task", "show", "then").stdout.startswith("then: landed\n")
    assert task(repo, "first")["status"] == "landed"
    assert repo.cli("task", "add", "--id", "first", "do first").stdout == "first: there already\n"
    assert "there is a task 'first' already" in repo.cli("task", "add", "--id", "first", "Another", ok=2).stderr
    assert "it has landed" in repo.cli("task", "open", "first", ok=5).stderr
    assert "it is landed already" in repo.cli("task", "park", "first", ok=5).stderr
    assert "no task called 'second'" in repo.cli("task", "show", "second", ok=4).stderr
    repo.git("fsck", "--strict")
    history = repo.git("log", "--format=%s", "refs/agentctl/archive").splitlines()
    assert history[0] == "2 tasks are over" and "created: do first" in history


def test_a_list_of_tasks_that_are_all_in_the_archive_is_done(repo, tmp_path):
    write(tmp_path, {"list.yaml": "- {id: first, prompt: do it}\n- {id: then, prompt: do it, after: [first]}\n"})
    run(repo, WORK, tmp_path / "list.yaml")
    put_away(repo, "first")
    assert "2 of 2 landed" in run(repo, WORK, tmp_path / "list.yaml").stdout
    put_away(repo, "then")
    assert "2 of 2 landed" in run(repo, WORK, tmp_path / "list.yaml").stdout
    assert len(repo.landings()) == 2 and listed(repo) == set()


def test_a_task_that_comes_after_one_of_the_archive_is_worked_on(repo):
    add(repo, "first")
    run(repo, WORK)
    put_away(repo, "first")
    repo.cli("task", "add", "--id", "then", "--after", "first", "do it")
    assert task(repo, "then")["status"] == "ready"
    assert "1 of 1 landed" in run(repo, WORK).stdout
    assert listed(repo) == {"then"}


def test_a_task_of_the_archive_that_is_opened_stands_in_the_list_again(repo):
    add(repo, "first")
    repo.cli("task", "done", "first")
    put_away(repo, "first")
    repo.cli("task", "open", "first")
    assert listed(repo) == {"first"} and task(repo, "first")["status"] == "ready"
    assert "1 of 1 landed" in run(repo, WORK).stdout
    put_away(repo, "first")
    assert [s["end"] for s in task(repo, "first")["sessions"]] == ["submitted"]
    assert len(repo.cli("task", "list").stdout.splitlines()) == 1


def test_a_session_that_comes_late_is_written_down_all_the_same(repo):
    add(repo, "first")
    run(repo, WORK)
    put_away(repo, "first")
    late = Session(7, "agent-9", End.CRASHED, 2e9, 1.0, repo.git("rev-parse", "main").strip())
    conclusion.record(repo.hub, "first", late)
    assert [s["generation"] for s in task(repo, "first")["sessions"]] == [1, 7]


def test_an_agent_stays_an_agent_when_its_tasks_are_in_the_archive(repo):
    add(repo, "first")
    run(repo, WORK)
    agent = task(repo, "first")["sessions"][0]["agent"]
    put_away(repo, "first")
    assert not rights.Agents.read(repo.hub).approval(agent, 0.0).person
    assert rights.Agents.read(repo.hub).approval("ann", 0.0).person


def test_a_task_that_somebody_changes_meanwhile_stays(repo):
    add(repo, "first", "then")
    repo.cli("task", "done", "first", "then")
    before = [tasks.get(repo.hub, name) for name in ("first", "then")]
    repo.cli("task", "open", "then")
    with pytest.raises(Contended):
        tasks.put_away(repo.hub, before)
    assert listed(repo) == {"first", "then"}


@pytest.mark.parametrize("what", ["a blob", "a commit of work", "a task that is none"])
def test_what_is_no_archive_stops_nobody(repo, what):
    add(repo, "first")
    repo.cli("task", "done", "first")
    put_away(repo, "first")
    objects, good = repo.hub.objects, repo.hub.refs.get(refnames.ARCHIVE)
    tree = Archive.read(repo.hub).tree
    [path] = [path for path, _ in objects.walk(tree) if path.endswith("first")]
    bad = {
        "a blob": lambda: objects.write_blob(b"x\n"),
        "a commit of work": lambda: repo.git("rev-parse", "main").strip(),
        "a task that is none": lambda: objects.write_commit(objects.replace(tree, {path: b"{"}), [good], "x\n", 1),
    }[what]()
    repo.git("update-ref", "refs/agentctl/archive", bad)
    add(repo, "then")
    assert "refs/agentctl/archive" in repo.cli("task", "list").stdout
    assert "1 of 1 landed" in run(repo, WORK).stdout
    assert repo.cli("doctor", ok=9).stdout.count("refs/agentctl/archive") >= 1
    repo.cli("doctor", "--mend", "records")
    if what == "a task that is none":
        assert repo.hub.refs.get(refnames.ARCHIVE) == good
        assert task(repo, "first")["status"] == "done"
    else:
        assert "refs/agentctl/archive" not in repo.refs()
    assert repo.cli("task", "list").returncode == 0


def test_a_task_of_the_archive_whose_change_is_gone_from_trunk_says_so(repo):
    add(repo, "first")
    run(repo, WORK)
    put_away(repo, "first")
    repo.git("reset", "-q", "--hard", "main~1")
    assert task(repo, "first")["status"] == "gone"


def test_of_all_tasks_the_archive_reads_what_it_was_given(repo):
    add(repo, "first", "then")
    repo.cli("task", "done", "first", "then")
    kept = {name: tasks.get(repo.hub, name) for name in ("first", "then")}
    put_away(repo, "first")
    put_away(repo, "then")
    archive = Archive.read(repo.hub)
    assert {found.id: found for found in archive.tasks()} == kept == {name: archive.get(name)[0] for name in kept}
    assert set(archive.names()) == set(kept) == tasks.names(repo.hub)
    assert replace(kept["first"], id="third") not in archive.tasks() and not archive.get("third")
