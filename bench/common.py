"""What the benchmarks share: throw-away repositories, and a table."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence

from agentctl.messages import aligned

ENV = {
    **os.environ,
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_AUTHOR_NAME": "bench",
    "GIT_AUTHOR_EMAIL": "bench@localhost",
    "GIT_COMMITTER_NAME": "bench",
    "GIT_COMMITTER_EMAIL": "bench@localhost",
}


def git(cwd: str, *args: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["git", *args], cwd=cwd, env=ENV, check=check, capture_output=True, text=True)


@contextlib.contextmanager
def repository(files: dict[str, str], gate: str, slots: int = 2, **policy: str) -> Iterator[str]:
    """Make a hub with these files on main and a policy, and remove it at the end with its worktrees."""
    home = tempfile.mkdtemp(prefix="agentctl-bench-")
    top = os.path.join(home, "hub")
    os.makedirs(top)
    try:
        git(top, "init", "-q", "-b", "main")
        lines = ["version: 1", "gates:", "  - name: gate", f"    run: {gate!r}", f"queue: {{slots: {slots}}}"]
        lines += [f"{key}: {value}" for key, value in policy.items()]
        for path, text in {**files, ".agentctl/policy.yaml": "\n".join(lines) + "\n"}.items():
            full = os.path.join(top, path)
            os.makedirs(os.path.dirname(full), exist_ok=True)
            with open(full, "w") as file:
                file.write(text)
        git(top, "add", "-A")
        git(top, "commit", "-q", "-m", "begin")
        yield top
    finally:
        shutil.rmtree(home, ignore_errors=True)


def table(rows: Sequence[tuple[object, ...]], head: tuple[str, ...]) -> None:
    """Print rows under a head, columns aligned."""
    shown = [head, *[tuple(f"{c:,.2f}" if isinstance(c, float) else str(c) for c in row) for row in rows]]
    print("\n".join(aligned(shown)))
