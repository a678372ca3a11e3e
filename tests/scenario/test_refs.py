"""Reading refs while others write them."""

from __future__ import annotations

import json
import threading

import pytest

from agentctl.errors import Infrastructure


def test_refs_that_come_and_go_are_no_broken_ones(repo):
    stop, there, tip = threading.Event(), repo.hub.refs, repo.tip
    folder = repo.path / ".git/refs/agentctl/claims"
    folder.mkdir(parents=True)

    def churn():
        # As Git deletes a loose ref, only faster.
        while not stop.is_set():
            for n in range(400):
                (folder / "new.lock").write_text(tip + "\n")
                (folder / "new.lock").rename(folder / f"t{n}")
            for n in range(400):
                (folder / f"t{n}").unlink(missing_ok=True)

    thread = threading.Thread(target=churn)
    thread.start()
    try:
        for _ in range(100):
            there.read(["refs/agentctl/claims"])
    finally:
        stop.set()
        thread.join()


def test_a_ref_that_is_broken_is_not_taken_for_a_deleted_one(repo):
    path = repo.path / ".git/refs/agentctl/claims/torn"
    path.parent.mkdir(parents=True)
    path.write_text("")
    with pytest.raises(Infrastructure, match="refs/agentctl/claims/torn"):
        repo.hub.refs.read(["refs/agentctl/claims"])


def test_one_ref_is_found_where_git_keeps_it(repo):
    there, first = repo.hub.refs, repo.tip
    repo.git("tag", "-a", "-m", "a tag", "v1")
    tag = repo.git("rev-parse", "refs/tags/v1").strip()
    for name, oid in (("refs/heads/main", first), ("refs/tags/v1", tag), ("refs/heads/none", None), ("refs/heads", None)):
        assert there.get(name) == oid
    repo.git("pack-refs", "--all")
    assert there.get("refs/heads/main") == first and there.get("refs/tags/v1") == tag
    second = repo.push({"new": "text\n"})
    assert there.get("refs/heads/main") == second
    repo.git("symbolic-ref", "refs/heads/also", "refs/heads/main")
    assert there.get("refs/heads/also") == second
    assert there.get(first) == first


def test_a_ref_that_is_packed_and_moved_meanwhile_is_always_there(repo):
    stop, there = threading.Event(), repo.hub.refs
    tips = {repo.tip, repo.change({"new": "text\n"})}

    def churn():
        while not stop.is_set():
            for tip in tips:
                repo.git("update-ref", "refs/heads/busy", tip)
                repo.git("pack-refs", "--all")

    repo.git("update-ref", "refs/heads/busy", repo.tip)
    thread = threading.Thread(target=churn)
    thread.start()
    try:
        assert {there.get("refs/heads/busy") for _ in range(5_000)} <= tips
    finally:
        stop.set()
        thread.join()


FOLDERS = [
    "stage",
    "outbox",
    "outbox/ann",
    "outbox/ann/bad",
    "inbox",
    "inbox/ann",
    "tasks",
    "claims",
    "salvage",
    "salvage/_doctor",
]
BELOW = ["pause/x", "stage/1/x", "claims/t/x", "inbox/ann/bad/1/x", "outbox/ann/bad/1/x"]


@pytest.mark.parametrize("name", FOLDERS + BELOW)
def test_a_ref_in_the_place_of_a_folder_or_below_a_ref_holds_nobody_up(repo, name):
    odd = f"refs/agentctl/{name}"
    blob = repo.hub.objects.write_blob(b"x")
    repo.git("update-ref", odd, blob)
    if name in FOLDERS[::2]:
        repo.git("pack-refs", "--all")
    found = json.loads(repo.cli("doctor", "--json", ok=9).stdout)
    assert odd in json.dumps(found)

    # A task, a pause, a good change and a bad one with its answer, and work that is kept.
    repo.cli("task", "add", "--id", "t", "do it")
    repo.cli("queue", "pause")
    repo.cli("queue", "resume")
    repo.submit("good", {"good": "good\n"})
    repo.submit("bad", {"bad": "BUG\n"})
    repo.drain()
    assert repo.stages() == {"good/1": "landed", "bad/1": "rejected"}
    assert repo.verdict("bad")["kind"] == "gate"
    repo.cli("run", "--agents", "1", "--attempts", "1", "--", "sh", "-c", "echo x >x; exit 1", ok=7)
    assert any(ref.startswith("refs/agentctl/salvage/agent-1/") for ref in repo.refs("refs/agentctl/salvage"))
    # What was in the way is kept, unless it stood below what the bot and the fleet clear away themselves.
    repo.cli("doctor", "--mend", "kinds")
    assert odd not in repo.refs("refs/agentctl")
    assert (
        name.startswith(("stage/", "claims/"))
        or blob in repo.git("for-each-ref", "--format=%(objectname)", "refs/agentctl/salvage/_doctor").split()
    )
    repo.proven()
