"""A hub that an older version left is opened, verified and continued: see tests/recorded."""

import json
import shutil
from pathlib import Path

import pytest

from tests.support.hub import Repo, git

RECORDED = Path(__file__).parents[1] / "recorded"
ENDED = {
    "alpha/1": "landed",
    "beta/1": "landed",
    "left/1": "landed",
    "twice/2": "landed",
    "good/1": "landed",
    "bad/1": "rejected",
    "base/1": "rejected",
    "top/1": "rejected",
    "right/1": "rejected",
    "weaken/1": "rejected",
    "odd/1": "rejected",
    "gone/1": "withdrawn",
    "twice/1": "superseded",
}
KINDS = {"bad/1": "gate", "base/1": "gate", "top/1": "dependency", "right/1": "conflict", "weaken/1": "policy", "odd/1": "border"}


@pytest.fixture
def opened(tmp_path):
    def opened(name, version="format-1"):
        git(tmp_path, "init", "-q", "hub")
        hub = tmp_path / "hub"
        git(hub, "fetch", "-q", "--update-head-ok", str(RECORDED / version / f"{name}.bundle"), "+refs/*:refs/*")
        git(hub, "reset", "-q", "--hard")
        repo = Repo(hub)
        Path(repo.hub.own).mkdir()
        shutil.copy(RECORDED / version / f"{name}.marks.json", Path(repo.hub.own) / "marks.json")
        return repo

    return opened


def verified(repo):
    return json.loads(repo.cli("verify", "--json").stdout)


def why(repo, key):
    return json.loads(repo.cli("why", key, "--json").stdout)


def lines(repo, key):
    return "\n".join(line for _, line in why(repo, key)["history"])


def test_it_is_read(opened):
    repo = opened("paused")
    assert repo.stages() == ENDED | {"late/1": "queued", "later/1": "queued"}
    assert repo.stage("waits") == "waiting"
    found = verified(repo)
    assert (found["landed"], found["rejected"], found["queued"], found["moves"]) == (5, 6, 2, 4)
    assert [f["grave"] for f in found["findings"]] == [False, False]
    assert {key: why(repo, key)["record"]["kind"] for key in KINDS} == KINDS
    tasks = json.loads(repo.cli("task", "list", "--json").stdout)
    assert {task["id"]: task["status"] for task in tasks} == {"good": "landed", "never": "parked", "ready": "ready"}


def test_what_its_ledger_tells_of_a_change(opened):
    repo = opened("paused")
    assert "admit bad/1" in lines(repo, "bad/1") and "rejected bad/1: check: exit status 1" in lines(repo, "bad/1")
    assert "landed alpha/1" in lines(repo, "alpha/1")
    assert "replaced by twice/2" in lines(repo, "twice/1")


def test_it_is_continued(opened):
    repo = opened("paused")
    repo.cli("queue", "resume")
    repo.cli("bot", "run", "--once")
    assert repo.stages() == ENDED | dict.fromkeys(("late/1", "later/1", "waits/1"), "landed")
    assert verified(repo)["moves"] == 5
    assert [f for f in verified(repo)["findings"] if f["grave"]] == []
    assert "admit bad/1" in lines(repo, "bad/1")
    # What had failed comes again under the next number, and an older landing is not forgotten.
    repo.cli("queue", "retry", "right", ok=0)
    assert repo.stage("right") == "waiting"
    repo.cli("bot", "run", "--once", ok=7)
    assert repo.record("right").key == "right/2"
    repo.cli("task", "open", "never")
    repo.cli("run", "-n", "1", "--", "sh", "-c", "echo $AGENTCTL_TASK >$AGENTCTL_TASK.txt")
    assert repo.show("never.txt") == "never\n"


def test_a_landing_that_was_cut_off_is_finished(opened):
    repo = opened("killed-while-landing")
    assert repo.stages()["late/1"] == "queued"
    repo.cli("bot", "run", "--once")
    assert repo.stages() == ENDED | dict.fromkeys(("late/1", "later/1", "waits/1"), "landed")
    assert [f for f in verified(repo)["findings"] if f["grave"]] == []
    assert repo.landings()[-3:] == ["later/1", "late/1", "waits/1"]
