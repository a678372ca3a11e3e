"""Submissions from many clones at once to a hub on a remote, while its bot runs: what is lost, how fast, how many bytes.

    python -m bench.hub_flood [--clones 50] [--each 20] [--kinds http]

Each clone is a process of its own that submits one change after the other. The gate is empty. In the end each acknowledged
submission has landed. Latency is from the moment that somebody submits to the one at which the landing is in the ledger, by the
same clock. Baseline: the same number of changes submitted by as many processes to a hub that is the repository itself.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from agentctl.core.queue.records import Landed
from agentctl.errors import AgentctlError
from agentctl.git.repository import find
from agentctl.hub import inbox
from agentctl.hub.ledger import Ledger
from bench.common import ENV, git, table
from bench.git_servers import KINDS, Server, serving

POLICY = "version: 1\ngates: [{name: gate, run: 'true'}]\nqueue: {batch: 256}\n"
PATIENCE = 200.0


@dataclass(frozen=True)
class Flood:
    seconds: float
    acknowledged: float
    """Seconds until all were acknowledged."""
    lost: int
    refused: int
    latencies: Sequence[float]
    requests: int
    moved: int
    """Bytes that went over the server's connections, both ways."""


def worker(path: str, name: str, count: int) -> None:
    """Submit changes one after the other from a clone, and print when each was asked for."""
    hub = find(path)
    hub.refs.refresh()
    for n in range(count):
        tip = hub.trunk_tip("main")
        tree = hub.objects.replace(hub.objects.commit(tip).tree, {f"{name}-{n}.txt": b"x\n"})
        head = hub.objects.write_commit(tree, [tip], f"{name} {n}\n", time.time())
        asked = time.time()
        try:
            receipt = inbox.submit(hub, head, name, f"{name}-{n}", tip)
        except AgentctlError as error:
            print("refused", error.message, flush=True)
            continue
        print(receipt.key, asked, flush=True)


def flooded(hub: str, paths: list[str], bot: str, each: int, server: Server | None) -> Flood:
    before = server.traffic.copy() if server else None
    running = subprocess.Popen(
        [sys.executable, "-m", "agentctl", "bot", "run", "-q"], cwd=bot, env=ENV, stdout=subprocess.DEVNULL
    )
    try:
        time.sleep(1.5)
        begun = time.time()
        argv = [sys.executable, "-m", "bench.hub_flood", "--worker"]
        workers = [
            subprocess.Popen([*argv, path, f"w{n}", str(each)], env=ENV, stdout=subprocess.PIPE, text=True)
            for n, path in enumerate(paths)
        ]
        lines = [line.split() for one in workers for line in one.communicate()[0].splitlines()]
        acknowledged = time.time() - begun
        asked = {key: float(when) for key, when in (line for line in lines if line[0] != "refused")}
        deadline = time.time() + PATIENCE
        while time.time() < deadline:
            landed = {record.key: record.at for record in Ledger.read(find(hub)).ended() if isinstance(record, Landed)}
            if asked.keys() <= landed.keys() or running.poll() is not None:
                break
            time.sleep(0.5)
    finally:
        running.terminate()
        running.wait()
    times = [landed[key] - when for key, when in asked.items() if key in landed]
    traffic = server.traffic - before if server and before else None
    return Flood(
        max(landed.values()) - begun,
        acknowledged,
        len(asked.keys() - landed.keys()),
        sum(line[0] == "refused" for line in lines),
        times,
        traffic.requests if traffic else 0,
        traffic.moved if traffic else 0,
    )


def made(folder: Path, kind: str, clones: int, each: int) -> Flood:
    first, bare = folder / "first", folder / f"{kind}.git"
    if not first.exists():
        (first / ".agentctl").mkdir(parents=True)
        git(str(first), "init", "-q", "-b", "main")
        (first / ".agentctl/policy.yaml").write_text(POLICY)
        git(str(first), "add", "-A")
        git(str(first), "commit", "-q", "-m", "begin")
    git(str(folder), "clone", "-q", "--bare", str(first), bare.name)
    if kind == "local":
        return flooded(str(bare), [str(bare)] * clones, str(bare), each, None)
    with serving(kind, str(folder)) as server:
        paths = [str(folder / f"{kind}-{n}") for n in range(clones + 1)]
        for path in paths:
            settings = [word for setting in server.settings for word in ("-c", setting)]
            git(str(folder), *settings, "clone", "-q", server.url(bare.name), path)
            for setting in (*server.settings, "agentctl.remote=origin", "agentctl.trunk=main"):
                git(path, "config", *setting.split("=", 1))
        return flooded(str(bare), paths[1:], paths[0], each, server)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.hub_flood", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--clones", type=int, default=50)
    parser.add_argument("--each", type=int, default=20)
    parser.add_argument("--kinds", default="http", help=", ".join(KINDS))
    parser.add_argument("--worker", nargs=3, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.worker:
        return worker(given.worker[0], given.worker[1], int(given.worker[2]))
    folder, rows, lost = Path(tempfile.mkdtemp(prefix="agentctl-flood-")), [], 0
    try:
        for kind in ["local", *given.kinds.split(",")]:
            ran = made(folder, kind, given.clones, given.each)
            cuts = statistics.quantiles(ran.latencies, n=20)
            count = len(ran.latencies)
            lost += ran.lost + ran.refused
            rows.append(
                (
                    kind,
                    count,
                    ran.lost,
                    ran.refused,
                    count / ran.acknowledged,
                    count / ran.seconds,
                    cuts[9],
                    cuts[18],
                    f"{ran.moved / max(ran.requests, 1) / 1024:,.1f}" if ran.requests else "-",
                )
            )
        head = ("hub", "landed", "lost", "refused", "submits a second", "landed a second", "P50 s", "P95 s", "KiB a request")
        table(rows, head)
        sys.exit(bool(lost))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
