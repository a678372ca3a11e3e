"""A gate that wants a port which something else on the machine has."""

import socket

import pytest

from agentctl.errors import Infrastructure
from agentctl.gate import judging, taken_port
from tests.support.hub import policy


@pytest.fixture(autouse=True)
def short_rests(monkeypatch):
    monkeypatch.setattr(judging, "RESTS", (0.01, 0.01))


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as held:
        return held.getsockname()[1]


def binding(port):
    return f"import socket; socket.create_server(('127.0.0.1', {port}), backlog=1).close()\n"


def test_nobody_is_blamed_and_it_lands_when_the_port_is_free(make_repo):
    port = free_port()
    repo = make_repo(gate="python3 bind.py", files={"bind.py": binding(port)})
    repo.trunk_judged()
    with socket.create_server(("127.0.0.1", port)):
        repo.submit("one", {"one.txt": "one\n"})
        with pytest.raises(Infrastructure, match="something else here has that port"):
            repo.drain()
        assert repo.stage("one") == "queued"
        why, doctor = repo.cli("why", "one").stdout, repo.cli("doctor", ok=9).stdout
        unclear = (
            "the last gate run gave no verdict: check: exit status 1; Address already in use: something else here has that port"
        )
        assert unclear in why and "next: agentctl bot run\n" in why
        assert unclear in doctor and "agentctl bot run" in doctor and "all well" not in doctor
    repo.drain()
    assert repo.landings() == ["one/1"]
    assert "all well" in repo.cli("doctor").stdout


def test_a_gate_rests_until_the_port_is_given_back(make_repo, monkeypatch):
    port = free_port()
    repo = make_repo(gate="python3 bind.py", files={"bind.py": binding(port)})
    repo.trunk_judged()
    held, rests = socket.create_server(("127.0.0.1", port)), []

    def rest(run, seconds):
        rests.append(seconds)
        held.close()

    monkeypatch.setattr(judging.GateRun, "rest", rest)
    repo.submit("one", {"one.txt": "one\n"})
    bot = repo.drain()
    assert repo.landings() == ["one/1"] and len(rests) == 1
    assert [event.verdict for _, event in bot.judged] == ["passed"]


def test_a_change_that_takes_it_twice_itself_is_rejected(make_repo):
    repo = make_repo(gate="sh check.sh; [ ! -e twice.sh ] || sh twice.sh")
    repo.submit("two", {"twice.sh": "echo 'bind: Address already in use'; exit 1\n"})
    repo.submit("three", {"fine.txt": "fine\n"})
    repo.drain()
    assert repo.stages() == {"two/1": "rejected", "three/1": "landed"}
    assert "it passes without the changes" in repo.cli("why", "two").stdout


def test_neither_a_set_up_nor_a_gate_that_was_ended_is_doubted_for_its_words(make_repo):
    """One change that says so each time would keep all others from landing."""
    text = policy(gate="sh gate.sh") + "slot:\n  setup: '[ ! -e port.sh ] || sh port.sh'\nlimits:\n  output: 1MiB\n"
    repo = make_repo(files={".agentctl/policy.yaml": text, "gate.sh": "exit 0\n"})
    repo.submit("setup", {"port.sh": "echo 'bind: Address already in use'; exit 1\n"})
    repo.submit("gate", {"gate.sh": "while :; do echo 'bind: Address already in use'; done\n"})
    repo.submit("fine", {"fine.txt": "fine\n"})
    repo.drain()
    assert repo.stages() == {"setup/1": "rejected", "gate/1": "rejected", "fine/1": "landed"}


@pytest.mark.parametrize(
    "output",
    [
        "Error: listen EADDRINUSE: address already in use :::3000",
        "OSError: [Errno 98] Address already in use",
        "listen tcp :8080: bind: address already in use",
        "Bind for 0.0.0.0:5432 failed: port is already allocated",
    ],
)
def test_how_it_is_told(output):
    assert taken_port.said(f"before\n{output}\nafter\n") in output
    assert not taken_port.said("the address is already known, and in use\ntest_handles_EADDRINUSE ok\n")
