"""agentctl queue: what is in the queue, what is being tested, and how to steer it."""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass

import click

from agentctl.commands import approve
from agentctl.commands.submit import report
from agentctl.core import refnames
from agentctl.core.planner import usual_seconds
from agentctl.core.queue.approvals import Lack
from agentctl.core.queue.events import Staged
from agentctl.core.queue.lifecycle import Stage
from agentctl.core.queue.records import AnyEnded, Landed, outline
from agentctl.core.queue.request import Bump, Request, Submit
from agentctl.core.queue.state import State
from agentctl.core.text.json_form import Plain, facts
from agentctl.core.text.plural import many
from agentctl.core.text.printable import printable
from agentctl.errors import AgentctlError, Refused
from agentctl.fleet import in_session
from agentctl.git.repository import Hub
from agentctl.hub import foreign, inbox, landed, lease, pause, red_trunk, rights, status
from agentctl.hub.ledger import Ledger
from agentctl.messages import ago, aligned
from agentctl.terminal.parser import Given, as_command, given, group


@group(
    "queue",
    """
agentctl queue
agentctl queue --all
agentctl queue pause --reason 'release 1.4 is being cut'
agentctl queue bump fix-crash
""",
    invoke_without_command=True,
)
@click.option("-a", "--all", "everything", is_flag=True, help="What has ended too.")
@given
@click.pass_context
def queue_group(ctx: click.Context, given: Given, everything: bool) -> int:
    """List what is queued and what is tested, or steer the queue."""
    return 0 if ctx.invoked_subcommand else listing(given, everything)


def listing(given: Given, everything: bool) -> int:
    found = _look(given, everything)
    if given.json:
        given.emit(found.plain)
        return 0
    _tell_held_up(given, found)
    for line in aligned(
        [
            (found.stage(record), record.key, record.change.agent, printable(record.why or record.subject))
            for record in found.ended
        ]
    ):
        given.say(line, hang=12)
    for line in aligned(_rows(found)):
        given.say(line, hang=12)
    if found.lacking:
        given.say(approve.count(len(found.lacking)))
    for staged in found.state.probes:
        given.say(
            f"probe {staged.probe.number}: {many(len(staged.probe.chain), 'change')}, {ago(staged.started)}"
            f"{_usual(found.state, staged)}: {staged.probe.reason}",
            hang=2,
        )
    held = given.tell_held_up()
    queued = found.state.queue or found.waiting
    if not (queued or found.ended):
        given.say("the queue is empty" if found.state.trunk else "the queue is empty; no bot has run here yet")
    elif queued and not held and not lease.bot_works(given.hub):
        given.say("hint: no bot runs: agentctl bot run")
    return 0


@dataclass(frozen=True)
class _Found:
    """Everything that there is to list."""

    waiting: list[Request]
    """Requests that are not admitted yet."""
    state: State
    ended: list[AnyEnded]
    away: set[str]
    """The commits of landed changes that trunk no longer has."""
    paused: pause.Pause | None
    moved: foreign.Move | None
    red: red_trunk.Red | None
    lacking: dict[str, tuple[Lack, ...]]
    """The rules that queued changes do not satisfy yet, by key."""

    def stage(self, record: AnyEnded) -> str:
        return "gone" if self._gone(record) else record.stage

    def _gone(self, record: AnyEnded) -> bool:
        return isinstance(record, Landed) and record.commit in self.away

    @property
    def plain(self) -> Plain:
        """The value for --json."""
        return {
            "paused": facts(self.paused) if self.paused else None,
            "red": facts(self.red) if self.red else None,
            "moved": facts(self.moved) if self.moved else None,
            "waiting": [r.key for r in self.waiting],
            "queued": [outline(r) for r in self.state.queue.values()],
            "lacking": {key: [facts(lack) for lack in lacks] for key, lacks in self.lacking.items()},
            "probes": [facts(p) for p in self.state.probes],
            "ended": [outline(r) for r in self.ended],
            "gone": [r.key for r in self.ended if self._gone(r)],
        }


def _look(given: Given, everything: bool) -> _Found:
    hub, ledger = given.hub, Ledger.read(given.hub)
    state = ledger.state()
    ended = sorted(ledger.ended(), key=lambda r: r.at) if everything else []
    away = _away(hub, [r.commit for r in ended if isinstance(r, Landed)])
    waiting = [r for r in status.requests(hub) if r.waits]
    stopped, red, lacking = foreign.stopped(hub, state), _red(given, state), _lacking(given, state)
    return _Found(waiting, state, ended, away, pause.read(hub), stopped, red, lacking)


def _away(hub: Hub, commits: list[str]) -> set[str]:
    """Return those of the landed commits that trunk no longer has; none if no branch is known to be trunk."""
    try:
        trunk = foreign.trunk_of(hub)
    except AgentctlError:
        return set()
    return landed.gone(hub, hub.refs.get(refnames.branch(trunk)) or "", commits)


def _tell_held_up(given: Given, found: _Found) -> None:
    """Say why nothing lands, or why not everything does."""
    if found.red:
        given.say(f"{found.red.text}; {found.red.tries}")
    if found.moved:
        given.say(f"{found.moved.text}: nothing lands until: {found.moved.ways}")
    if paused := found.paused:
        given.say(f"{printable(str(paused))}{f', {ago(paused.at)} ago' if paused.at else ''}; {paused.effect}")


