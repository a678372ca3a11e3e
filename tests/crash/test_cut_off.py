"""agentctl is killed while it tells Git what to do: Git hears the beginning, and then the end."""

import os
import shutil
import subprocess
import sys

from tests.support.hub import command, environment

CUT_OFF = """\
#!{python}
import os, signal, subprocess, sys
git, words = {git!r}, sys.argv[1:]
if "agentctl: turn" not in words:
    os.execv(git, [git, *words])
told = sys.stdin.buffer.read()
at = told.find(b"update refs/agentctl/state")
if b"delete refs/agentctl/inbox" not in told[:max(at, 0)]:
    sys.exit(subprocess.run([git, *words], input=told).returncode)
os.kill(os.getppid(), signal.SIGKILL)
subprocess.run([git, *words], input=told[:at])
"""


def test_of_a_transaction_cut_off_between_two_refs_nothing_is_carried_out(repo, tmp_path):
    (tmp_path / "bin").mkdir()
    shim = tmp_path / "bin/git"
    shim.write_text(CUT_OFF.format(python=sys.executable, git=shutil.which("git")))
    shim.chmod(0o755)
    repo.submit("one", {"one.txt": "1\n"})
    env = environment() | {"PATH": f"{shim.parent}:{os.environ['PATH']}"}
    assert subprocess.run(command("bot", "run", "--once"), cwd=repo.path, env=env, capture_output=True).returncode == -9
    repo.drain()
    assert repo.landings() == ["one/1"]
    repo.proven()
