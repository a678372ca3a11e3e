"""How fast changes land when the gate costs nothing, compared with one `git merge` after another.

    python -m bench.landing [N]

Baseline: for each change `git merge --squash`, `git commit` and the gate in one worktree.
"""

from __future__ import annotations

import subprocess
import sys
import time

from agentctl.git.repository import find
from agentctl.hub import inbox
from bench.common import ENV, git, repository, table


def changes(top: str, count: int) -> list[str]:
    hub, made = find(top), []
    tip = hub.trunk_tip("main")
    tree = hub.objects.commit(tip).tree
    for n in range(count):
        changed = hub.objects.replace(tree, {f"src/d{n % 20}/new{n}.txt": f"{n}\n".encode()})
        made.append(hub.objects.write_commit(changed, [tip], f"change {n}\n", time.time()))
    return made


def main(count: int) -> None:
    files = {f"src/d{i % 20}/f{i}.txt": f"file {i}\n" for i in range(500)}
    with repository(files, "true") as top:
        heads = changes(top, count)
        begun = time.time()
        for n, head in enumerate(heads):
            git(top, "merge", "-q", "--squash", head)
            git(top, "commit", "-q", "-m", f"change {n}")
            subprocess.run(["sh", "-c", "true"], cwd=top, check=True)
        base = time.time() - begun
    with repository(files, "true") as top:
        hub = find(top)
        for n, head in enumerate(changes(top, count)):
            inbox.submit(hub, head, f"agent-{n % 50}", f"change-{n}", hub.trunk_tip("main"))
        begun = time.time()
        subprocess.run(
            [sys.executable, "-m", "agentctl", "-C", top, "bot", "run", "--once", "--json"],
            env=ENV,
            check=True,
            capture_output=True,
        )
        ours = time.time() - begun
        landed = int(git(top, "rev-list", "--count", "--first-parent", "main").stdout) - 1
    table(
        [
            ("git merge --squash, one by one", count, base, count / base, 1.0),
            ("agentctl bot run --once", landed, ours, landed / ours, (landed / ours) / (count / base)),
        ],
        ("", "landed", "seconds", "landed/s", "ratio"),
    )
    sys.exit(0 if landed == count else 1)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 400)
