"""Gates and sessions on a Dask cluster: what happens there is what would have happened here, whatever the cluster loses."""

import hashlib
import itertools
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from agentctl import __version__
from agentctl.cluster import at_worker
from agentctl.cluster.orders import Address
from agentctl.core.tasks.old_sessions import KEPT
from agentctl.engine import processes, upkeep
from agentctl.errors import Infrastructure
from agentctl.git.store import Store
from tests.support.agents import WORK, add, ends, marked, task
from tests.support.hub import PATIENCE, command, environment, eventually, git
from tests.support.team import Team

pytest.importorskip("distributed", reason="Dask is not installed: pip install 'agentctl[dask]'")
from tests.support.cluster import Cluster  # noqa: E402

WAITING = 'touch "{go}.$AGENTCTL_TASK.begun"; while [ ! -e {go} ]; do sleep 0.05; done; '


@pytest.fixture
def cluster(tmp_path):
    folder = tmp_path / "cluster"
    folder.mkdir()
    made = Cluster(folder)
    yield made
    made.close()
    for mark in marks(made):
        processes.sweep(mark)


@pytest.fixture
def go(tmp_path):
    return tmp_path / "go"


def marks(cluster):
    return [f"{stat.st_dev:x}.{stat.st_ino:x}/" for stat in map(os.stat, cluster.folder.glob("*/*/*.git"))]


def start(repo, cluster, script, *options):
    return subprocess.Popen(
        command("run", "--engine", cluster.address, *options, "--", "sh", "-c", script),
        cwd=repo.path,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        stdin=subprocess.DEVNULL,
        text=True,
    )


def ended(run, status=0):
    said = run.communicate(timeout=PATIENCE)[0]
    assert run.returncode == status, said
    return said


def test_gates_and_sessions_run_there_and_leave_nothing(make_repo, cluster):
    repo = make_repo()
    cluster.work("w1")
    add(repo, "one", "two", "three")
    script = f'echo "at $PWD"; [ "$AGENTCTL_TASK" != two ] || [ -e "$AGENTCTL_ANSWER/verdict.json" ] || echo BUG >bug.txt; {WORK}'
    said = ended(start(repo, cluster, "rm -f bug.txt; " + script, "-n", "2"))
    assert "3 of 3 landed" in said
    assert ends(repo, "two") == ["submitted", "submitted"]
    # What a session printed is here.
    assert f"at {cluster.folder / 'w1'}" in repo.cli("logs", "one").stdout
    assert "all invariants hold" in repo.cli("verify").stdout
    assert not os.path.exists(repo.hub.worktrees)
    cluster.end("w1")
    assert cluster.worktrees("w1") == []
    assert [pid for mark in marks(cluster) for pid in marked(mark)] == []


def test_a_lost_worker_is_no_verdict_and_no_attempt(make_repo, cluster, go):
    gated, begun = go.with_name("gated"), go.with_name("begun")
    repo = make_repo(gate=f"pwd >>{gated}; while [ ! -e {go} ]; do sleep 0.05; done; sh check.sh")
    cluster.work("w1")
    add(repo, "one")
    run = start(repo, cluster, f"if [ -e {begun} ]; then {WORK}; else echo half >half.txt; touch {begun}; sleep 100; fi")
    eventually(lambda: begun.exists() and gated.exists())
    cluster.kill("w1")
    eventually(lambda: not [pid for mark in marks(cluster) for pid in marked(mark)])
    cluster.work("w2")
    eventually(lambda: len(gated.read_text().splitlines()) > 1)
    go.touch()
    assert "1 of 1 landed" in ended(run)
    where = [Path(line).relative_to(cluster.folder).parts[0] for line in gated.read_text().splitlines()]
    assert where[0] == "w1" and set(where[1:]) == {"w2"}
    assert ends(repo, "one") == ["interrupted", "submitted"]
    assert "w1 was lost" in task(repo, "one")["sessions"][0]["note"]
    # What the lost session had not committed is made safe when a worker starts there again.
    cluster.work("w1")
    assert "what agent-1 had left here" not in cluster.said("w1")
    add(repo, "two")
    cluster.end("w2")
    assert "2 of 2 landed" in ended(start(repo, cluster, WORK))
    assert "what agent-1 had left here is kept in refs/agentctl/salvage/agent-1/" in cluster.said("w1")
    kept = repo.refs("refs/agentctl/salvage/agent-1/")
    assert any("half.txt" in git(repo.path, "ls-tree", "--name-only", ref) for ref in kept)


