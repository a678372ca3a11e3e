"""A command that is given again because nobody knows whether it was done."""

import json

import pytest

from tests.support.hub import write

LIST = "- {id: a, prompt: do a}\n- {id: b, prompt: do b}\n"


@pytest.fixture
def topic(repo):
    repo.git("branch", "topic", repo.change({"topic.txt": "topic\n"}))
    return repo


def twice(repo, *words):
    """What is printed the second time; refs are those of the first."""
    repo.cli(*words)
    before = repo.git("for-each-ref")
    said = repo.cli(*words).stdout
    assert repo.git("for-each-ref") == before
    return said


def test_a_task(repo):
    assert twice(repo, "task", "add", "--id", "one", "Do", "one") == "one: there already\n"
    assert "there is a task 'one' already" in repo.cli("task", "add", "--id", "one", "Do two", ok=2).stderr


def test_a_list_of_tasks_of_which_some_are_there(repo):
    write(repo.path, {"tasks.yaml": LIST})
    repo.cli("task", "add", "--id", "a", "do a")
    assert json.loads(repo.cli("--json", "task", "add", "--file", "tasks.yaml").stdout) == {"added": ["b"], "there": ["a"]}
    assert twice(repo, "task", "add", "--file", "tasks.yaml") == "a: there already\nb: there already\n"


@pytest.mark.parametrize(
    "words", [("task", "done", "one", "--reason", "no"), ("task", "open", "one")], ids=lambda words: words[1]
)
def test_a_task_that_is_closed_or_opened(repo, words):
    repo.cli("task", "add", "--id", "one", "Do one")
    twice(repo, *words)


def test_a_pause(repo):
    assert "paused by Tess Tester: release" in twice(repo, "queue", "pause", "--reason", "release")
    assert "already" in repo.cli("queue", "pause", "--reason", "other", ok=5).stderr
    twice(repo, "queue", "resume")


def test_a_bump(topic):
    topic.cli("submit", "topic", "--change", "one")
    assert "priority 7" in twice(topic, "queue", "bump", "one", "--priority", "7")
    topic.cli("queue", "bump", "one", "--priority", "8")
    topic.drain()
    assert topic.record("one").change.priority == 8


def test_a_submission_and_its_withdrawal(topic):
    assert "waiting already" in twice(topic, "submit", "topic", "--change", "one")
    assert "to be withdrawn already" in twice(topic, "withdraw", "one")


def test_a_revert(topic):
    topic.cli("submit", "topic", "--change", "one")
    topic.drain()
    assert "waiting already" in twice(topic, "revert", "one")


def test_a_retry(repo):
    repo.submit("bad", {"bad.txt": "BUG\n"})
    repo.drain()
    assert "is waiting, neither rejected nor withdrawn" in (
        repo.cli("queue", "retry", "bad") and repo.cli("queue", "retry", "bad", ok=5).stderr
    )
