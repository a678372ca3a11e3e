"""A gate, or a session, that takes too much of the machine, and how that is told."""

import pytest

from tests.support import agents

MANY = "for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do sleep 1000 & done; wait"
LIMITS = "version: 1\ntrunk: main\ngates: [{name: check, run: sh gate.sh}]\nlimits: {processes: 10, file_size: 1MiB}\n"


@pytest.fixture
def limited(repo):
    repo.push({".agentctl/policy.yaml": LIMITS, "gate.sh": "[ ! -e too.sh ] || sh too.sh\n"})
    return repo


def test_a_change_whose_gate_has_too_many_processes_is_rejected(limited):
    limited.submit("storm", {"too.sh": MANY})
    limited.submit("fine", {"fine": "1\n"})
    limited.drain()
    assert limited.stage("fine") == "landed"
    assert "check: had more than 10 processes at a time (limits.processes)" in limited.record("storm").why
    limited.proven()


def test_a_change_whose_gate_writes_too_large_a_file_is_rejected(limited):
    limited.submit("big", {"too.sh": "head -c 2000000 /dev/zero >big"})
    limited.drain()
    assert "check: exit status 153: it wrote more than 1048576 bytes to one file (limits.file_size)" in limited.record("big").why
    limited.submit("small", {"too.sh": "head -c 1000000 /dev/zero >big"})
    limited.drain()
    assert limited.stage("small") == "landed"
    limited.proven()


def test_a_session_is_held_to_them_too(limited):
    agents.add(limited, "job")
    script = f"[ $AGENTCTL_ATTEMPT = 1 ] && {{ {MANY}; }}; head -c 2000000 /dev/zero >big"
    agents.run(limited, script, "--attempts", "2", ok=7)
    notes = [session["note"] for session in agents.task(limited, "job")["sessions"]]
    assert notes[0].startswith("had more than 10 processes at a time (limits.processes)")
    assert "it wrote more than 1048576 bytes to one file (limits.file_size)" in notes[1]
