"""A disk that is full for a while."""

import os
import shutil
import signal
import subprocess

import pytest

from tests.support.agents import add, ends
from tests.support.hub import PATIENCE, Repo, command, environment, eventually

GOES_ON = "it goes on by itself when there is room"


@pytest.fixture
def small(tmp_path):
    """Make a folder on a file system of a few MiB."""
    made = []

    def mount(name):
        place = tmp_path / name
        place.mkdir()
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", str(place)], capture_output=True, text=True)
        if done.returncode:
            pytest.skip(f"no file system of its own can be mounted: {done.stderr.strip()}")
        made.append(place)
        return place

    yield mount
    for place in made:
        subprocess.run(["umount", "-l", str(place)], check=True)


def fill(place):
    with open(place / "fill", "wb") as file:
        while True:
            try:
                os.write(file.fileno(), bytes(1 << 12))
            except OSError:
                return


def started(repo, log, script):
    return subprocess.Popen(
        command("run", "-n", "1", "--", "sh", "-c", script),
        cwd=repo.path,
        env=environment(),
        stdout=log,
        stderr=subprocess.STDOUT,
        stdin=subprocess.DEVNULL,
    )


def test_a_worktree_that_does_not_fit_waits_for_room_too(small, tmp_path):
    # Of a file that it could make and not fill, Git does not say why.
    place = small("repo.agentctl")
    files = {f"large{n}": "x" * (1 << 20) for n in range(8)}
    repo = Repo.create(tmp_path / "repo", files, agents="  headroom: {disk: 1MiB}\n")
    add(repo, "one")
    fill(place)
    os.truncate(place / "fill", (place / "fill").stat().st_size - (4 << 20))
    with open(tmp_path / "log", "w+") as log:
        run = started(repo, log, "echo 1 >one.txt")
        eventually(lambda: GOES_ON in (tmp_path / "log").read_text())
        (place / "fill").unlink()
        assert run.wait(PATIENCE) == 0, (tmp_path / "log").read_text()
    assert ends(repo, "one") == ["submitted"]
    repo.proven()


def test_a_run_goes_on_by_itself_when_there_is_room_again(small, tmp_path):
    small = small("small")
    repo = Repo.create(small / "repo", agents="  headroom: {disk: 1MiB}\n")
    add(repo, "one", "two")
    script = f'touch "{tmp_path}/begun"; while [ ! -e "{tmp_path}/go" ]; do sleep 0.05; done; echo 1 >$AGENTCTL_TASK.txt'
    with open(tmp_path / "log", "w+") as log:
        run = started(repo, log, script)
        eventually((tmp_path / "begun").exists)
        fill(small)
        (tmp_path / "go").touch()
        eventually(lambda: GOES_ON in (tmp_path / "log").read_text())
        eventually(lambda: GOES_ON in repo.cli("ps").stdout)
        assert "no bot runs" not in repo.cli("queue").stdout
        (small / "fill").unlink()
        assert run.wait(PATIENCE) == 0, (tmp_path / "log").read_text()
    assert "2 of 2 landed" in (tmp_path / "log").read_text()
    assert ends(repo, "two") == ["submitted"]
    repo.proven()
    shutil.rmtree(repo.path)


@pytest.mark.parametrize("waits", [False, True])
def test_a_run_that_is_asked_to_stop_waits_for_no_room(small, tmp_path, waits):
    small = small("small")
    repo = Repo.create(small / "repo", agents="  headroom: {disk: 1MiB}\n")
    add(repo, "one")
    script = f'touch "{tmp_path}/begun"; while [ ! -e "{tmp_path}/go" ]; do sleep 0.05; done; echo 1 >one.txt'
    with open(tmp_path / "log", "w+") as log:
        run = started(repo, log, script)
        eventually((tmp_path / "begun").exists)
        fill(small)
        if waits:
            (tmp_path / "go").touch()
            eventually(lambda: GOES_ON in (tmp_path / "log").read_text())
        run.send_signal(signal.SIGTERM)
        status, said = run.wait(PATIENCE), (tmp_path / "log").read_text()
        assert status == 128 + signal.SIGTERM, said
        assert (GOES_ON in said) == waits
        assert waits or "while it stopped: " in said and "the next start clears away" in said
        (small / "fill").unlink()
        (tmp_path / "go").touch()
        assert started(repo, log, "echo 1 >one.txt").wait(PATIENCE) == 0, (tmp_path / "log").read_text()
    assert ends(repo, "one")[-1] == "submitted"
    repo.proven()
    shutil.rmtree(repo.path)


def test_a_session_that_is_asked_to_stop_says_that_there_is_no_room_to_keep_its_work(small, tmp_path):
    small = small("small")
    repo = Repo.create(small / "repo")
    script = f'head -c 2000000 /dev/urandom >new; touch "{tmp_path}/begun"; exec sleep 1000'
    words = command("spawn", "ann", "--", "sh", "-c", script)
    spawn = subprocess.Popen(words, cwd=repo.path, env=environment(), stderr=subprocess.PIPE, text=True)
    eventually((tmp_path / "begun").exists)
    fill(small)
    spawn.send_signal(signal.SIGINT)
    said = spawn.communicate(timeout=PATIENCE)[1]
    assert "while it stopped: " in said and "the next start clears away" in said
    (small / "fill").unlink()
    shutil.rmtree(repo.path)
