"""Real agent programs while their provider is well, and while it is not: the cells of tests/agents as a table.

    python -m bench.agent_programs DIR                          every program below DIR (see .ci/agents) with every fault
    python -m bench.agent_programs DIR --programs codex pi --faults 401 'stream hangs'
    python -m bench.agent_programs DIR --refused 600            instead: a key that is refused for 600 s and then works

A row has: how the sessions without a result ended; the kind of the failure that held the fleet; the attempts charged
to tasks for them; the seconds until the fleet paused, and for how long it meant to pause then; the seconds from when the
provider was well again until a change landed; tasks landed; the seconds of the whole run; what is wrong, if anything.
With --refused twelve tasks and four agents begin on a refused key; the sessions spent on it are counted. It needs a
checkout, because the cells are in tests/support.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import re
from collections import Counter
from pathlib import Path

from tests.support import model_server
from tests.support.agent_cells import FAULTS, Fault, Outcome, Setting, keep, play
from tests.support.agent_programs import PROGRAMS, Program

HEAD = (
    "program",
    "provider",
    "sessions ended",
    "held by",
    "charged",
    "paused",
    "for",
    "landing again",
    "landed",
    "took",
    "wrong",
)
HEAD_REFUSED = ("program", "sessions in all", "on the refused key", "pauses", "charged", "landed", "parked", "took", "wrong")


def wrong(seen: Outcome) -> str:
    """Describe what may never be, whatever the fault."""
    found = {
        "it did not end": seen.exit is None,
        "on trunk: " + ", ".join(seen.strange): seen.strange,
        "left over: " + "; ".join(seen.left_in_pause + seen.left): seen.left_in_pause or seen.left,
        "parked": seen.of("parked"),
        "a trouble": seen.of("trouble"),
    }
    return "; ".join(what for what, is_so in found.items() if is_so) or "-"


def seconds(number: float | None) -> str:
    return "-" if number is None else f"{number:.0f} s"


def row(program: Program, fault: str, seen: Outcome) -> tuple[str, ...]:
    ends = Counter(f"{session.end}{' (stopped)' if session.note == 'stopped' else ''}" for session in seen.failed)
    first = seen.pauses[0] if seen.pauses else None
    again = next((event.after for event in seen.of("landed") if event.after > seen.sick), None)
    return (
        program.adapter,
        fault,
        ", ".join(f"{many} {end}" for end, many in ends.items()) or "-",
        first.facts["failure"] if first else "-",
        str(seen.charged),
        seconds(first.after if first else None),
        seconds(first.facts["until"] - first.facts["at"] if first else None),
        seconds(again - seen.sick if again is not None and seen.sick > 1 else None),
        f"{seen.landed} of {len(seen.tasks)}",
        seconds(seen.seconds),
        wrong(seen),
    )


def row_refused(program: Program, seen: Outcome) -> tuple[str, ...]:
    return (
        program.adapter,
        str(len(seen.sessions)),
        str(len(seen.failed)),
        ", ".join(seconds(pause.facts["until"] - pause.facts["at"]) for pause in seen.pauses),
        str(seen.charged),
        f"{seen.landed} of {len(seen.tasks)}",
        str(len(seen.of("parked"))),
        seconds(seen.seconds),
        wrong(seen),
    )


def line(cells: tuple[str, ...]) -> str:
    return "| " + " | ".join(re.sub(r"\|", "/", cell) for cell in cells) + " |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", help="the folder with the programs")
    parser.add_argument("--programs", nargs="+", default=list(PROGRAMS), choices=PROGRAMS)
    parser.add_argument("--faults", nargs="+", default=list(FAULTS), choices=FAULTS)
    parser.add_argument("--refused", type=float, default=0.0, metavar="SECONDS")
    parser.add_argument("--jobs", type=int, default=2, help="how many cells are played at a time")
    parser.add_argument("--keep", metavar="FOLDER", help="where events and outputs are written to")
    given = parser.parse_args()
    programs = [PROGRAMS[name] for name in given.programs if PROGRAMS[name].folder(given.folder)]
    faults = {"refused": Fault(model_server.REFUSED, lasts=given.refused)} if given.refused else FAULTS
    names = ["refused"] if given.refused else given.faults

    def cell(pair: tuple[Program, str]) -> str:
        program, name = pair
        if given.refused:
            setting = Setting(tasks=12, agents=4, timeout=300, silence=100, backoff=30, patience=2 * given.refused + 900)
        else:
            setting = Setting(wrong=(2,) if name == "none" else ())
        seen = play(program, given.folder, faults[name], setting)
        if given.keep:
            keep(seen, Path(given.keep, program.adapter, name.replace(" ", "_")))
        return line(row_refused(program, seen) if given.refused else row(program, name, seen))

    head = HEAD_REFUSED if given.refused else HEAD
    print(line(head))
    print(line(("---",) * len(head)))
    with concurrent.futures.ThreadPoolExecutor(given.jobs) as pool:
        for shown in pool.map(cell, [(program, name) for program in programs for name in names]):
            print(shown, flush=True)


if __name__ == "__main__":
    main()
