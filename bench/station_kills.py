"""Two fleets and a bot at stations of their own, killed and cut off at random moments: nothing is lost, nothing lands twice.

    python -m bench.station_kills [KILLS] [CUTS] [SEED]

Every second or so one of the three is killed (kill -9) and started again, KILLS times in all; and CUTS times the hub dies between
taking a push and answering it, or before it takes it. A quarter of the tasks writes a bug first, and a fifth edits the same line as
others. At the end each task has landed exactly once, `verify` is clean from a fresh clone, and nothing is left running. Baseline: the
same undisturbed.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from agentctl.engine import processes
from agentctl.git.repository import find
from bench.common import ENV, git, table
from bench.kill9 import COMMIT, WORK
from bench.recipes import made_hub

TASKS = 40
CUT = """#!/bin/sh
# Dies if it is told so, before or after the refs have moved.
[ -e {when} ] && rm {when} && kill -9 $PPID
exit 0
"""
PATIENCE = 900.0


class Scene:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.hub = made_hub(folder)
        first = folder / "first"
        (first / "shared.md").write_text("one\ntwo\nthree\nfour\n")
        policy = first / ".agentctl/policy.yaml"
        policy.write_text(
            policy.read_text().replace("grep", "sleep 0.2; ! grep").replace("! sleep", "sleep") + "agents: {attempts: 50}\n"
        )
        git(str(first), "add", "-A")
        git(str(first), "commit", "-q", "-m", "more")
        git(str(first), "push", "-q", str(self.hub), "main")
        for when in ("pre", "post"):
            path = self.hub / "hooks" / f"{when}-receive"
            path.write_text(CUT.format(when=self.cut(when)))
            path.chmod(0o755)
        listed = "".join(f"- {{id: t-{n}, prompt: do it}}\n" for n in range(TASKS))
        (folder / "tasks.yaml").write_text(listed)
        for name in ("one", "two", "bot"):
            git(str(folder), "clone", "-q", "hub.git", name)
        self.running: dict[str, subprocess.Popen[bytes]] = {}

    def cut(self, when: str) -> Path:
        return self.folder / f"cut-{when}"

    def start(self, name: str) -> None:
        words = (
            ["bot", "run"]
            if name == "bot"
            else ["run", "../tasks.yaml", "--agents", "4", "--no-bot", "--", "sh", "-c", WORK + COMMIT]
        )
        log = open(self.folder / f"{name}.log", "ab")
        self.running[name] = subprocess.Popen(
            [sys.executable, "-m", "agentctl", *words],
            cwd=self.folder / name,
            env=ENV,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )

    @property
    def over(self) -> bool:
        return all(self.running[name].poll() == 0 for name in ("one", "two"))


def run(folder: Path, kills: int, cuts: int, rnd: random.Random) -> tuple[float, list[str]]:
    """Return (seconds, what is wrong in the end)."""
    scene, begun = Scene(folder), time.monotonic()
    for name in ("bot", "one", "two"):
        scene.start(name)
    due = (
        sorted(begun + 2 + rnd.uniform(0, 1.0) + n for n in range(kills)),
        sorted(begun + 2 + rnd.uniform(0, 1.0) + n for n in range(cuts)),
    )
    while not scene.over:
        now = time.monotonic()
        if now - begun > PATIENCE:
            return now - begun, ["it did not end"]
        if due[0] and due[0][0] < now:
            due[0].pop(0)
            name = rnd.choice(sorted(scene.running))
            if scene.running[name].poll() is None:
                os.kill(scene.running[name].pid, signal.SIGKILL)
                scene.running[name].wait()
        if due[1] and due[1][0] < now:
            due[1].pop(0)
            scene.cut(rnd.choice(("pre", "post"))).touch()
        for name, one in list(scene.running.items()):
            if one.poll() not in (None, 0):
                scene.start(name)
        time.sleep(0.1)
    seconds = time.monotonic() - begun
    scene.running["bot"].terminate()
    scene.running["bot"].wait()
    return seconds, judged(scene)


def judged(scene: Scene) -> list[str]:
    wrong = []
    for when in ("pre", "post"):
        scene.cut(when).unlink(missing_ok=True)
    form = "--format=%(trailers:key=Agentctl-Task,valueonly,separator=%x2c)"
    landed = git(str(scene.hub), "log", form, "main").stdout.split()
    if sorted(landed) != sorted(f"t-{n}" for n in range(TASKS)):
        wrong.append(f"{len(landed)} commits of {len(set(landed))} tasks have landed")
    git(str(scene.folder), "clone", "-q", "hub.git", "fresh")
    verified = subprocess.run(
        [sys.executable, "-m", "agentctl", "verify"], cwd=scene.folder / "fresh", env=ENV, capture_output=True, text=True
    )
    if verified.returncode:
        wrong.append(verified.stdout[-500:] + verified.stderr[-500:])
    left = [pid for name in ("one", "two", "bot") for pid, _ in processes.marked(find(str(scene.folder / name)).mark)]
    if left:
        wrong.append(f"{len(left)} processes are left")
    refs = git(
        str(scene.hub),
        "for-each-ref",
        "--format=%(refname)",
        "refs/agentctl/claims",
        "refs/agentctl/stations",
        "refs/agentctl/bot",
    ).stdout.split()
    return wrong + ([f"left: {', '.join(refs)}"] if refs else [])


def main() -> None:
    kills, cuts, seed = (
        (int(word) for word in [*sys.argv[1:], "20", "20", "1"][:3]) if len(sys.argv) < 4 else map(int, sys.argv[1:4])
    )
    rows, failed = [], []
    for name, numbers in (("undisturbed", (0, 0)), ("killed and cut off", (kills, cuts))):
        folder = Path(tempfile.mkdtemp(prefix="agentctl-stations-"))
        try:
            seconds, wrong = run(folder, *numbers, random.Random(seed))
            rows.append((name, *numbers, TASKS, seconds))
            failed += [f"{name}: {one}" for one in wrong]
        finally:
            if not failed:
                shutil.rmtree(folder, ignore_errors=True)
    table(rows, ("", "kills", "cuts", "tasks", "seconds"))
    print("\n".join(failed) or "each task landed once, verify is clean from a fresh clone, nothing is left")
    sys.exit(bool(failed))


if __name__ == "__main__":
    main()
