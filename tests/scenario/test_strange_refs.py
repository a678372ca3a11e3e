"""What stands below refs/ and is no ref: it holds nobody up, and is named."""

import os
import socket
import subprocess

import pytest

from agentctl.errors import Infrastructure, Refused
from tests.support.hub import finish, until


def a_fifo(path, repo):
    os.mkfifo(path)


def an_empty_file(path, repo):
    path.touch()


def a_socket(path, repo):
    os.chdir(path.parent)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(path.name)
    os.chdir(repo.path)


def junk(path, repo):
    path.write_bytes(b"\xff\x00 no id\n")


def a_link_to_a_file(path, repo):
    path.symlink_to("/etc/passwd")


def a_link_to_a_folder(path, repo):
    path.symlink_to("/etc")


def a_link_to_itself(path, repo):
    path.symlink_to(path)


def an_object_that_is_not_there(path, repo):
    path.write_text("1" * 40 + "\n")


def a_ref_that_stands_for_none(path, repo):
    path.write_text("ref: refs/heads/nowhere\n")


def a_ring(path, repo):
    path.write_text(f"ref: {path.relative_to(repo.path / '.git')}\n")


STRANGE = [
    a_fifo,
    an_empty_file,
    a_socket,
    junk,
    a_link_to_a_file,
    a_link_to_a_folder,
    a_link_to_itself,
    an_object_that_is_not_there,
    a_ref_that_stands_for_none,
    a_ring,
]
PLACES = ["inbox/ann/odd-{}/1", "claims/odd-{}", "outbox/bea/odd-{}/1", "stage/odd-{}"]


def put(repo, make, where):
    path = repo.path / ".git/refs/agentctl" / where
    path.parent.mkdir(parents=True, exist_ok=True)
    make(path, repo)
    return path


def test_it_stops_neither_bot_nor_queue_nor_doctor(repo):
    paths = [put(repo, make, where.format(n)) for where in PLACES for n, make in enumerate(STRANGE)]
    # A control: Git alone waits for ever for somebody to write.
    with pytest.raises(subprocess.TimeoutExpired):
        subprocess.run(["git", "for-each-ref", "refs/agentctl"], cwd=repo.path, capture_output=True, timeout=0.5)
    repo.submit("good", {"good.txt": "good\n"}, agent="bea")
    repo.submit("bad", {"bad.txt": "BUG\n"}, agent="bea")
    assert "good/1" in repo.cli("queue").stdout
    said = repo.cli("bot", "run", "--once", ok=7).stdout
    # What can be answered is; what is no ref at all is named.
    stages = repo.stages()
    assert stages.pop("good/1") == "landed" and set(stages.values()) == {"rejected"}
    assert said.count("is passed over: ") == len(STRANGE) - 1
    found = repo.cli("doctor", ok=9).stdout
    left = [path for path in paths if os.path.lexists(path)]
    assert len(left) == len(paths) - 2
    for path in left:
        assert f"broken ref {path.relative_to(repo.path / '.git')}: " in found
    # The command that is printed mends that, and touches nothing else.
    assert " mend: agentctl doctor --mend refs\n" in found
    repo.cli("doctor", "--mend", "refs")
    assert not any(map(os.path.lexists, left)) and os.path.exists("/etc/passwd")
    repo.cli("doctor")
    repo.proven()


@pytest.mark.parametrize("make", [a_fifo, junk, a_link_to_a_folder])
def test_in_the_place_of_an_agents_folder(repo, make):
    put(repo, make, "inbox/ann")
    repo.submit("good", {"good.txt": "good\n"}, agent="bea")
    repo.drain()
    assert repo.stage("good") == "landed"


@pytest.mark.parametrize("make", STRANGE)
def test_in_the_place_of_a_ref_that_matters_it_is_no_missing_one(repo, make):
    repo.submit("good", {"good.txt": "good\n"})
    repo.drain()
    path = repo.path / ".git/refs/agentctl/state"
    path.unlink()
    make(path, repo)
    there = make is an_object_that_is_not_there
    if not there:
        with pytest.raises(Infrastructure, match="refs/agentctl/state"):
            repo.hub.refs.get("refs/agentctl/state")
    with pytest.raises(Refused if there else Infrastructure, match="refs/agentctl/state"):
        repo.drain()


@pytest.mark.parametrize("make", [a_fifo, an_empty_file, junk, a_link_to_itself])
def test_in_the_place_of_a_pause_it_pauses(repo, make):
    path = put(repo, make, "pause")
    repo.submit("good", {"good.txt": "good\n"})
    with repo.bot() as bot:
        until(bot, lambda: bot.halted)
        assert repo.stage("good") == "queued" and "its ref is broken" in str(bot.paused)
        path.unlink()
        finish(bot)
    assert repo.stage("good") == "landed"


def test_a_packed_refs_that_nobody_writes_holds_nobody_up(repo):
    os.mkfifo(repo.path / ".git/packed-refs")
    assert repo.hub.refs.get("refs/heads/nothing") is None
    assert "refs/heads/main" in repo.hub.refs.read(["refs/heads/"])


def test_a_listing_is_what_git_lists(repo):
    put(repo, junk, "inbox/ann/junk/1").unlink()
    repo.submit("one", {"one.txt": "1\n"})
    repo.git("tag", "-a", "-m", "subject\nin two lines\n\nbody", "note")
    repo.git("update-ref", "refs/agentctl/inbox/ann/tag/1", repo.git("rev-parse", "note").strip())
    repo.git("update-ref", "refs/agentctl/inbox/ann/tree/1", repo.git("rev-parse", "main^{tree}").strip())
    repo.git("symbolic-ref", "refs/agentctl/inbox/ann/also/1", "refs/heads/main")
    for packed in (False, True):
        if packed:
            repo.git("pack-refs", "--all")
            repo.submit("two", {"two.txt": "2\n"})
        form = "%(refname)%00%(objectname)%00%(objecttype)%00%(*objectname)%00%(contents:subject)"
        listed = [line.split("\0") for line in repo.git("for-each-ref", "--format=" + form, "refs/agentctl").splitlines()]
        found = repo.hub.refs.read(["refs/agentctl/"])
        # What Git calls the subject of a tree is nothing.
        assert [(r.name, r.oid, r.kind, r.target, r.subject) for r in found.values()] == [
            (name, oid, kind, peeled or oid, subject) for name, oid, kind, peeled, subject in listed
        ]
        assert set(repo.hub.refs.read(["refs/agentctl/inbox/ann/one"])) == {"refs/agentctl/inbox/ann/one/1"}
        assert repo.hub.refs.read(["refs/agentctl/inbox/ann/on"]) == {}


@pytest.mark.parametrize("name", ["packed-refs", "objects/info/alternates"])
def test_a_pipe_where_every_git_reads_is_named_at_once(repo, name):
    path = repo.path / ".git" / name
    path.unlink(missing_ok=True)
    os.mkfifo(path)
    said = repo.cli("queue", ok=125).stderr
    assert f"{path} is not a file" in said
    subprocess.run(["sh", "-c", said.split("hint: ")[1]], check=True)
    repo.cli("queue")
