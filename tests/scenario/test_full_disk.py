"""A disk that is full for a while."""

import os
import shutil
import subprocess

import pytest

from tests.support.agents import add, ends
from tests.support.hub import PATIENCE, Repo, command, environment, eventually


@pytest.fixture
def small(tmp_path):
    """A folder on a file system of a few MiB."""
    place = tmp_path / "small"
    place.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", str(place)], capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"no file system of its own can be mounted: {done.stderr.strip()}")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def test_a_run_goes_on_by_itself_when_there_is_room_again(small, tmp_path):
    repo = Repo.create(small / "repo", agents="  headroom: {disk: 1MiB}\n")
    add(repo, "one", "two")
    script = f'touch "{tmp_path}/begun"; while [ ! -e "{tmp_path}/go" ]; do sleep 0.05; done; echo 1 >$AGENTCTL_TASK.txt'
    with open(tmp_path / "log", "w+") as log:
        run = subprocess.Popen(
            command("run", "-n", "1", "--", "sh", "-c", script),
            cwd=repo.path,
            env=environment(),
            stdout=log,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
        )
        eventually((tmp_path / "begun").exists)
        with open(small / "fill", "wb") as fill:
            while True:
                try:
                    os.write(fill.fileno(), bytes(1 << 12))
                except OSError:
                    break
        (tmp_path / "go").touch()
        eventually(lambda: "it goes on by itself when there is room" in (tmp_path / "log").read_text())
        eventually(lambda: "it goes on by itself when there is room" in repo.cli("ps").stdout)
        assert "no bot runs" not in repo.cli("queue").stdout
        (small / "fill").unlink()
        assert run.wait(PATIENCE) == 0, (tmp_path / "log").read_text()
    assert "2 of 2 landed" in (tmp_path / "log").read_text()
    assert ends(repo, "two") == ["submitted"]
    repo.proven()
    shutil.rmtree(repo.path)
