"""Many sessions at a time where a process may have few files open."""

import resource
import subprocess

from tests.support.agents import add
from tests.support.hub import command, environment


def test_a_fleet_has_more_files_open_than_its_shell_allows(make_repo):
    repo = make_repo(agents="")
    add(repo, *(f"t{n}" for n in range(20)))
    work = 'ulimit -Sn >"$AGENTCTL_TASK.limit"; sleep 3; git add -A; git commit -qm done'
    done = subprocess.run(
        command("run", "-n", "20", "--", "sh", "-c", work),
        cwd=repo.path,
        env=environment(),
        capture_output=True,
        text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (64, resource.getrlimit(resource.RLIMIT_NOFILE)[1])),
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert {repo.show(f"t{n}.limit") for n in range(20)} == {"64\n"}
