"""Old answers leave the outbox when there are many, and nobody takes that for a loss."""

import subprocess

import pytest

from agentctl.core.queue.answer import ENOUGH, KEPT, YOUNG
from agentctl.hub import verification
from agentctl.hub.verification import prove
from tests.support.agents import add
from tests.support.hub import git
from tests.support.team import Team

OUTBOX = "refs/agentctl/outbox/"


@pytest.fixture
def many(repo):
    """A hub with so many old answers that some are to go."""
    old = repo.hub.objects.write_commit(repo.hub.objects.commit(repo.tip).tree, (), "rejected long ago\n", 1)
    for first in range(0, ENOUGH, 100):
        moves = repo.hub.refs.transaction("many")
        for number in range(first, first + 100):
            moves.create(f"{OUTBOX}ann/old{number:04}/1", old)
        moves.commit()
    return repo


def test_a_new_answer_makes_room(many):
    add(many, "old0003")
    many.submit("bad", {"bad.txt": "BUG\n"})
    many.submit("bad2", {"bad2.txt": "BUG\n"})
    many.drain()
    left = many.refs(OUTBOX)
    gone = {f"old{number:04}" for number in range(ENOUGH - KEPT)} - {"old0003"}
    assert {ref.split("/")[4] for ref in left} == {f"old{number:04}" for number in range(ENOUGH)} - gone | {"bad", "bad2"}
    many.proven()


def test_an_old_answer_that_went_is_no_finding(many, monkeypatch):
    many.submit("bad", {"bad.txt": "BUG\n"})
    many.drain()
    many.git("update-ref", "-d", f"{OUTBOX}ann/bad/1")

    def gone():
        return [found for found in prove(many.hub, "main")[1] if "the answer to bad/1 is gone" in found.text]

    assert len(gone()) == 1
    at = many.record("bad").at
    monkeypatch.setattr(verification, "time", type("Clock", (), {"time": staticmethod(lambda: at + YOUNG)}))
    assert gone() == []
    many.git("pack-refs", "--all")
    for ref in many.refs(OUTBOX)[: ENOUGH - KEPT + 1]:
        many.git("update-ref", "-d", ref)
    assert len(gone()) == 1


def test_few_answers_stay_however_old(repo):
    old = repo.hub.objects.write_commit(repo.hub.objects.commit(repo.tip).tree, (), "rejected long ago\n", 1)
    repo.git("update-ref", f"{OUTBOX}ann/old/1", old)
    repo.submit("bad", {"bad.txt": "BUG\n"})
    repo.drain()
    assert f"{OUTBOX}ann/old/1" in repo.refs(OUTBOX)


def test_they_go_from_a_remote_too(tmp_path):
    team = Team(tmp_path)
    ann = team.station("ann")
    told = "".join(f"create {OUTBOX}ann/old{number:04}/1 {team.tip}\n" for number in range(ENOUGH))
    subprocess.run(["git", "update-ref", "--stdin"], cwd=team.path, input=told, text=True, check=True)
    ann.submit("bad", {"bad.txt": "BUG\n"})
    ann.cli("bot", "run", "--once", ok=7)
    assert sum(name.startswith(OUTBOX) for name in team.refs) == ENOUGH + 1, "they are young"
    old = ann.hub.objects.write_commit(ann.hub.objects.commit(team.tip).tree, (), "rejected long ago\n", 1)
    git(ann.path, "push", "-q", "origin", f"{old}:refs/heads/old")
    told = "".join(f"update {OUTBOX}ann/old{number:04}/1 {old}\n" for number in range(ENOUGH))
    subprocess.run(["git", "update-ref", "--stdin"], cwd=team.path, input=told, text=True, check=True)
    ann.submit("bad2", {"bad2.txt": "BUG\n"})
    ann.cli("bot", "run", "--once", ok=7)
    assert sum(name.startswith(OUTBOX) for name in team.refs) == KEPT + 1
    assert {f"{OUTBOX}ann/bad/1", f"{OUTBOX}ann/bad2/1"} < team.refs.keys()
