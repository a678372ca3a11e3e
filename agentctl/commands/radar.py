"""agentctl radar: what the running sessions have, and where they get into each other's way or trunk's."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from agentctl.core.notices import passed_over
from agentctl.core.queue.answer import Other
from agentctl.core.queue.state import State
from agentctl.core.tasks import overlap
from agentctl.core.tasks.overlap import CROWDED, Branch, Heat, Overlap
from agentctl.core.tasks.task import Task
from agentctl.core.text.json_form import facts, quoted
from agentctl.core.text.plural import many
from agentctl.core.text.printable import printable
from agentctl.engine.locks import holder
from agentctl.errors import AgentctlError
from agentctl.fleet import agents, looking
from agentctl.fleet.looking import Sight
from agentctl.fleet.radar import conflict_of
from agentctl.git.repository import Hub
from agentctl.git.worktrees import of_agent
from agentctl.hub import fought, tasks
from agentctl.hub.ledger import Ledger
from agentctl.messages import aligned, some
from agentctl.terminal.parser import Given, as_command, given

LOOKS = 4
"""How many looks are taken at once."""
HOTTEST = 20
"""The most hot files that are listed."""


@dataclass(frozen=True, slots=True)
class Row:
    """A running session."""

    agent: str
    task: str | None
    commits: int
    files: int
    behind: int
    conflicts: tuple[str, ...]
    """Paths, quoted, here and in `overlaps`."""
    landed: tuple[Other, ...]
    """What landed in the conflicting paths."""
    overlaps: tuple[Overlap, ...]
    unseen: str = ""
    """Why nothing is known of what it has, or of its conflicts; empty if that is known."""


@as_command("radar", "agentctl radar\nagentctl radar --json")
@given
def command(given: Given) -> int:
    """List what running sessions have, and where it conflicts or overlaps.

    Each session's work, committed or not, is merged with trunk on trial. Overlaps are files that two sessions change, or
    a session and a change in the queue, or that one changes and the other one's task declares in its `paths`. Hot files
    are those that many of these change, or that many changes were rejected for lately. It only looks: what it finds
    while a fleet runs, the agents have been told.
    """
    hub, tip, found = given.hub, given.seen.tip, tasks.survey(given.hub)
    work = {claim.agent: name for name, (claim, _) in found.claims.items()}
    running = [name for name in agents.names(hub) if holder(hub.own_path("locks", "agents", f"{name}.lock"))]
    with ThreadPoolExecutor(LOOKS, thread_name_prefix="look") as pool:
        sights = dict(zip(running, pool.map(lambda name: _seen(hub, name, tip), running)))
    ledger = Ledger.read(hub)
    branches = [_branch(name, sights[name], found.tasks.get(work.get(name, ""))) for name in running]
    queued = _queued(ledger.state(), found.tasks)
    across, lately = overlap.overlaps([*branches, *queued]), fought.lately(ledger)
    rows = [_row(name, work.get(name), sights[name], across[name]) for name in running]
    hot = overlap.hot([*branches, *queued], lately.conflicts)[:HOTTEST]
    if given.json:
        hot = [Heat(quoted(heat.path), heat.branches, heat.conflicts) for heat in hot]
        given.emit({"trunk": tip, "sessions": facts(rows), "hot": facts(hot), "among": len(lately.ended)})
        return 0
    _tell(given, rows, sights)
    if hot:
        given.say(
            f"hot files, and changes rejected for conflicts in them, of the last {len(lately.ended)} that landed or were rejected:"
        )
        for line in aligned([_heat(heat) for heat in hot]):
            given.say("  " + line)
    for notice in passed_over(found.passed_over):
        given.say(f"note: {notice.how}")
    return 0


def _seen(hub: Hub, agent: str, tip: str) -> Sight | str:
    """Return what the agent has, or why that cannot be seen."""
    try:
        return looking.look(hub, of_agent(hub, agent), tip)
    except AgentctlError as error:
        return error.message
    except OSError as error:
        # The agent changes its files at the same time.
        return f"{error.strerror}: {error.filename}"


def _branch(name: str, sight: Sight | str, task: Task | None) -> Branch:
    touched = frozenset() if isinstance(sight, str) else frozenset(sight.touched)
    return Branch(name, touched, task.paths if task else ())


def _queued(state: State, known: dict[str, Task]) -> list[Branch]:
    return [
        Branch(record.key, frozenset(record.work.places), known[task].paths if (task := record.change.task) in known else ())
        for record in state.queue.values()
    ]


def _row(agent: str, task: str | None, sight: Sight | str, overlaps: tuple[Overlap, ...]) -> Row:
    across = tuple(Overlap(one.other, tuple(map(quoted, one.paths))) for one in overlaps)
    if isinstance(sight, str):
        return Row(agent, task, 0, 0, 0, (), (), across, sight)
    unseen = f"{sight.under_way} is under way" if sight.under_way else ""
    conflicts = tuple(map(quoted, sight.conflicts))
    return Row(agent, task, sight.commits, len(sight.touched), sight.behind, conflicts, sight.landed, across, unseen)


def _tell(given: Given, rows: list[Row], sights: dict[str, Sight | str]) -> None:
    if not rows:
        given.say("no session runs here")
    lines = aligned(
        [
            (
                row.agent,
                row.task or "-",
                many(row.commits, "commit"),
                many(row.files, "file"),
                f"{row.behind} behind",
                "conflicts" if row.conflicts else "-",
            )
            for row in rows
        ]
    )
    for row, line in zip(rows, lines):
        given.say(line, hang=12, style="yellow" if row.conflicts else None)
        sight = sights[row.agent]
        if row.unseen:
            given.say(f"  not compared with trunk: {printable(row.unseen)}", hang=4)
        elif not isinstance(sight, str) and sight.conflicts:
            given.say(f"  {conflict_of(sight)}", hang=4)
        for one in row.overlaps:
            given.say(f"  overlaps with {one.other} in {some(one.paths)}", hang=4)


def _heat(heat: Heat) -> tuple[str, ...]:
    alone = "one task at a time" if heat.conflicts >= CROWDED else ""
    return printable(heat.path), f"changed by {len(heat.branches)} here", many(heat.conflicts, "conflict"), alone
