"""Locks that a killed Git left: whoever meets one clears it, if no living Git can hold it."""

import os
import signal
import subprocess
import time

import pytest

from agentctl.errors import Contended
from agentctl.git import stale_locks
from tests.support.hub import eventually

HOUR = 3600


def leave(repo, name, age=HOUR):
    """A lock as a Git that was killed so long ago left it; a negative age is in the future."""
    path = repo.path / ".git" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    os.utime(path, (time.time() - age,) * 2)
    return path


@pytest.fixture
def holder(repo):
    """A function that starts a Git which holds the lock of a ref; it is killed at the end."""
    started = []

    def hold(ref):
        git = subprocess.Popen(
            ["git", "update-ref", "--stdin"], cwd=repo.path, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        git.stdin.write(f"start\ncreate {ref} {repo.tip}\nprepare\n")
        git.stdin.flush()
        assert [git.stdout.readline() for _ in range(2)] == ["start: ok\n", "prepare: ok\n"]
        started.append(git)
        return git

    yield hold
    for git in started:
        git.kill()
        git.communicate()


@pytest.mark.parametrize(
    "lock, line, ref",
    [
        ("refs/agentctl/pause.lock", "queue pause", "refs/agentctl/pause"),
        ("refs/agentctl/inbox/ann/fix/1.lock", "submit topic --change fix --agent ann", "refs/agentctl/inbox/ann/fix/1"),
        ("refs/agentctl/tasks/fix.lock", "task add fix", "refs/agentctl/tasks/fix"),
    ],
)
def test_the_next_command_clears_the_lock_of_the_ref_that_it_writes(repo, lock, line, ref):
    repo.git("branch", "topic", repo.change({"topic.txt": "topic\n"}))
    path = leave(repo, lock)
    repo.cli(*line.split())
    assert not path.exists() and repo.refs(ref) == [ref]


@pytest.mark.parametrize("lock", ["packed-refs.lock", "packed-refs.new", "refs/agentctl/pause.lock"])
def test_a_deletion_clears_what_is_in_its_way(repo, lock):
    repo.cli("queue", "pause")
    repo.git("pack-refs", "--all")
    path = leave(repo, lock)
    repo.cli("queue", "resume")
    assert not path.exists() and repo.refs("refs/agentctl/pause") == []


@pytest.mark.parametrize("age", [0, -HOUR], ids=["just left", "dated in the future"])
def test_a_lock_is_not_young_for_ever(repo, age):
    path = leave(repo, "refs/agentctl/pause.lock", age)
    begun = time.monotonic()
    repo.cli("queue", "pause")
    assert not path.exists() and time.monotonic() - begun > stale_locks.YOUNG


def test_the_lock_of_a_living_git_is_left_alone_until_it_ends(repo, holder):
    git = holder("refs/agentctl/pause")
    lock = repo.path / ".git/refs/agentctl/pause.lock"
    os.utime(lock, (time.time() - HOUR,) * 2)
    said = repo.cli("queue", "pause", ok=8).stderr
    assert f"process {git.pid}, git update-ref" in said and f"kill {git.pid}" in said and lock.exists()
    git.kill()
    git.wait()
    repo.cli("queue", "pause")
    assert not lock.exists()


def test_a_git_that_gives_up_its_lock_is_waited_for(repo, holder):
    git = holder("refs/agentctl/pause")
    begun = subprocess.Popen(["sh", "-c", f"sleep 1; kill {git.pid}"])
    repo.cli("queue", "pause")
    begun.wait()
    assert repo.refs("refs/agentctl/pause")


def at_work(repo, tmp_path, *words, ready, **env):
    git = subprocess.Popen(
        ["git", *words],
        cwd=repo.path,
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=os.environ | env,
        start_new_session=True,
    )
    eventually(lambda: ready(git))
    return git


def standing_open(repo, tmp_path):
    """A Git that reads, as an editor keeps it."""
    return at_work(repo, tmp_path, "cat-file", "--batch", ready=lambda git: "git" in stale_names(git.pid))


def at_the_editor(repo, tmp_path):
    """A person writes the message of a commit."""
    return at_work(
        repo,
        tmp_path,
        "commit",
        "--allow-empty",
        GIT_EDITOR=f"touch {tmp_path}/open; sleep 1000; :",
        ready=lambda git: (tmp_path / "open").exists(),
    )


def stale_names(pid):
    with open(f"/proc/{pid}/comm") as file:
        return file.read()


@pytest.mark.parametrize("work", [standing_open, at_the_editor], ids=lambda work: work.__name__)
def test_a_git_that_holds_no_ref_keeps_no_lock_from_being_cleared(repo, tmp_path, work):
    git = work(repo, tmp_path)
    try:
        path = leave(repo, "refs/agentctl/pause.lock")
        repo.cli("queue", "pause")
        assert not path.exists()
    finally:
        os.killpg(git.pid, signal.SIGKILL)
        git.communicate()


def test_a_git_elsewhere_is_not_asked(repo, make_repo, holder):
    other = make_repo("other")
    holder("refs/heads/held")
    path = leave(other, "refs/agentctl/pause.lock")
    begun = time.monotonic()
    other.cli("queue", "pause")
    assert not path.exists() and time.monotonic() - begun < stale_locks.YOUNG + 1


def test_a_git_that_begins_later_cannot_hold_what_was_there_before(repo, holder):
    path = leave(repo, "refs/heads/left.lock", age=-HOUR)
    first = stale_locks.look(str(path))
    assert not stale_locks.dead(repo.hub.git_dir, first)
    holder("refs/heads/other")
    time.sleep(stale_locks.YOUNG)
    assert stale_locks.dead(repo.hub.git_dir, first)
    # Another process has seen it only since then, and cannot tell.
    stale_locks._seen.clear()
    with pytest.raises(Contended):
        stale_locks.clear(repo.hub.git_dir, [str(path)], patience=0)


def test_a_lock_made_anew_under_the_same_name_is_another_one(repo, holder):
    path = leave(repo, "refs/heads/twice.lock")
    first = stale_locks.look(str(path))
    path.unlink()
    holder("refs/heads/twice")
    assert not stale_locks.dead(repo.hub.git_dir, first)


def test_a_start_removes_what_a_dead_git_began_to_write(repo, holder):
    objects = repo.path / ".git/objects"
    (objects / "tmp_objdir-incoming-x/ab").mkdir(parents=True)
    (objects / "ab").mkdir()
    old, new = (
        [objects / "ab/tmp_obj_x", objects / "pack/tmp_pack_x", objects / "tmp_objdir-incoming-x"],
        objects / "ab/tmp_obj_new",
    )
    for path in (*old[:2], new):
        path.touch()
    for path in old:
        os.utime(path, (time.time() - HOUR,) * 2)
    # A Git that is at work might be the one that writes them.
    git = holder("refs/heads/held")
    with pytest.raises(Contended):
        stale_locks.clear(repo.hub.git_dir, stale_locks.half_objects(repo.hub.git_dir), patience=0)
    assert all(path.exists() for path in old)
    git.kill()
    git.wait()
    os.utime(repo.path / ".git/refs/heads/held.lock", (time.time() - HOUR,) * 2)
    repo.cli("bot", "run", "--once")
    assert not any(path.exists() for path in old) and new.exists()


def test_a_landing_clears_the_index_of_a_checkout(repo):
    repo.submit("one", {"one.txt": "one\n"})
    with repo.bot() as bot:
        path = leave(repo, "index.lock")
        while not bot.idle:
            bot.take_turn()
            bot.wake.wait(0.1)
    assert not path.exists() and (repo.path / "one.txt").exists()
    assert repo.git("status", "--porcelain") == ""


def test_a_folder_in_the_place_of_a_lock_stops_nobody(repo):
    (repo.path / ".git/refs/agentctl/state.lock").mkdir(parents=True)
    repo.submit("good", {"good.txt": "good\n"})
    repo.cli("bot", "run", "--once")
    assert repo.stage("good") == "landed"
