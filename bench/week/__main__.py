"""A week of a large fleet within minutes: the decisions that ship, on a virtual clock and in a seeded world.

    python -m bench.week [AGENTS] [DAYS] [--seed N] [--turn SECONDS] [--history]

The world has tasks of many natures, sessions that work, hang, crash and go in circles, slow tests that are silent for
long, a key that expires each night and is renewed after 40 minutes, rate limits, and hours in which the provider is
gone. The fleet is told what programs print then (tests/unit/last_words.txt has it recorded). Exit status 1 if anything
is not zero that must be. --history prints instead what a turn costs on a hub with many finished tasks.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time

from agentctl.core.queue.model import Change
from agentctl.core.queue.records import Landed, Passed, Proof, Record
from agentctl.core.tasks.claim import Claim
from agentctl.core.tasks.dispatch import Rules, dispatch
from agentctl.core.tasks.ending import End
from agentctl.core.tasks.task import Session, Task, standings
from agentctl.fleet.pace import Pace
from bench.common import table
from bench.week.fleet import Simulation, Tally
from bench.week.world import MORNING, World


def history(agents: int, counts: tuple[int, ...] = (1_000, 10_000, 100_000)) -> None:
    """Print the milliseconds of a turn's decisions, and of a supervisor's start, by the number of tasks that have landed."""
    rows, proof, first = [], Proof(0, "", "", Passed("", "", 0.0, "")), 0.0
    live = {f"live-{n}": Task(f"live-{n}", "", "") for n in range(2 * agents)}
    claims = {f"live-{n}": Claim(f"agent-{n}", 1, 0.0) for n in range(agents)}
    for count in counts:
        old, records = {}, dict[str, Record]()
        for n in range(count):
            session = Session(1, f"agent-{n % agents}", End.SUBMITTED, MORNING + n, 600.0, "", 1)
            old[f"old-{n}"] = Task(f"old-{n}", "", "", sessions=(session,))
            records[f"old-{n}"] = Landed(Change(f"old-{n}", 1, "", "", n, 0.0), at=0.0, commit="", proof=proof)
        tasks, rules = {**old, **live}, Rules(3)
        times = [time.process_time()]
        statuses = standings(tasks, claims, records, ())
        times.append(time.process_time())
        dispatch(tasks, statuses, ("agent-0",), "", rules, MORNING)
        times.append(time.process_time())
        Pace(agents, 30.0, tasks.values(), MORNING, lambda told: None)
        times.append(time.process_time())
        spent = [1000 * (after - before) for before, after in zip(times, times[1:])]
        first = first or sum(spent[:2])
        rows.append((f"{count:,}", *spent, sum(spent[:2]) / first))
    table(rows, ("landed tasks", "standings, ms", "dispatch, ms", "start, ms", "ratio of a turn"))


def hung(tally: Tally) -> list[tuple[object, ...]]:
    return [
        (cause, tally.sessions[cause], len(found), statistics.mean(found) / 60, max(found) / 60)
        for cause, found in sorted(tally.found.items())
    ]


def figures(tally: Tally, world: World, agents: int) -> list[tuple[object, ...]]:
    whole = agents * world.days * 86400
    idle = tally.idle
    return [
        ("sessions", f"{sum(tally.sessions.values()):,}"),
        ("tasks landed", f"{tally.landed:,}"),
        ("changes rejected", f"{tally.rejected:,}"),
        ("outages", f"{len(world.outages)}, {sum(o.end - o.begin for o in world.outages) / 3600:.1f} hours"),
        ("failed tries", tally.tries),
        ("idle during outages, % of the agents' time", 100 * idle["during an outage"] / whole),
        *(
            (f"{why}, % of the time without outages", 100 * seconds / (tally.clear or 1))
            for why, seconds in sorted(idle.items())
            if why.startswith("held after it")
        ),
        ("between turns, %", 100 * idle["by turns"] / whole),
        ("agents at rest, %", 100 * idle["at rest"] / whole),
        *((f"pauses: {why}", count) for why, count in sorted(tally.pauses.items())),
        *((f"parked: {why}", count) for why, count in sorted(tally.parked.items())),
    ]


def main(words: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.week", description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("agents", nargs="?", type=int, default=1000)
    parser.add_argument("days", nargs="?", type=float, default=7.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--turn", type=float, default=30.0, help="seconds of the virtual clock between two turns")
    parser.add_argument("--history", action="store_true", help="what a turn costs by the number of finished tasks, instead")
    options = parser.parse_args(words)
    if options.history:
        history(options.agents)
        return 0
    begun = time.perf_counter()
    world = World(options.seed, options.days)
    tally = Simulation(world, options.agents, options.turn).go()
    took = time.perf_counter() - begun
    table([(cause, count) for cause, count in tally.sessions.most_common()], ("session", ""))
    print()
    table(hung(tally), ("hung", "sessions", "found", "minutes to it", "at most"))
    print()
    table(figures(tally, world, options.agents), ("figure", ""))
    print()
    wrong = {
        "healthy sessions ended by us": tally.false_alarms,
        "attempts charged for what was not the task's fault": tally.wrongly_charged,
        "tasks parked for no planted reason": tally.wrongly_parked,
        "pauses that nothing planted": tally.why,
    }
    table([(what, len(found)) for what, found in wrong.items()], ("must be zero", ""))
    for what, found in wrong.items():
        for one in found[:10]:
            print(f"    {what}: {one}")
    print()
    table(
        [(what, seconds, 1e6 * seconds / tally.turns) for what, seconds in sorted(tally.deciding.items())],
        ("decision", "processor seconds", "µs by turn"),
    )
    print(f"\n{options.agents} agents, {options.days:g} days, seed {options.seed}: {tally.turns:,} turns in {took:.0f} s")
    return 1 if any(wrong.values()) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
