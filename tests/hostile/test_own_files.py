"""What a session, or a gate, puts in the place of the files that agentctl keeps about it holds up nobody."""

import json
import os

import pytest

from agentctl.git import folders
from tests.support.agents import WORK, add, nothing_is_left, run, task
from tests.support.hub import policy

PUT = {
    "fifo": "put() { mkfifo $1; }",
    "device": "put() { ln -s /dev/zero $1; }",
    "folder": "put() { mkdir $1; echo inside >$1/file; }",
    "socket": "put() { python3 -c 'import socket, sys; socket.socket(socket.AF_UNIX).bind(sys.argv[1])' $1; }",
    "link": "put() { echo precious >$1.victim; ln -s $1.victim $1; }",
}
"""What stands in the place of a file, and how the shell puts it there."""
EVENT = '{"type": "assistant", "message": {"id": "m", "usage": {"input_tokens": 900, "output_tokens": 100}}}'
OWN = 'D=$(dirname "$AGENTCTL_PROMPT_FILE"); cd "$D"; '

each = pytest.mark.parametrize("put", PUT.values(), ids=PUT)


@each
def test_a_plain_file_is_read_and_nothing_else(tmp_path, put):
    path = str(tmp_path / "file")
    os.system(f"cd {tmp_path}; {put}; put file")
    assert (folders.content(path), folders.piece(path, 0, 100), folders.size(path)) == (None, b"", 0)
    with pytest.raises(OSError):
        folders.opened(path)
    folders.put(path, "mine")
    assert folders.content(path) == b"mine"
    assert folders.piece(path, 1, 2) == b"in"
    assert not os.path.exists(path + ".victim") or folders.content(path + ".victim") == b"precious\n"


@each
def test_a_session_replaces_its_own_files(repo, claude, put):
    claude(f"{put}; ({OWN} rm -f output.log spent.json; put output.log; put spent.json); {WORK}; echo '{EVENT}'")
    add(repo, "one")
    repo.cli("run", "--adapter", "claude")
    assert repo.landings() == ["one/1"]
    repo.cli("ps")
    for name in ("one", "agent-1"):
        assert "is no plain file" in repo.cli("logs", name, ok=4).stderr
    nothing_is_left(repo)


@each
def test_a_session_without_its_log_is_ended_by_its_time_limit(make_repo, put):
    repo = make_repo(agent_timeout="1s")
    add(repo, "one")
    run(repo, f"{put}; {OWN} rm output.log; put output.log; exec sleep 1000", "--attempts", "1", ok=7)
    assert [session["end"] for session in task(repo, "one")["sessions"]] == ["timeout"]
    nothing_is_left(repo)


def test_a_session_removes_all_its_files(repo, claude):
    claude(f"({OWN} rm -r $PWD); {WORK}; echo '{EVENT}'")
    add(repo, "one")
    repo.cli("run", "--adapter", "claude")
    assert repo.landings() == ["one/1"]


@each
def test_a_session_prepares_the_files_of_the_next(make_repo, put):
    repo = make_repo()
    add(repo, "one")
    N = 'N="$D/../$((AGENTCTL_GENERATION + 1))"; mkdir $N; for file in output.log prompt.md spent.json; do put $N/$file; done'
    run(repo, f"if [ $AGENTCTL_GENERATION = 1 ]; then {put}; {OWN} {N}; exit 1; fi; {WORK}")
    assert repo.landings() == ["one/1"]
    assert [session["end"] for session in task(repo, "one")["sessions"]] == ["crashed", "submitted"]


@each
def test_a_gate_replaces_its_log(make_repo, put):
    script = f"{put}; L=$(readlink /proc/$$/fd/2); rm $L; put $L; ! test -e bad.txt"
    first = f"gates:\n  - name: first\n    run: {json.dumps(script)}\n"
    repo = make_repo(files={".agentctl/policy.yaml": policy(retries=0).replace("gates:\n", first)})
    repo.submit("good", {"good.txt": "good\n"})
    repo.submit("bad", {"bad.txt": "bad\n"})
    repo.drain()
    assert repo.landings() == ["good/1"]
