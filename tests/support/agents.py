"""Scripted agents, and how a fleet of them is run by the real command line."""

import contextlib
import json
import os
import subprocess
from pathlib import Path

import yaml

from agentctl.engine import processes
from tests.support.hub import PATIENCE, command, environment, eventually

WORK = 'echo "$AGENTCTL_TASK" >"$AGENTCTL_TASK.txt"; git add -A; git commit -qm "work on $AGENTCTL_TASK"'
"""A good agent: one new file, one commit."""


def add(repo, *tasks):
    """Add tasks: names, or dictionaries as in a task file."""
    listed = [{"id": t, "prompt": f"do {t}"} if isinstance(t, str) else {"prompt": "do it", **t} for t in tasks]
    repo.cli("task", "add", "--file", "-", stdin=yaml.safe_dump(listed))


def run(repo, script, *options, ok=0):
    """`agentctl run` with a shell script for an agent, to its end."""
    return repo.cli("run", *options, "--", "sh", "-c", script, ok=ok)


def started(repo, script, *options):
    return subprocess.Popen(
        command("run", *options, "--", "sh", "-c", script),
        cwd=repo.path,
        env=environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
        start_new_session=True,
    )


def task(repo, name):
    """A task and where it stands."""
    return json.loads(repo.cli("task", "show", name, "--json").stdout)


def ends(repo, name):
    return [session["end"] for session in task(repo, name)["sessions"]]


def kill(started, everything, mark):
    """kill -9 of the main process, or of it and all that is marked as the hub's."""
    started.kill()
    started.communicate(timeout=PATIENCE)
    if everything:
        processes.sweep(mark)


def marked(mark):
    """Pids of the processes whose environment carries a hub's mark."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if b"\0AGENTCTL_RUN=" + mark.encode() in b"\0" + (folder / "environ").read_bytes():
                found.append(int(folder.name))
    return found


def nothing_runs(repo):
    """Assert that the hub's processes are gone, or go by themselves."""
    eventually(lambda: not marked(repo.hub.mark))


def nothing_is_left(repo):
    """Assert that no process, lock, claim, worktree, agent's branch or stage remains."""
    nothing_runs(repo)
    own = Path(repo.hub.own)
    locked = {path for path in Path(repo.hub.git_dir).rglob("*.lock") if own not in path.parents}
    assert locked == set()
    # The files of our own locks stay; what says who holds one goes with its holder.
    assert list(own.glob("locks/**/bot.lock.json")) + list(own.glob("locks/agents/*.json")) == []
    assert repo.refs("refs/agentctl/claims") == []
    assert repo.refs("refs/agentctl/stage") == []
    assert repo.refs("refs/heads/agent") == []
    assert repo.git("worktree", "list", "--porcelain").count("worktree ") == 1
    assert not os.path.exists(repo.hub.worktrees)
