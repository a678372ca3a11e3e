"""Who a process is, and which ones a sweep kills."""

import os
import subprocess
import sys
import uuid

import pytest

from agentctl.engine import owner, processes


def test_an_identity_is_dead_after_its_end_a_reboot_or_a_new_owner_of_the_pid():
    with subprocess.Popen(["sleep", "1000"]) as process:
        who = owner.identity(process.pid)
        assert owner.alive(who)
        assert not owner.alive(who | {"boot": "another"})
        assert not owner.alive(who | {"started": who["started"] - 1})
        process.kill()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        assert not owner.alive(who), "a zombie is dead"
    assert not owner.alive(who)
    with pytest.raises(ProcessLookupError):
        owner.identity(process.pid)


def test_a_process_of_another_host_or_container_may_live():
    gone = owner.identity() | {"pid": 1 << 30}
    assert not owner.alive(gone)
    assert owner.alive(gone | {"space": "pid:[1]"})
    assert not owner.alive(gone | {"space": "pid:[1]", "boot": "before"})
    assert owner.alive({"pid": 1 << 30, "started": 1.0, "host": "elsewhere", "boot": "x"})


def test_an_identity_that_says_too_little_is_dead():
    assert not owner.alive(owner.identity() | {"pid": None})
    here = owner.identity()
    assert not owner.alive({key: here[key] for key in ("host", "boot", "space")})


def test_sweep_spares_itself_and_what_is_above_it():
    mark = f"test-{uuid.uuid4()}"
    code = "import sys; from agentctl.engine.processes import sweep; sys.exit(sweep(sys.argv[1]))"
    done = subprocess.run(
        ["sh", "-c", 'sleep 1000 & "$@"; exit $?', "sh", sys.executable, "-c", code, mark],
        env=os.environ | {processes.MARK: mark, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert done.returncode == 1
    assert processes.sweep(mark) == 0


def test_a_sweep_of_everything_is_refused():
    with pytest.raises(ValueError):
        processes.sweep("")


def test_the_other_way_to_look_agrees():
    """What systems without /proc get, on one that has both."""
    mark = f"test-{uuid.uuid4()}"
    script = "sleep 1000 & sleep 1000 & echo ready; wait"
    with subprocess.Popen(["sh", "-c", script], stdout=subprocess.PIPE, env=os.environ | {processes.MARK: mark}) as process:
        process.stdout.readline()
        assert processes._tree_activity_elsewhere(process.pid).processes == 3
        assert processes.tree_activity(process.pid).processes == 3
        marked = set(processes._marked_elsewhere(mark))
        assert marked == set(processes.marked(mark)) and len(marked) == 3
        assert processes.sweep(mark) == 3
