"""A hub moves to a remote: with all that it has, or not at all."""

import os

import pytest

from agentctl.engine import locks
from agentctl.git.repository import Hub, find
from agentctl.hub import joining
from tests.support.hub import git, write


@pytest.fixture
def moving(make_repo, tmp_path):
    """A hub with a task and a change of its own, and an empty remote `far` that it may move to."""
    repo = make_repo()
    repo.cli("task", "add", "Count the words", "--id", "count")
    repo.submit("fix", {"a": "1\n"})
    git(tmp_path, "init", "-q", "--bare", "far.git")
    git(repo.path, "remote", "add", "far", str(tmp_path / "far.git"))
    git(repo.path, "push", "-q", "far", "main")
    return repo


def own(place):
    return git(place, "for-each-ref", "--format=%(objectname) %(refname)", "refs/agentctl/").splitlines()


def hook(far, name, script):
    write(far, {f"hooks/{name}": "#!/bin/sh\n" + script})
    os.chmod(far / "hooks" / name, 0o755)


def test_a_hub_keeps_all_that_it_has_if_the_remote_does_not_take_it(moving, tmp_path):
    had = own(moving.path)
    hook(tmp_path / "far.git", "pre-receive", "kill -9 $PPID\n")
    assert "nothing is lost" in moving.cli("init", "--remote", "far", ok=125).stderr
    assert own(moving.path) == had and own(tmp_path / "far.git") == []
    assert moving.cli("task", "show", "count").stdout
    hook(tmp_path / "far.git", "pre-receive", "exit 0\n")
    moving.cli("init", "--remote", "far")
    assert own(tmp_path / "far.git") == own(moving.path) == had


def test_a_hub_moves_although_the_answer_is_lost(moving, tmp_path):
    had = own(moving.path)
    hook(tmp_path / "far.git", "post-receive", "kill -9 $PPID\n")
    moving.cli("init", "--remote", "far")
    assert own(tmp_path / "far.git") == own(moving.path) == had


def test_a_move_that_was_cut_off_half_way_goes_on(moving, tmp_path):
    had = own(moving.path)
    git(moving.path, "push", "-q", "far", "refs/agentctl/tasks/count:refs/agentctl/tasks/count")
    moving.cli("init", "--remote", "far")
    assert own(tmp_path / "far.git") == own(moving.path) == had


def test_what_is_handed_in_while_a_hub_moves_goes_with_it(moving, tmp_path, monkeypatch):
    """The command began before the hub had moved."""
    configure = Hub.configure

    def configured(hub, key, value):
        moving.submit("late", {"b": "1\n"})
        configure(hub, key, value)

    monkeypatch.setattr(Hub, "configure", configured)
    joining.stand_on(find(str(moving.path)), "far")
    assert "refs/agentctl/inbox/ann/late/1" in git(tmp_path / "far.git", "for-each-ref", "--format=%(refname)")


def test_a_hub_does_not_move_while_an_agent_or_a_bot_works(moving, tmp_path):
    had = own(moving.path)
    for path in ("agents/ann.lock", "bot.lock"):
        with locks.acquire(moving.hub.own_path("locks", path), "work"):
            assert moving.cli("init", "--remote", "far", ok=8).stderr
    assert own(moving.path) == had and own(tmp_path / "far.git") == []
