"""agentctl bot: the merge queue alone."""

from __future__ import annotations

import time

import click

from agentctl import signals
from agentctl.bot.bot import Bot
from agentctl.bot.lock import lock
from agentctl.cluster import chosen
from agentctl.commands import approve
from agentctl.core import refnames
from agentctl.core.notices import Told
from agentctl.core.text.printable import printable
from agentctl.engine import memory, open_files
from agentctl.fleet import in_session
from agentctl.gate.pool import Gates
from agentctl.harness.lacking import Lacking
from agentctl.harness.tally import Tally
from agentctl.hub import approvals, foreign, lease, marks
from agentctl.hub.hindrance import Hindrance
from agentctl.terminal.narrator import Narrator
from agentctl.terminal.parser import Duration, Given, as_command, given, group
from agentctl.terminal.reports import Reports

POLL = 0.25
"""Seconds between two looks at the inbox when nothing else happens."""


@group("bot", "agentctl bot run\nagentctl bot run --once --junit report.xml\nagentctl bot restore\nagentctl bot adopt")
def bot_group() -> None:
    """The merge queue alone: on a laptop, or as a CI job."""  # noqa: D401


@bot_group.add_command
@as_command(
    "run",
    """
agentctl bot run
agentctl bot run --once --junit report.xml
agentctl bot run --slots 4
agentctl bot run --once --for 20m --code-quality quality.json --summary summary.md
""",
)
@click.option("--once", is_flag=True, help="End when the queue is empty.")
@click.option("--junit", type=click.Path(), metavar="FILE", help="Write what was tested and what became of each change.")
@click.option("--code-quality", type=click.Path(), metavar="FILE", help="Write rejections as GitLab shows them beside code.")
@click.option("--summary", type=click.Path(), metavar="FILE", help="Add a summary in Markdown (on GitHub: that of the job).")
@click.option("--slots", type=click.IntRange(1, 256), help="Gates that run at a time (default: the policy's).")
@click.option("--batch", type=click.IntRange(1), help="Most changes in one probe (default: the policy's).")
@click.option("--engine", metavar="ADDRESS", help="Run gates on a Dask cluster (default: agentctl.engine, or local).")
@click.option("--for", "most", type=Duration(), metavar="TIME", help="End after so long, as in 20m, whatever is left.")
@given
def run_command(
    given: Given,
    once: bool,
    junit: str | None,
    code_quality: str | None,
    summary: str | None,
    slots: int | None,
    batch: int | None,
    engine: str | None,
    most: float | None,
) -> int:
    """Admit, test and land what is submitted, until stopped.

    With --once it ends when the queue is empty, or when nothing is left to test because it is
    paused or changes wait for approvals: exit status 0 if nothing was rejected, 7 if something
    was; 5 if somebody else moved trunk, and not forward: then nothing lands until a person says
    what is right; 125 if trunk itself fails its gate and nothing in the queue mends it. Without
    --once it waits for all these. Where the hub stands on a remote and another bot works there,
    --once ends at once with exit status 0: that one does the work. What --for leaves is queued
    still, for the next. On GitHub each rejection is shown at the line that its gate names.
    """
    in_session.refuse(given.hub)
    try:
        reports = Reports(given.hub, {"junit": junit, "code-quality": code_quality, "summary": summary})
        with chosen.engine(given.hub, engine) as (gates, _):
            return run(given, reports, once, slots, batch, most, gates)
    except lease.Elsewhere as error:
        if not once:
            raise
        if given.json:
            given.emit({"kind": "elsewhere", "why": error.message})
        given.say(f"{error.message}: there is nothing to do here")
        return 0


def run(
    given: Given, reports: Reports, once: bool, slots: int | None, batch: int | None, most: float | None, gates: Gates
) -> int:
    begun, hub, trunk = time.monotonic(), given.hub, given.trunk
    narrator, tally = Narrator(given), Tally()

    def tell(event: Told) -> None:
        tally.count(event)
        reports.tell(event)
        narrator.tell(event)

    open_files.allow_many()
    giving_back = memory.GivingBack()
    with lock(given.hub) as held, signals.held():
        bot = Bot(hub, held, trunk, tell, slots, batch, gates=gates)
        hindrance, room = Hindrance(hub), Lacking(tell)
        try:
            while True:
                bot.take_turn()
                hindrance.tell(bot.reach.told, room.look(gates.lacking), bot.publisher.trouble)
                over = most is not None and time.monotonic() - begun >= most
                lasting = bot.reach.lasting if once and not bot.runs else None
                if over or lasting or once and (bot.idle or bot.halted):
                    lacking = sum(bool(approvals.lacking(hub, bot.policy, record)) for record in bot.state.queue.values())
                    break
                giving_back.turn()
                bot.wake.wait(POLL)
                signals.check()
        finally:
            bot.close()
            hindrance.close()
            reports.write(len(bot.state.queue), str(bot.paused or bot.blocked or ""))
            for line in reports.annotations:
                given.say(line)
    if given.json:
        given.emit(
            {
                "kind": "summary",
                "landed": tally.landed,
                "rejected": tally.rejected,
                "probes": tally.probes,
                "queued": len(bot.state.queue),
                "paused": bool(bot.paused),
                "over": over,
                "lacking": lacking,
                "unpublished": bot.publisher.trouble,
            }
        )
    given.say(f"landed {tally.landed}, rejected {tally.rejected}, probes {tally.probes}")
    if over and bot.state.queue:
        given.say(f"the time is over; queued still: {len(bot.state.queue)}")
    if bot.paused:
        given.say(f"{printable(str(bot.paused))}; queued still: {len(bot.state.queue)}")
    if lacking:
        given.say(approve.count(lacking))
    if trouble := bot.blocked or lasting:
        raise trouble
    if bot.publisher.trouble:
        given.say(bot.publisher.trouble)
    return 7 if tally.rejected or bot.publisher.trouble else 0


@bot_group.add_command
@as_command("restore", "agentctl bot restore")
@given
def restore_command(given: Given) -> int:
    """Put trunk, ledger and verdicts back where the bot left them.

    For when somebody else moved or deleted them. What is there instead is kept in a ref below
    refs/agentctl/salvage, and checkouts of trunk follow. A trunk that was moved forward stays,
    unless the policy says `foreign: stop`. A bot that runs goes on by itself.
    """
    in_session.refuse(given.hub)
    return _report(given, foreign.restore(given.hub), "trunk, ledger and verdicts are as the bot left them")


@bot_group.add_command
@as_command("adopt", "agentctl bot adopt")
@given
def adopt_command(given: Given) -> int:
    """Take trunk and the ledger as somebody else left them.

    For when they were meant to be moved. Where trunk was before is kept in a ref below
    refs/agentctl/salvage. What landed and is no longer on trunk is named; it may be submitted
    again. A bot that runs goes on by itself; the ledger can only be adopted while none does.
    """
    in_session.refuse(given.hub)
    done = []
    if any(odd.ref == refnames.STATE for odd in marks.findings(given.hub)):
        with lock(given.hub) as held:
            done = foreign.adopt_ledger(given.hub, held)
    return _report(given, done + foreign.adopt(given.hub), "trunk and ledger are as the bot knows them")


def _report(given: Given, done: list[str], nothing: str) -> int:
    if given.json:
        given.emit({"done": done})
    for line in done or [nothing]:
        given.say(line)
    return 0


command = bot_group
