"""What lanes are worth: a slow gate and a fast one, with and without the paths that they judge.

    python -m bench.lanes [SECONDS]

One real bot with four slots runs in real time. The gates sleep: the slow one 6 s, the fast one 0.3 s. For SECONDS, a
change for the fast one comes every 2 s and one for the slow one every 6 s; all are good. Turnaround is from
submission to landing. Baseline: the same gates without `paths`.
"""

from __future__ import annotations

import subprocess
import sys
import time

from agentctl.git.repository import Hub, find
from agentctl.hub import inbox
from agentctl.hub.ledger import Ledger
from bench.common import ENV, git, repository, table

GATES = {"slow": 6.0, "fast": 0.3}
EVERY = {"slow": 6.0, "fast": 2.0}
LOG = "/../runs"
"""The way from the hub's folder to a file beside it that gets a line for each run of a gate."""


def policy(top: str, paths: bool) -> str:
    lines = ["version: 1", "queue: {slots: 4}", "protect: []", "gates:"]
    for name, seconds in GATES.items():
        lines += [f"  - name: {name}", f"    run: echo {name} >>{top}{LOG}; sleep {seconds}"]
        lines += [f"    paths: ['{name}/**']"] if paths else []
    return "\n".join(lines) + "\n"


def submit(hub: Hub, name: str, path: str) -> None:
    tip = hub.trunk_tip("main")
    tree = hub.objects.replace(hub.objects.commit(tip).tree, {path: b"new\n"})
    inbox.submit(hub, hub.objects.write_commit(tree, [tip], f"{name}\n", time.time()), "bench", name, tip)


def run(seconds: float, paths: bool) -> tuple[dict[str, list[float]], int]:
    """Return (turnarounds by gate, runs of the slow gate)."""
    with repository({"slow/a": "a\n", "fast/a": "a\n"}, "true") as top:
        with open(top + "/.agentctl/policy.yaml", "w") as file:
            file.write(policy(top, paths))
        git(top, "commit", "-q", "-a", "-m", "policy")
        hub = find(top)
        sent: dict[str, float] = {}
        bot = subprocess.Popen([sys.executable, "-m", "agentctl", "-C", top, "bot", "run"], env=ENV, stdout=subprocess.DEVNULL)
        try:
            time.sleep(sum(GATES.values()) + 2)
            begun, due = time.time(), dict.fromkeys(GATES, 0.0)
            while min(due.values()) < seconds:
                name = min(due, key=due.__getitem__)
                time.sleep(max(0.0, begun + due[name] - time.time()))
                key = f"{name}-{len(sent)}"
                sent[key] = time.time()
                submit(hub, key, f"{name}/{key}")
                due[name] += EVERY[name]
            while len(ended := Ledger.read(hub).ended()) < len(sent):
                time.sleep(0.2)
        finally:
            bot.terminate()
            bot.wait()
        assert all(record.stage == "landed" for record in ended)
        with open(top + LOG) as file:
            slow = file.read().split().count("slow")
        took = {name: sorted(r.at - sent[r.change.id] for r in ended if r.change.id.startswith(name)) for name in GATES}
        return took, slow


def main(seconds: float) -> None:
    rows: list[tuple[object, ...]] = []
    base: dict[str, float] = {}
    for paths in (False, True):
        took, runs = run(seconds, paths)
        for name, times in took.items():
            half, most = times[len(times) // 2], times[int(0.95 * len(times))]
            base.setdefault(name, half)
            rows.append((name, "paths" if paths else "no paths", len(times), half, most, runs, half / base[name]))
    table(sorted(rows), ("gate", "policy", "landed", "P50 s", "P95 s", "slow runs", "ratio of P50"))


if __name__ == "__main__":
    main(float(sys.argv[1]) if len(sys.argv) > 1 else 60.0)
