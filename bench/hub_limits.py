"""How many pushes a second one hub bears: by the way it is reached, by how many push at a time, and by the refs that it has.

    python -m bench.hub_limits [--kinds path,daemon,http,ssh] [--pushers 1,4,16] [--refs 0,1000,10000] [--seconds 10]

Each pusher is a clone that creates one ref after the other, as a claim does, and deletes it again, as its end does: by the same
code as a station. Server and clients share this machine, so all figures are for both ends together. Beside it: how long a look
takes that finds nothing new, and the bytes of a look over http.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
import threading
import time

from agentctl.git.remote import Remote
from agentctl.git.station import Station
from agentctl.git.transactions import Move
from bench.common import git, table
from bench.git_servers import KINDS, Server, serving


def made_hub(folder: str, refs: int) -> str:
    """Make a bare repository with so many refs of tasks, packed, as they are after a while; return its name."""
    name = f"hub-{refs}.git"
    path = os.path.join(folder, name)
    git(folder, "init", "-q", "--bare", "-b", "main", path)
    tree = git(path, "mktree", check=False).stdout.strip() or "4b825dc642cb6eb9a060e54bf8d69288fbee4904"
    commit = git(path, "commit-tree", "-m", "begin", tree).stdout.strip()
    git(path, "update-ref", "refs/heads/main", commit)
    with open(os.path.join(path, "packed-refs"), "w") as file:
        file.write("# pack-refs with: peeled fully-peeled sorted \n")
        file.writelines(f"{commit} {name}\n" for name in sorted(f"refs/agentctl/tasks/t-{n}" for n in range(refs)))
    return name


def station(folder: str, server: Server, name: str, number: int) -> Station:
    path = os.path.join(folder, f"{server.kind}-{name}-{number}")
    git(folder, "init", "-q", path)
    git(path, "remote", "add", "origin", server.url(name))
    for setting in server.settings:
        git(path, "config", *setting.split("=", 1))
    made = Station(Remote(os.path.join(path, ".git"), "origin"), lambda: "main")
    made.refresh()
    return made


def pushes(stations: list[Station], commit: str, seconds: float) -> float:
    """Return how many pushes a second all stations together had acknowledged."""
    over, counts = threading.Event(), [0] * len(stations)

    def push(number: int) -> None:
        one, n = stations[number], 0
        while not over.is_set():
            ref = f"refs/agentctl/claims/c-{number}-{n}"
            one.publish([Move(ref, None, commit)], "bench")
            one.publish([Move(ref, commit, None)], "bench")
            counts[number] += 2
            n += 1

    threads = [threading.Thread(target=push, args=(n,)) for n in range(len(stations))]
    begun = time.monotonic()
    for thread in threads:
        thread.start()
    time.sleep(seconds)
    over.set()
    for thread in threads:
        thread.join()
    return sum(counts) / (time.monotonic() - begun)


def looks(one: Station, server: Server, count: int = 5) -> tuple[float, float]:
    """Return (milliseconds, KiB over http) of a look that finds nothing new."""
    before, begun = server.traffic.copy(), time.monotonic()
    for _ in range(count):
        one.refresh()
    return (time.monotonic() - begun) / count * 1000, (server.traffic - before).moved / count / 1024


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.hub_limits", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--kinds", default=",".join(KINDS))
    parser.add_argument("--pushers", default="1,4,16")
    parser.add_argument("--refs", default="0,1000,10000")
    parser.add_argument("--seconds", type=float, default=10.0)
    given = parser.parse_args()
    pushers = [int(word) for word in given.pushers.split(",")]
    folder, rows = tempfile.mkdtemp(prefix="agentctl-limits-"), []
    try:
        names = {int(word): made_hub(folder, int(word)) for word in given.refs.split(",")}
        for kind in given.kinds.split(","):
            with serving(kind, folder) as server:
                for refs, name in names.items():
                    commit = git(os.path.join(folder, name), "rev-parse", "main").stdout.strip()
                    stations = [station(folder, server, name, n) for n in range(max(pushers))]
                    rates = [pushes(stations[:count], commit, given.seconds) for count in pushers]
                    took, moved = looks(stations[0], server)
                    rows.append((kind, refs, *rates, took, moved if kind == "http" else "-"))
                    print(*rows[-1], file=sys.stderr, flush=True)
        table(rows, ("hub", "refs", *(f"pushes/s of {n}" for n in pushers), "look, ms", "look, KiB"))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
