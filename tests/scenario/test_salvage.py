"""Rescued work: it is listed by its name, looked at, taken up and dropped."""

import json

import pytest

from tests.support.hub import git, write


@pytest.fixture
def rescued(repo):
    """A hub in which what ann and bea had not handed in was rescued."""
    for agent, text in (("ann", "work of hours\n"), ("bea", "other\n")):
        repo.cli("spawn", agent, "--", "sh", "-c", f"printf '{text}' > {agent}.txt; echo more >> README; exit 3", ok=1)
        repo.cli("rm", agent, "--force")
    return repo


def listed(repo):
    return {row["name"]: row for row in json.loads(repo.cli("salvage", "list", "--json").stdout)}


def test_what_was_rescued_is_listed_with_where_it_is_from(rescued):
    rows = listed(rescued)
    assert set(rows) == {"ann/1", "bea/1"}
    assert rows["ann/1"]["files"] == 2 and rows["ann/1"]["ref"] == "refs/agentctl/salvage/ann/1"
    said = rescued.cli("salvage", "list").stdout
    assert "ann/1" in said and "2 files" in said


def test_an_empty_list_says_so(repo):
    assert repo.cli("salvage", "list").stdout == "nothing was rescued\n"
    assert json.loads(repo.cli("salvage", "list", "--json").stdout) == []


def test_it_is_shown_as_a_change(rescued):
    said = rescued.cli("salvage", "show", "ann/1").stdout
    assert "+work of hours" in said and "ann.txt" in said and "bea.txt" not in said
    assert "+work" not in rescued.cli("salvage", "show", "ann/1", "--stat").stdout


def test_it_is_put_into_the_files_and_can_be_committed(rescued):
    write(rescued.path, {"mine.txt": "mine\n"})
    said = rescued.cli("salvage", "apply", "ann/1").stdout
    assert "2 files changed and staged" in said
    assert (rescued.path / "ann.txt").read_text() == "work of hours\n"
    assert git(rescued.path, "status", "--porcelain").split("\n") == ["M  README", "A  ann.txt", "?? mine.txt", ""]


def test_what_conflicts_has_markers_and_nothing_of_the_persons_is_lost(rescued):
    rescued.push({"README": "quite other\n"})
    said = rescued.cli("salvage", "apply", "ann/1", ok=6).stderr
    assert "some of it conflicts" in said and "git diff" in said
    assert "<<<<<<<" in (rescued.path / "README").read_text()


def test_files_that_a_person_has_changed_are_not_written_over(rescued):
    write(rescued.path, {"README": "half a sentence\n"})
    assert "commit or stash" in rescued.cli("salvage", "apply", "ann/1", ok=5).stderr
    assert (rescued.path / "README").read_text() == "half a sentence\n"
    assert not (rescued.path / "ann.txt").exists()


def test_it_is_dropped_and_the_commit_brings_it_back(rescued):
    commit = listed(rescued)["ann/1"]["commit"]
    assert "no such" not in rescued.cli("salvage", "drop", "ann/1").stdout
    assert set(listed(rescued)) == {"bea/1"}
    git(rescued.path, "branch", "rescued", commit[:12])
    assert git(rescued.path, "show", "rescued:ann.txt") == "work of hours\n"


def test_all_are_dropped_or_none(rescued):
    said = rescued.cli("salvage", "drop", "ann/1", "nobody/1", ok=4).stderr
    assert "nobody/1" in said and "agentctl salvage list" in said
    assert set(listed(rescued)) == {"ann/1", "bea/1"}


@pytest.mark.parametrize("name", ["nothing", "../heads/main", "refs/heads/main", "ann/1/2", ""])
def test_nothing_else_is_rescued_work(rescued, name):
    for verb in ("show", "apply", "drop"):
        rescued.cli("salvage", verb, name, ok=4)
    assert git(rescued.path, "rev-parse", "main")


def test_a_session_names_what_it_left_and_what_it_printed(repo):
    repo.cli("task", "add", "Do it", "--id", "one")
    repo.cli("run", "-n", "1", "--", "sh", "-c", "echo half > half.txt; echo said $AGENTCTL_GENERATION; exit 3", ok=7)
    shown = repo.cli("task", "show", "one").stdout
    assert "agentctl logs one/1" in shown and "agentctl salvage show agent-1/1" in shown
    assert repo.cli("logs", "one/1").stdout == "said 1\n"
    assert "half.txt" in repo.cli("salvage", "show", "agent-1/1").stdout
    said = repo.cli("logs", "one/99", ok=4).stderr
    assert "session 99 of one has not been logged here; there are: 1, 2, 3" in said
