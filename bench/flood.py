"""One agent fills the inbox; ten others hand in one change each. When do theirs land?

    python -m bench.flood                     20,000 refs beside ten honest changes
    python -m bench.flood --refs 2000 --linear

This prints for each kind of flood: the turn in which the ten were admitted, and how long that took; when the last of them
had landed; how long a turn took, at most and in the middle; and the highest use of memory. Each row is compared with the
same ten changes without a flood. With --linear it prints what an admission costs when 1,000, 2,000 and 4,000 honest changes
of 100 agents wait.
"""  # noqa: D400

from __future__ import annotations

import argparse
import resource
import statistics
import subprocess
import sys
import time

from agentctl.bot.bot import Bot
from agentctl.core.queue.records import Landed
from agentctl.engine import locks
from agentctl.git.objects import FILE
from agentctl.git.repository import Hub, find
from agentctl.hub.ledger import Ledger
from bench.common import repository, table

HONEST = 10
KINDS = ("none", "changes", "junk", "broken")


def heads(hub: Hub, name: str, count: int) -> list[str]:
    """Make commits on trunk, each with a file of its own, and return them."""
    objects, tip = hub.objects, hub.trunk_tip("main")
    top = dict(objects.tree(objects.commit(tip).tree))
    with objects.store.together():
        blob = objects.write_blob(b"x\n")
        return [
            objects.write_commit(
                objects.write_tree({**top, b"%s-%d" % (name.encode(), n): (FILE, blob)}), [tip], f"{name} {n}\n", time.time()
            )
            for n in range(count)
        ]


def flood(hub: Hub, kind: str, count: int) -> list[str]:
    """Return lines for `git update-ref` by which one agent fills the inbox."""
    if kind == "none":
        return []
    objects = hub.objects
    with objects.store.together():
        if kind == "changes":
            oids = heads(hub, "flood", count)
        elif kind == "junk":
            # Each one is a tag that asks for a priority of the wrong type.
            oids = [objects.write_tag(hub.trunk_tip("main"), f"t{n}", '{"priority": true}', n) for n in range(count)]
        else:
            # Each one names a tree that does not exist.
            oids = [objects.write_commit(f"{n:040x}", [hub.trunk_tip("main")], f"{n}\n", n) for n in range(1, count + 1)]
    return [f"create refs/agentctl/inbox/evil/flood-{n}/1 {oid}\n" for n, oid in enumerate(oids)]


def push(hub: Hub, lines: list[str]) -> None:
    subprocess.run(["git", "update-ref", "--stdin"], cwd=hub.git_dir, input="".join(lines).encode(), check=True)


def measured(kind: str, count: int) -> tuple[int, float, float, float, float]:
    """Return (turn in which the ten were admitted, seconds to it, to the last landing, longest turn, median turn)."""
    with repository({"README": "read me\n"}, "true") as top:
        hub = find(top)
        push(hub, flood(hub, kind, count))
        push(
            hub,
            [f"create refs/agentctl/inbox/honest-{n}/honest-{n}/1 {oid}\n" for n, oid in enumerate(heads(hub, "honest", HONEST))],
        )
        with locks.acquire(hub.own_path("locks", "bot.lock"), "the bot") as held:
            bot, begun, turns, admitted, landed = Bot(hub, held, "main"), time.monotonic(), [], (0, 0.0), 0.0
            keys = {f"honest-{n}/1" for n in range(HONEST)}
            while not landed:
                last = time.monotonic()
                bot.take_turn()
                turns.append(time.monotonic() - last)
                known = bot.state.queue.keys() | {r.key for r in Ledger.read(hub).ended()} if not admitted[0] else keys
                if not admitted[0] and keys <= known:
                    admitted = len(turns), time.monotonic() - begun
                if all(isinstance(bot.ledger.record(key), Landed) for key in keys):
                    landed = time.monotonic() - begun
                bot.wake.wait(0.05)
            bot.close()
        return *admitted, landed, max(turns), statistics.median(turns)


def alone(kind: str, count: int) -> None:
    """Print one row; this runs in a process of its own, so that its peak of memory is known."""
    found = measured(kind, count)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(" ".join(map(str, (*found, peak))))


def linear(counts: list[int]) -> None:
    rows, first = [], 0.0
    for count in counts:
        with repository({"README": "read me\n"}, "sleep 1000") as top:
            hub = find(top)
            push(
                hub,
                [
                    f"create refs/agentctl/inbox/agent-{n % 100}/change-{n}/1 {oid}\n"
                    for n, oid in enumerate(heads(hub, "honest", count))
                ],
            )
            with locks.acquire(hub.own_path("locks", "bot.lock"), "the bot") as held:
                bot, begun = Bot(hub, held, "main"), time.monotonic()
                while len(bot.state.queue) < count:
                    bot.take_turn()
                each = (time.monotonic() - begun) / count * 1000
                bot.close()
        first = first or each
        rows.append((count, each, each / first))
    table(rows, ("waiting", "ms each", "ratio"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--refs", type=int, default=20_000)
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=KINDS)
    parser.add_argument("--linear", action="store_true", help="what an admission costs, instead")
    parser.add_argument("--alone", choices=KINDS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.alone:
        return alone(options.alone, options.refs)
    if options.linear:
        return linear([1000, 2000, 4000])
    rows, base = [], 0.0
    for kind in options.kinds:
        done = subprocess.run(
            [sys.executable, "-m", "bench.flood", "--alone", kind, "--refs", str(options.refs)],
            check=True,
            capture_output=True,
            text=True,
        )
        turn, admitted, landed, longest, median, peak = (float(word) for word in done.stdout.split())
        base = base or landed
        rows.append((kind, int(turn), admitted, landed, landed / base, longest, median, peak))
    table(rows, ("flood", "turn", "s to it", "s landed", "ratio", "longest turn", "median", "MiB"))


if __name__ == "__main__":
    main()
