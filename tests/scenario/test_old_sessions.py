"""What old sessions left at a station goes, and nothing that anybody still needs."""

import os

import pytest

from agentctl.core.tasks import old_sessions as rule
from agentctl.fleet import old_sessions
from agentctl.fleet.old_sessions import remove
from tests.support.agents import WORK, add, run


@pytest.fixture(autouse=True)
def few(monkeypatch):
    monkeypatch.setattr(rule, "KEPT_OF_TASK", 2)
    monkeypatch.setattr(rule, "KEPT", 2)


def sessions(repo):
    top = repo.hub.own_path("sessions")
    return {task: sorted(os.listdir(os.path.join(top, task)), key=int) for task in sorted(os.listdir(top))}


def session(repo, task, number, when=0):
    log = repo.hub.own_path("sessions", task, str(number), "output.log")
    for path in (log, os.path.join(os.path.dirname(log), "prompt.md")):
        open(path, "w").close()
    os.utime(log, (when, when))


def test_sessions_of_tasks_in_the_list_or_claimed_and_of_others(repo):
    add(repo, "here")
    repo.git("update-ref", "refs/agentctl/claims/claimed", repo.tip)
    for task in ("here", "claimed"):
        for number in range(1, 13):
            session(repo, task, number)
    for number in range(1, 5):
        session(repo, f"away{number}", number, when=number)
    os.symlink(repo.path, repo.hub.own_path("sessions", "link"))
    assert not remove(repo.hub)
    os.unlink(repo.hub.own_path("sessions", "link"))
    assert sessions(repo) == {"away3": ["3"], "away4": ["4"], "claimed": ["11", "12"], "here": ["11", "12"]}
    assert repo.path.exists()


def test_only_so_many_go_at_a_time(repo, monkeypatch):
    monkeypatch.setattr(old_sessions, "AT_A_TIME", 3)
    add(repo, "here")
    for number in range(1, 7):
        session(repo, "here", number)
    assert remove(repo.hub) and len(sessions(repo)["here"]) == 3
    assert not remove(repo.hub) and len(sessions(repo)["here"]) == 2


def test_a_fleet_removes_them(repo):
    add(repo, "one")
    for number in range(1, 1105):
        session(repo, "away", number, when=number)
    run(repo, WORK)
    left = sessions(repo)["away"]
    assert len(left) == 1000 and left[0] == "105"
    assert sessions(repo)["one"] == ["1"]