@pytest.mark.parametrize("lost", ["worker", "station"])
def test_what_a_session_had_handed_in_counts_whatever_was_lost_before_its_end(make_repo, cluster, go, lost):
    repo = make_repo()
    cluster.work("w1")
    add(repo, "one")
    script = f"echo one >one.txt; git add one.txt; git commit -qm one; agentctl submit; touch {go}; sleep 100"
    run = start(repo, cluster, script)
    eventually(go.exists)
    if lost == "worker":
        cluster.kill("w1")
        cluster.work("w2")
    else:
        run.kill()
        run.wait(PATIENCE)
        run = start(repo, cluster, WORK)
    assert "1 of 1 landed" in ended(run)
    assert ends(repo, "one") == ["submitted"]


def test_a_scheduler_that_comes_back(make_repo, cluster, go):
    repo = make_repo()
    cluster.work("w1")
    add(repo, "one")
    run = start(repo, cluster, WAITING.format(go=go) + WORK)
    eventually(lambda: (go.parent / "go.one.begun").exists())
    (go.parent / "go.one.begun").unlink()
    cluster.stop_scheduling()
    eventually(lambda: not [pid for mark in marks(cluster) for pid in marked(mark)])
    eventually(lambda: ends(repo, "one") == ["interrupted"])
    eventually(lambda: "no scheduler answers" in repo.cli("queue").stdout)
    cluster.schedule()
    eventually(lambda: (go.parent / "go.one.begun").exists())
    go.touch()
    assert "1 of 1 landed" in ended(run)
    assert "is gone" in cluster.said("w1")
    assert task(repo, "one")["sessions"][0]["note"] == f"the scheduler at {cluster.address} was lost"


def test_a_run_that_is_killed_leaves_nothing_running_and_its_work_is_safe(make_repo, cluster, go):
    repo = make_repo()
    cluster.work("w1")
    add(repo, "one")
    script = 'echo half >half.txt; git add half.txt; git commit -qm "half a work"; ' + WAITING.format(go=go) + WORK
    run = start(repo, cluster, script)
    eventually(lambda: (go.parent / "go.one.begun").exists())
    run.kill()
    run.wait(PATIENCE)
    eventually(lambda: not [pid for mark in marks(cluster) for pid in marked(mark)])
    eventually(lambda: repo.refs("refs/agentctl/salvage/agent-1/"))
    go.touch()
    assert "1 of 1 landed" in ended(start(repo, cluster, WORK))


def test_ctrl_c_of_a_run_stops_its_sessions_in_order(make_repo, cluster, go):
    repo = make_repo()
    cluster.work("w1")
    add(repo, "one")
    run = start(repo, cluster, "echo half >half.txt; " + WAITING.format(go=go))
    eventually(lambda: (go.parent / "go.one.begun").exists())
    assert "one" in repo.cli("ps").stdout and "no worktree here" in repo.cli("ps").stdout
    run.send_signal(signal.SIGINT)
    ended(run, 130)
    assert ends(repo, "one") == ["interrupted"]
    assert task(repo, "one")["sessions"][0]["note"].startswith("stopped")
    assert repo.refs("refs/agentctl/salvage/agent-1/") and not repo.refs("refs/agentctl/claims/")
    assert not [pid for mark in marks(cluster) for pid in marked(mark)]


def test_a_hub_on_a_remote_and_the_bot_alone(tmp_path, cluster):
    team = Team(tmp_path)
    ann = team.station("ann")
    git(ann.path, "config", "agentctl.engine", cluster.address)
    cluster.work("w1")
    ann.submit("fix", {"a": "1\n"})
    ann.submit("bad", {"b": "BUG\n"})
    assert "landed 1, rejected 1" in ann.cli("bot", "run", "--once", ok=7).stdout
    assert cluster.worktrees("w1")


def test_a_worker_that_cannot_reach_the_hub_keeps_no_task(make_repo, cluster, tmp_path):
    repo, looks, fail = make_repo(), tmp_path / "looks", tmp_path / "fail"
    blind = tmp_path / "blind"
    blind.write_text(f"#!/bin/sh\necho >>{looks}\nwhile [ ! -e {fail} ]; do sleep 0.05; done\nexit 1\n")
    blind.chmod(0o755)
    (tmp_path / "gitconfig").write_text(f'[protocol "ext"]\n\tallow = always\n[url "ext::{blind} "]\n\tinsteadOf = /\n')
    cluster.work("blind", agents=8, env={"GIT_CONFIG_GLOBAL": str(tmp_path / "gitconfig"), "GIT_ALLOW_PROTOCOL": "file:ext"})
    names = ["one", "two", "three", "four"]
    add(repo, *names)
    run = start(repo, cluster, WORK, "-n", "4")
    eventually(lambda: looks.exists() and len(repo.refs("refs/agentctl/claims/")) == 4)
    fail.touch()
    eventually(lambda: "blind could not do it: the remote hub cannot be reached" in repo.cli("queue").stdout)
    eventually(lambda: not repo.refs("refs/agentctl/claims/"))
    # All that waited for the hub there share what came of one look, and leave no trace in their tasks.
    assert looks.read_text() == "\n" and cluster.said("blind").count("cannot be reached") == 1
    cluster.work("w1")
    assert "4 of 4 landed" in ended(run)
    assert [ends(repo, name) for name in names] == [["submitted"]] * 4


