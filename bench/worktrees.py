"""Starts N agents (200) at once, and counts how many get a worktree, compared with plain `git worktree add`.

    python -m bench.worktrees [N]

Baseline: as many `git worktree add` from 16 threads, as a script around Git does it.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

from bench.common import ENV, git, repository, table


def main(count: int) -> None:
    files = {f"src/d{i % 20}/f{i}.txt": f"file {i}\n" * 20 for i in range(500)}
    rows = []
    with repository(files, "true") as top:
        begun = time.time()
        with ThreadPoolExecutor(16) as pool:
            made = list(
                pool.map(
                    lambda n: git(top, "worktree", "add", "-q", "-b", f"plain-{n}", f"{top}-plain/{n}", check=False), range(count)
                )
            )
        lost = sum(done.returncode != 0 for done in made)
        base = time.time() - begun
        rows.append(("git worktree add, 16 threads", count - lost, lost, base, 1.0))
    with repository(files, "true") as top:
        begun = time.time()
        done = subprocess.run(
            [
                sys.executable,
                "-m",
                "agentctl",
                "-C",
                top,
                "spawn",
                "w",
                "--count",
                str(count),
                "--",
                "sh",
                "-c",
                "echo $AGENTCTL_AGENT > made.txt",
            ],
            env=ENV,
            capture_output=True,
            text=True,
        )
        ours = time.time() - begun
        found = sum(os.path.isfile(f"{top}.agentctl/agents/w-{n}/made.txt") for n in range(1, count + 1))
        submitted = len(git(top, "for-each-ref", "refs/agentctl/inbox").stdout.splitlines())
        rows.append(("agentctl spawn (worktree, session, submission)", found, count - submitted, ours, ours / base))
        if done.stderr:
            print(done.stderr)
    table(rows, ("", "made", "lost", "seconds", "ratio"))
    sys.exit(0 if found == submitted == count else 1)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 200)
