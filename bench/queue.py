"""The bot on a queue of real changes with a real gate, beside the simulator and one by one.

    python -m bench.queue                 400 changes; 5% and 15% bad; 2 and 8 slots: 15 minutes
    python -m bench.queue --changes 100   a shorter one

Each change adds a module and its tests to a small package. The gate runs the whole test suite, waits until a second
has passed, and fails one good run in fifty. The simulator plays the same queue with the same planner. "One by one"
means one slot and batches of one, for the first changes only.
"""

from __future__ import annotations

import argparse
import random
import subprocess
import sys
import time

from agentctl.core.planner import Settings, plan
from agentctl.git.repository import find
from agentctl.hub import inbox
from agentctl.simulation.simulator import Conditions, Simulation
from agentctl.simulation.traffic import Arrival
from bench.common import ENV, git, repository, table

AGENTS = 16
CHECK = """import random, sys, time, unittest
begun = time.time()
found = unittest.TextTestRunner(verbosity=0).run(unittest.defaultTestLoader.discover("tests"))
time.sleep(max(0.0, begun + 1 - time.time()))
sys.exit(not found.wasSuccessful() or random.SystemRandom().random() < {flake})
"""
MODULE = "def double(n):\n    return n * {factor}\n"
TEST = """import unittest
from parts.part{n} import double


class Part{n}(unittest.TestCase):
    def test_double(self):
        for n in range(100):
            self.assertEqual(double(n), 2 * n)
"""


def submit_all(top: str, bad: list[bool]) -> None:
    hub = find(top)
    tip = hub.trunk_tip("main")
    tree = hub.objects.commit(tip).tree
    for n, is_bad in enumerate(bad):
        files = {f"parts/part{n}.py": MODULE.format(factor=3 if is_bad else 2), f"tests/test_{n}.py": TEST.format(n=n)}
        changed = hub.objects.replace(tree, {path: text.encode() for path, text in files.items()})
        head = hub.objects.write_commit(changed, [tip], f"part {n}\n", time.time())
        inbox.submit(hub, head, f"agent-{n % AGENTS}", f"part-{n}", tip)


def real(bad: list[bool], slots: int, flake: float, batch: int) -> tuple[float, int, int, float]:
    """Return (probes for each landed change, landed, good ones rejected, seconds) of the bot."""
    files = {"check.py": CHECK.format(flake=flake), "parts/__init__.py": "", "tests/__init__.py": ""}
    with repository(files, f"{sys.executable} -B check.py", slots) as top:
        submit_all(top, bad)
        begun = time.time()
        subprocess.run(
            [sys.executable, "-m", "agentctl", "-C", top, "bot", "run", "--once", "--batch", str(batch)],
            env=ENV,
            capture_output=True,
        )
        seconds = time.time() - begun
        landed = int(git(top, "rev-list", "--count", "--first-parent", "main").stdout) - 1
        log = git(top, "log", "--format=%B", "refs/agentctl/state").stdout
        probes = sum(
            line.startswith("probe ") and (" passed" in line or " failed" in line) and " of " not in line
            for line in log.splitlines()
        )
        return probes / landed, landed, bad.count(False) - landed, seconds


def simulated(bad: list[bool], slots: int, flake: float) -> float:
    """Return the probes for each landed change of the same queue in simulated time."""
    arrivals = [Arrival(0.0, f"agent-{n % AGENTS}", is_bad) for n, is_bad in enumerate(bad)]
    tally = Simulation(arrivals, plan, Conditions(slots=slots, flake=flake), Settings(batch=256)).run()
    return tally.probes / tally.landed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--changes", type=int, default=400)
    parser.add_argument("--one-by-one", type=int, default=60, help="how many of them one by one")
    parser.add_argument("--risks", type=float, nargs="+", default=[0.05, 0.15])
    parser.add_argument("--slots", type=int, nargs="+", default=[2, 8])
    parser.add_argument("--flake", type=float, default=0.02)
    options = parser.parse_args()
    rows = []
    for risk in options.risks:
        dice = random.Random(1)
        bad = [dice.random() < risk for _ in range(options.changes)]
        few = bad[: options.one_by_one]
        base, *more = real(few, 1, options.flake, 1)
        rows.append((f"{risk:.0%} bad, one by one", *more, base, "", 1.0))
        for slots in options.slots:
            probes, *more = real(bad, slots, options.flake, 256)
            rows.append((f"{risk:.0%} bad, {slots} slots", *more, probes, simulated(bad, slots, options.flake), probes / base))
    table(rows, ("", "landed", "good rejected", "seconds", "probes per landed", "simulated", "ratio to one by one"))


if __name__ == "__main__":
    main()