TWO_STATIONS = """
import sys, threading, time
from concurrent.futures import ThreadPoolExecutor
from agentctl.cluster import placement
from agentctl.cluster.engine import Engine, NotBegun, Unwanted
from tests.support.hub import eventually

def states(dask_worker):
    return sorted(task.state for task in dask_worker.state.tasks.values())

first, second, stop = Engine(sys.argv[1]), Engine(sys.argv[1]), threading.Event()
[place] = first._workers
there = lambda: first._client.run(states)[place]
with ThreadPoolExecutor() as threads:
    send = lambda engine, seconds: threads.submit(engine.carry_out, time.sleep, seconds, "agents", lambda: not stop.is_set())
    begun = send(first, 1000)
    eventually(lambda: there() == ["executing"])
    waits = send(second, 0)
    eventually(lambda: len(there()) == 2)
    for engine in (first, second):
        engine._troubles[place] = placement.failed(None, "it is blind", time.monotonic())
    print(type(waits.exception(60)).__name__, begun.done())
    stop.set()
    print(type(begun.exception(60)).__name__)
# Its rest is over, and it does what it gets.
first._troubles[place] = placement.Trouble("it is blind", time.monotonic())
first.carry_out(time.sleep, 0, "gates", lambda: True)
print(first._troubles, len(second._troubles))
first.close()
second.close()
"""


def test_an_order_that_has_not_begun_is_given_back_by_a_worker_with_trouble(cluster):
    cluster.work("w1", agents=1)
    ran = subprocess.run(
        [sys.executable, "-c", TWO_STATIONS, cluster.address], env=environment(), capture_output=True, text=True, timeout=PATIENCE
    )
    assert ran.stdout == "NotBegun False\nUnwanted\n{} 1\n", ran.stderr


def test_a_worker_packs_the_loose_objects_of_its_mirrors(make_repo, cluster):
    repo = make_repo()
    cluster.work("w1")
    repo.submit("fix", {"a": "1\n"})
    assert "landed 1" in repo.cli("bot", "run", "--once", "--engine", cluster.address).stdout
    [mirror] = cluster.folder.glob("w1/*/*.git")
    there = mirror / "objects" / upkeep.SAMPLE
    there.mkdir(exist_ok=True)
    texts = (f"loose {n}".encode() for n in itertools.count())
    blobs = (text for text in texts if hashlib.sha1(b"blob %d\0" % len(text) + text).hexdigest().startswith(upkeep.SAMPLE))
    objects = Store(mirror)
    oids = [objects.write(b"blob", next(blobs)) for _ in range(upkeep.LOOSE + 1)]
    repo.submit("more", {"b": "1\n"})
    assert "landed 1" in repo.cli("bot", "run", "--once", "--engine", cluster.address).stdout
    eventually(lambda: not there.exists())
    assert all(Store(mirror).exists(oid) for oid in oids)


def test_what_old_sessions_left_at_a_worker_goes(make_repo, cluster):
    repo = make_repo()
    cluster.work("w1")
    add(repo, "one")
    ended(start(repo, cluster, WORK))
    cluster.end("w1")
    [kept] = cluster.folder.glob("w1/*/*.git/agentctl/sessions/one/1")
    for number in range(KEPT + 3):
        old = kept.parents[1] / "away" / str(number)
        old.mkdir(parents=True)
        os.utime(old, (number, number))
    cluster.work("w1")
    add(repo, "two")
    ended(start(repo, cluster, WORK))
    left = sorted(int(path.name) for path in (kept.parents[1] / "away").iterdir())
    assert (left[0], len(left), kept.exists()) == (3, KEPT, True)


def test_what_is_no_engine(repo):
    for address in ("there", "tcp://there", "tcp://there:x", "127.0.0.1:8786"):
        assert "tcp://HOST:8786" in repo.cli("bot", "run", "--once", "--engine", address, ok=2).stderr
        assert "tcp://HOST:8786" in repo.cli("worker", address, ok=2).stderr
    refused = repo.cli("bot", "run", "--once", "--engine", "tcp://127.0.0.1:9", ok=125)
    assert "no scheduler answers at tcp://127.0.0.1:9" in refused.stderr


def test_something_else_that_listens_there(repo):
    with socket.create_server(("127.0.0.1", 0)) as other:
        address = f"tcp://127.0.0.1:{other.getsockname()[1]}"
        refused = repo.cli("bot", "run", "--once", "--engine", address, ok=125)
    assert f"no scheduler answers at {address}\n" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_a_worker_of_another_version_refuses():
    with pytest.raises(Infrastructure, match=f"this worker has agentctl {__version__}, and the caller 0.0"):
        at_worker._hub(Address("there", "main", "0.0"))
