"""`kill -9` of `agentctl run` at random moments, each time followed by the same command again.

    python -m bench.kill9 [KILLS] [SEED] [--all]

With --all not only the main process is killed but also every gate, session and guard. There are 24 tasks. A quarter
of them writes a bug first, a fifth edits the same line as others, and each leaves a grandchild in a session of its
own. At the end everything must have landed, `verify` must be clean, and no process may be left. Baseline: the same
run undisturbed, in the same script.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from typing import Any

from agentctl.engine import processes
from agentctl.git.repository import find
from bench.common import ENV, git, repository, table

TASKS = 24
GATE = "sleep 0.2; ! grep -l BUG *.txt"
WORK = """
n=${AGENTCTL_TASK#t-}
sleep 0.$((n % 4 + 1))
echo "work of $n" > f$n.txt
[ $((n % 4)) = 1 ] && [ -z "$AGENTCTL_ANSWER" ] && echo BUG > f$n.txt
[ $((n % 5)) = 2 ] && sed -i "3s/.*/line three by $n/" shared.md
"""
"""What an agent does before it commits: a quarter of the tasks writes a bug first, a fifth edits the same line."""
COMMIT = 'git add -A && git commit -qm "task $n"\n'
AGENT = f"{WORK}(setsid sleep 1000 &)\n{COMMIT}sleep 0.$((n % 3 + 1))\n"


def command(top: str) -> list[str]:
    return [
        sys.executable,
        "-m",
        "agentctl",
        "-C",
        top,
        "run",
        os.path.join(top, "..", "tasks.yaml"),
        "--agents",
        "4",
        "--attempts",
        "9",
        "--",
        "sh",
        "-c",
        AGENT,
    ]


def marked(prefix: str) -> list[int]:
    return [pid for pid, _ in processes.marked(prefix)]


def once(kills: int, seed: int, everything: bool, longest: float = 0.0) -> tuple[Any, ...]:
    """Kill the run `kills` times, let it end, and return (whether all is well, row of the table).

    `longest` is the most seconds for which a run is left alone before it is killed.
    """
    rnd = random.Random(seed)
    files = {"shared.md": "".join(f"line {i}\n" for i in range(9))}
    with repository(files, GATE) as top:
        with open(os.path.join(top, "..", "tasks.yaml"), "w") as file:
            file.writelines(f"- {{id: t-{n}, prompt: 'Do piece {n}.'}}\n" for n in range(TASKS))
        mark, begun, done = find(top).mark, time.time(), 0
        while done < kills:
            run = subprocess.Popen(command(top), env=ENV, stdout=subprocess.DEVNULL, start_new_session=True)
            try:
                run.wait(rnd.uniform(0.2, longest))
                break
            except subprocess.TimeoutExpired:
                for pid in [*(marked(mark) if everything else ()), run.pid]:
                    try:
                        os.kill(pid, signal.SIGKILL)
                    except ProcessLookupError:
                        pass
                run.wait()
                done += 1
        last = subprocess.run(command(top), env=ENV, capture_output=True, text=True)
        verify = subprocess.run([sys.executable, "-m", "agentctl", "-C", top, "verify"], env=ENV, capture_output=True, text=True)
        landed = sum(os.path.exists(os.path.join(top, f"f{n}.txt")) for n in range(TASKS))
        clean = git(top, "status", "--porcelain").stdout == ""
        left = len(marked(mark)) + os.path.isdir(top + ".agentctl")
        good = last.returncode == verify.returncode == left == 0 and landed == TASKS and clean
        if not good:
            print(last.stdout[-2000:], last.stderr, verify.stdout, verify.stderr)
        return good, (done, landed, last.returncode, verify.returncode, left, time.time() - begun)


def main(args: list[str]) -> None:
    numbers = [int(a) for a in args if a.isdigit()]
    kills, seed = [*numbers, *(10, 1)[len(numbers) :]][:2]
    everything = "--all" in args
    undisturbed, base = once(0, seed, everything)
    longest = max(0.4, 1.4 * base[-1] / max(1, kills))
    good, row = once(kills, seed, everything, longest)
    table([("undisturbed", *base), ("killed", *row)], ("", "kills", "landed", "exit", "verify", "left behind", "seconds"))
    sys.exit(0 if good and undisturbed else 1)


if __name__ == "__main__":
    main(sys.argv[1:])