def _rows(found: _Found) -> list[tuple[str, str, str, str]]:
    """Return (what it does, key, agent, subject) of each change that is queued or not admitted yet."""
    tested = {key: staged for staged in found.state.probes for key in staged.probe.asked}
    rows = []
    for key, record in found.state.queue.items():
        staged = tested.get(key)
        held = found.paused and found.paused.holds(record.change.priority)
        stands = "frozen" if held else "not approved" if key in found.lacking else "queued"
        doing = f"in probe {staged.probe.number} for {ago(staged.started)}" if staged else stands
        rows.append((doing, key, record.change.agent, printable(record.subject)))
    return rows + [("not admitted yet", request.key, request.agent, "") for request in found.waiting]


def _red(given: Given, state: State) -> red_trunk.Red | None:
    """Return how trunk is red, or None.

    An error, such as that of an invalid policy, counts as None: the queue is listed nevertheless.
    """
    with contextlib.suppress(AgentctlError):
        return red_trunk.red(given.hub, given.policy, state)
    return None


def _lacking(given: Given, state: State) -> dict[str, tuple[Lack, ...]]:
    """Return which approvals are lacking; none if the policy cannot be read: the queue is listed nevertheless."""
    with contextlib.suppress(AgentctlError):
        found = {key: approve.of(given, record).lacks for key, record in state.queue.items()}
        return {key: lacks for key, lacks in found.items() if lacks}
    return {}


def _usual(state: State, staged: Staged) -> str:
    """Return how long such a probe usually takes, or an empty string if that is not known or below a second."""
    gates = next((state.queue[key].change.gates for key in staged.probe.chain if key in state.queue), None)
    seconds = usual_seconds(state.memory, gates)
    return f" of about {ago(0.0, seconds)}" if seconds and seconds >= 1 else ""


@queue_group.add_command
@as_command(
    "pause",
    "agentctl queue pause --reason 'release 1.4 is being cut'\n"
    "agentctl queue pause --below 5 --reason 'only what the release needs'",
)
@click.option("--reason", default="", help="Why, for whoever wonders.")
@click.option(
    "--below", type=click.IntRange(-1000, 1000), metavar="N", help="Freeze: hold back only changes of a priority below N."
)
@given
def pause_command(given: Given, reason: str, below: int | None) -> int:
    """Let nothing land until resumed. The bot goes on to admit, test and reject.

    With --below the queue is frozen and not paused: changes of a priority of N or more are
    tested and land as ever, the others wait, keep their places and are not even tested. A
    change that comes after one of these waits with it.

    It holds for every bot of this hub, now and later.
    """
    in_session.refuse(given.hub)
    by = given.hub.person(given.path).name
    made = pause.pause(given.hub, by, reason, below)
    if given.json:
        given.emit({"paused": facts(made)})
    given.say(f"{printable(str(made))}; {made.effect}")
    return 0


@queue_group.add_command
@as_command("resume", "agentctl queue resume")
@given
def resume_command(given: Given) -> int:
    """Let changes land again, after a pause or a freeze. What passed meanwhile is not tested anew."""
    in_session.refuse(given.hub)
    was = pause.resume(given.hub)
    if given.json:
        given.emit({"paused": None, "was": facts(was) if was else None})
    given.say("resumed" if was else "the queue was not paused")
    return 0


@queue_group.add_command
@as_command("bump", "agentctl queue bump fix-crash\nagentctl queue bump fix-crash --priority 5")
@click.argument("change")
@click.option("--priority", type=click.IntRange(-1000, 1000), help="Its new priority (default: above all others).")
@given
def bump_command(given: Given, change: str, priority: int | None) -> int:
    """Change the priority of CHANGE. Probes that run already go on."""
    change = status.named(given.hub, change)
    if priority is None:
        others = [r.priority for r in status.requests(given.hub) if r.change != change and isinstance(r, (Submit, Bump))]
        others += [r.change.priority for r in Ledger.read(given.hub).state().queue.values() if r.change.id != change]
        priority = min(1000, max([0, *others]) + 1)
    receipt = inbox.bump(given.hub, change, priority, os.environ.get("AGENTCTL_AGENT"))
    if given.json:
        given.emit({"change": change, "priority": priority, "new": receipt.new})
    given.say(f"{change}: priority {priority} from the bot's next turn on")
    return 0


@queue_group.add_command
@as_command("retry", "agentctl queue retry fix-crash")
@click.argument("change")
@given
def retry_command(given: Given, change: str) -> int:
    """Submit CHANGE again as it was, with all it came with.

    It must have been rejected or withdrawn, or have landed on a trunk that no longer holds it.
    """
    found, by = status.find(given.hub, status.named(given.hub, change)), os.environ.get("AGENTCTL_AGENT")
    if found.record and by and not rights.allows(given.hub, by, found.record):
        raise Refused(f"{found.key} is {found.record.change.agent}'s", hint=f"agentctl why {change}")
    gone = found.record and inbox.given_up(given.hub, found.record)
    if not found.record or (found.stage not in (Stage.REJECTED, Stage.WITHDRAWN) and not gone):
        raise Refused(f"{found.key} is {found.stage}, neither rejected nor withdrawn", hint=f"agentctl why {change}")
    return report(given, inbox.retry(given.hub, found.record, given.tip))


command = queue_group
