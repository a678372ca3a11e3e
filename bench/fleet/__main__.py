"""A fleet of scripted agents for a while, with faults of all kinds, and what became of each.

    python -m bench.fleet [AGENTS] [MINUTES] [--seed N] [--kill-every MINUTES] [--keep]

The agents are real processes below a real `agentctl run`, which is killed by `kill -9` now and then and started again.
Each session draws from a seeded table what it does (`bench/fleet/faults.py`), and notes it in a journal that agentctl
does not know. At the end the journal, the hub's refs and what agentctl recorded are laid beside each other. Exit status
1 if anything is not zero that must be. --keep leaves the hub.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import sys
import time
from collections import Counter
from pathlib import Path

from agentctl.core.queue.records import Landed
from agentctl.git.repository import find
from bench.common import repository, table
from bench.fleet.evidence import Evidence
from bench.fleet.faults import BEHAVIOURS
from bench.fleet.ground import Ground, Sampled

GATE = "sleep 1; ! grep -rlx BUG work"
FILES = {"README": "read me\n", "shared.md": "".join(f"line {n}\n" for n in range(9)), "work/first.txt": "the end of nothing\n"}
KILL_EVERY, STORM_EVERY = 4.0, 6.0
"""Minutes between two kills of the supervisor, and between two storms; less in a run so short that none would come."""
PARTS = 6
"""The memory of the supervisor that lived longest is told for so many parts of its life."""


def schedule(minutes: float, every: float, rnd: random.Random) -> list[float]:
    """Return the seconds after the start at which something happens; none if that is every 0 minutes."""
    if not every:
        return []
    count = max(1, round(minutes / every))
    return [60 * minutes * (n + rnd.uniform(0.3, 0.7)) / count for n in range(count)]


def play(ground: Ground, minutes: float, seed: int, kill_every: float) -> tuple[list[float], int]:
    """Run the fleet, and return (when it was killed, exit status after Ctrl-C)."""
    rnd, kills = random.Random(seed), []
    todo = sorted(
        [(at, "kill") for at in schedule(minutes, kill_every, rnd)]
        + [(at, "storm") for at in schedule(minutes, STORM_EVERY, rnd)]
    )
    ground.feed()
    ground.start()
    begun = time.time()
    while (now := time.time() - begun) < 60 * minutes:
        time.sleep(0.5)
        ground.sample()
        ground.feed()
        if not todo or now < todo[0][0]:
            continue
        _, what = todo.pop(0)
        if what == "storm":
            ground.storm(max(4.0, ground.tempo.session / 4))
        else:
            kills.append(time.time())
            ground.kill()
            ground.start()
    kills.append(time.time())
    return kills, ground.stop(patience=60 + ground.agents)


def slope(samples: list[tuple[float, int]]) -> float:
    """Return the growth in KiB a minute by least squares, without the first quarter; 0 for too few samples."""
    kept = samples[len(samples) // 4 :]
    if len(kept) < 10:
        return 0.0
    mean_x, mean_y = (sum(one[n] for one in kept) / len(kept) for n in (0, 1))
    square = sum((x - mean_x) ** 2 for x, _ in kept)
    return sum((x - mean_x) * (y - mean_y) for x, y in kept) / square * 60 / 1024


def parts(samples: list[tuple[float, int]]) -> str:
    """Return the mean memory in each part of a life, in MiB."""
    size = -(-len(samples) // PARTS) or 1
    means = (sum(kept for _, kept in part) / len(part) for part in (samples[n : n + size] for n in range(0, len(samples), size)))
    return " ".join(f"{mean / 2**20:.0f}" for mean in means)


def pauses(outputs: Path) -> Counter[str]:
    """Count the pauses of the fleet, and the agents put to rest, by what caused them."""
    found: Counter[str] = Counter()
    for file in outputs.iterdir():
        for line in file.read_text(errors="replace").splitlines():
            event = json.loads(line) if line.startswith("{") else {}
            if event.get("kind") == "braked":
                found["one agent rests" if event.get("agent") else f"pause or failed try: {event.get('failure')}"] += 1
    return found


def must_be_zero(evidence: Evidence, ground: Ground, status: int) -> dict[str, list[str]]:
    verify = ground.agentctl("verify")
    return {
        "work lost": evidence.lost(),
        "healthy sessions ended": evidence.killed_healthy(),
        "half-done or bad files on trunk": evidence.half_done(),
        "sessions not recorded": evidence.forgotten(),
        "untested code on trunk (verify)": [] if verify.returncode == 0 else [verify.stdout + verify.stderr],
        "processes left": evidence.processes(),
        "locks left": evidence.locks(),
        "worktrees and claims left": evidence.worktrees(),
        "no clean end after Ctrl-C": [] if status == 130 else [f"exit status {status}"],
    }


def figures(evidence: Evidence, runs: list[Sampled], outputs: Path) -> list[tuple[object, ...]]:
    longest = max(runs, key=lambda one: len(one.memory))
    seconds = sum(one.seconds for one in runs) or 1.0
    landed = [record for record in evidence.ended if isinstance(record, Landed)]
    statuses = Counter(task.closed or "open" for task in evidence.all_tasks.values() if task.sessions)
    charged = Counter(
        one.behaviour for one in evidence.noted if one.recorded and one.recorded.charged and one.behaviour == "rate limit"
    )
    return [
        ("sessions", len(evidence.noted)),
        ("changes landed", len(landed)),
        ("tasks parked", statuses["parked"]),
        ("attempts charged for a rate limit", sum(charged.values())),
        ("supervisors", len(runs)),
        ("memory of a supervisor, at most, MiB", max(size for one in runs for _, size in one.memory) / 2**20),
        ("its growth in the longest run, KiB a minute", slope(longest.memory)),
        (f"in each of {PARTS} parts of that run, MiB", parts(longest.memory)),
        ("of it without pages of files, MiB", parts(longest.own)),
        ("its own share of one processor", sum(one.cpu for one in runs) / seconds),
        ("that of its Gits, gates and sessions", sum(one.helpers for one in runs) / seconds),
        *sorted(pauses(outputs).items()),
    ]


def main(words: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.fleet", description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("agents", nargs="?", type=int, default=200)
    parser.add_argument("minutes", nargs="?", type=float, default=30.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--kill-every", type=float, default=KILL_EVERY, metavar="MINUTES", help="0: the supervisor lives from begin to end"
    )
    parser.add_argument("--keep", action="store_true", help="leave the hub and the journal, and say where they are")
    options = parser.parse_args(words)
    with repository(FILES, GATE, 2, **Ground.policy(options.agents)) as top:
        ground = Ground(top, options.agents, options.seed)
        kills, status = play(ground, options.minutes, options.seed, options.kill_every)
        evidence = Evidence.gather(find(top), ground.place, kills)
        wrong = must_be_zero(evidence, ground, status)
        rows = list(evidence.rows())
        table(rows, ("behaviour", "sessions", "recognised", "s to recover", "at most"))
        for how, count in evidence.misread().most_common(20):
            print(f"    {count} times {how}")
        print()
        table([(what, len(found)) for what, found in wrong.items()], ("must be zero", ""))
        for what, found in wrong.items():
            for one in found[:10]:
                print(f"    {what}: {one}")
        print()
        table(figures(evidence, ground.supervisors, ground.place / "output"), ("figure", ""))
        missing = [name for name, count, *_ in rows if not count and BEHAVIOURS[name].share]
        print(f"\n{options.agents} agents, {options.minutes:g} minutes, seed {options.seed}", end="")
        print(f"; never drawn: {', '.join(missing)}" if missing else "")
        if options.keep:
            print(
                "kept in",
                shutil.copytree(Path(top).parent, Path(top).parent.with_name(Path(top).parent.name + "-kept"), symlinks=True),
            )
    return 1 if any(wrong.values()) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
