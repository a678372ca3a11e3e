"""Locks between real processes."""

import json
import os
import subprocess
import sys

import pytest

from agentctl.engine.locks import acquire, holder
from agentctl.errors import Contended, Infrastructure

HOLD = """\
import sys
from agentctl.engine.locks import acquire
with acquire(sys.argv[1], "the bot"):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def other(tmp_path):
    """Another process that holds the lock until its input ends."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path / "bot.lock")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    ) as process:
        assert process.stdout.readline() == b"held\n"
        yield process
        process.kill()


def test_contention_names_the_holder(tmp_path, other):
    with pytest.raises(Contended) as caught:
        acquire(tmp_path / "bot.lock", "the bot")
    error = caught.value
    assert "the bot is locked" in error.message
    assert f"process {other.pid} " in error.message and " since 20" in error.message
    assert f"kill {other.pid}" in error.hint
    assert error.exit == 8


def test_a_killed_holder_frees_the_lock_and_its_sidecar_is_not_believed(tmp_path, other):
    path = tmp_path / "bot.lock"
    inode = path.stat().st_ino
    other.kill()
    other.wait()
    assert json.loads((tmp_path / "bot.lock.json").read_text())["pid"] == other.pid
    assert holder(path) is None
    with acquire(path, "the bot", timeout=10) as held:
        assert held.path == path
        assert holder(path)["pid"] == os.getpid()
    assert path.stat().st_ino == inode


def test_the_lock_passes_on_when_it_is_released(tmp_path, other):
    path = tmp_path / "bot.lock"
    other.stdin.close()
    held = acquire(path, "the bot", timeout=10)
    held.release()
    held.release()
    assert holder(path) is None
    assert path.exists()
    assert not (tmp_path / "bot.lock.json").exists()


def test_the_same_process_contends_with_itself(tmp_path):
    with acquire(tmp_path / "a.lock", "a"), pytest.raises(Contended):
        acquire(tmp_path / "a.lock", "a")
    acquire(tmp_path / "a.lock", "a").release()


@pytest.mark.parametrize("sidecar", ["", "{", "[]", "null", "LIVING", '{"pid": "1"}', '{"host": "elsewhere"}', "\udcff"])
def test_a_damaged_sidecar_does_no_harm(tmp_path, other, sidecar):
    # One who lives, since the end of time.
    living = json.dumps(json.loads((tmp_path / "bot.lock.json").read_text()) | {"since": float("inf")})
    (tmp_path / "bot.lock.json").write_bytes(os.fsencode(living if sidecar == "LIVING" else sidecar))
    with pytest.raises(Contended, match="by another process"):
        acquire(tmp_path / "bot.lock", "the bot")


def test_a_full_disk_keeps_nobody_out(tmp_path):
    path = tmp_path / "full.lock"
    (tmp_path / "full.lock.json").symlink_to("/dev/full")
    with acquire(path, "it"):
        assert holder(path) is None
        with pytest.raises(Contended, match="by another process"):
            acquire(path, "it")
    assert sorted(p.name for p in tmp_path.glob("full*")) == ["full.lock"]


def test_a_place_that_cannot_be_locked_is_an_infrastructure_error(tmp_path):
    (tmp_path / "folder.lock").mkdir()
    with pytest.raises(Infrastructure):
        acquire(tmp_path / "folder.lock", "it")
