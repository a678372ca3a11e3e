"""agentctl submit: hand a head to the merge queue."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence

import click

from agentctl.commands import approve
from agentctl.core import refnames
from agentctl.core.queue.approvals import lacking, whole
from agentctl.core.queue.lifecycle import Stage
from agentctl.core.queue.records import Landed
from agentctl.core.queue.request import PRIORITY
from agentctl.errors import AgentctlError, Refused, UsageError
from agentctl.fleet import agents
from agentctl.git import checkouts, process, worktrees
from agentctl.git.objects import ObjectError
from agentctl.git.repository import Hub
from agentctl.hub import approvals, inbox, landed, rights, status, tasks
from agentctl.hub.ledger import Ledger
from agentctl.hub.marks import ADOPT, RESTORE
from agentctl.messages import some
from agentctl.terminal.parser import Given, as_command, given


@as_command(
    "submit",
    """
agentctl submit
agentctl submit --change fix-crash HEAD~1
agentctl submit && agentctl wait fix-crash
""",
)
@click.argument("commit", default="HEAD")
@click.option("--change", help="Its name (default: the task, a Change-Id trailer, or the branch).")
@click.option("--agent", help="Who submits (default: of the worktree, else your user name).")
@click.option("--after", multiple=True, metavar="CHANGE", help="A change that must land first; may be repeated.")
@click.option("--priority", type=click.IntRange(-PRIORITY, PRIORITY), default=0, help="Higher is tested first.")
@click.option("--mends-trunk", is_flag=True, help="Say that it mends a red trunk: it is tried on that first.")
@click.option("--again", is_flag=True, help="Submit a head anew that was rejected.")
@given
def command(
    given: Given,
    commit: str,
    change: str | None,
    agent: str | None,
    after: tuple[str, ...],
    priority: int,
    mends_trunk: bool,
    again: bool,
) -> int:
    """Submit COMMIT (default HEAD) to the merge queue.

    A newer head of the same change takes the place of the older one, unless another agent
    submitted that and still has its task. Submitting the same head twice changes nothing. What
    has landed, or is on trunk already, is not taken again. While trunk itself fails its gate, what
    is queued is tried on it one by one, and what turns it green lands.
    """
    with _found(given, commit) as (head, branch, changed):
        if changed and commit == "HEAD":
            raise Refused(
                "there are uncommitted changes, which would not be submitted",
                hint="git commit -a, or name the commit: agentctl submit HEAD~0",
            )
        receipt = _submit(given, head, branch, change, agent, after, priority, again, mends_trunk)
        return report(given, receipt, _undone(given, head) if receipt.new else [], *_needed(given, receipt))


def _submit(
    given: Given,
    head: str,
    branch: str,
    change: str | None,
    agent: str | None,
    after: tuple[str, ...],
    priority: int,
    again: bool,
    mends: bool,
) -> inbox.Receipt:
    hub, session = given.hub, os.environ.get("AGENTCTL_AGENT") or given.hub.agent
    task = os.environ.get("AGENTCTL_TASK") or (tasks.last_of(hub, hub.agent) if hub.agent else None)
    own = "" if branch == given.trunk else hub.agent if branch == f"agent/{hub.agent}" else refnames.of_branch(branch)
    name = change or task or _change_id(given, head) or own
    if not name:
        raise UsageError("cannot tell what to call this change", hint="agentctl submit --change NAME")
    inbox.check_name("change", name)
    if task and tasks.purpose(hub, given.policy.agents, task) != "work":
        raise Refused(
            f"the role of {task} hands in no files", hint="say what is to be changed in a task: agentctl task add 'WHAT'"
        )
    if task and name != task and tasks.exists(hub, name):
        raise Refused(f"{name} is another task; yours is {task}", hint=f"agentctl submit --change {task}")
    there = inbox.known(hub, head, name, again)
    _refuse_again(hub, head, there)
    if not there:
        landed.refuse_idle(hub, head, given.tip)
    who = inbox.owner(hub, name, agent or session) or _agent(given, branch)
    if name != task and (taken := rights.taken(hub, who, name)):
        raise Refused(taken, hint="agentctl submit --change ANOTHER-NAME")
    generation = os.environ.get("AGENTCTL_GENERATION", "")
    return inbox.submit(
        hub,
        head,
        who,
        name,
        given.tip,
        again=again,
        task=task,
        generation=int(generation) if task and generation.isdigit() else None,
        priority=priority,
        after=list(after),
        mends=mends,
    )


@contextlib.contextmanager
def _found(given: Given, commit: str) -> Iterator[tuple[str, str, Sequence[str]]]:
    """Yield (commit, branch, tracked files that differ from HEAD) of the place where the caller stands."""
    hub = given.hub
    if hub.agent:
        with agents.commit_of(hub, worktrees.of_agent(hub, hub.agent), commit, given.tip) as found:
            yield found
        return
    where = checkouts.at(hub, hub.top) if hub.top else None
    git_dir = where.git_dir if where else hub.git_dir
    head = process.text(
        ["rev-parse", "--verify", "-q", "--end-of-options", commit + "^{commit}"], git_dir=git_dir, ok=(0, 1, 128)
    )
    if not head:
        raise UsageError(f"no commit called {commit!r}", hint="git log --oneline")
    branch = (where.branch() if where else None) or ""
    yield head, branch.removeprefix("refs/heads/"), where.dirty() if where else ()


def _undone(given: Given, head: str) -> list[str]:
    """Return the paths in which `head` takes back what came to trunk lately.

    The list is empty for a head whose objects are not all there: the bot will refuse it.
    """
    try:
        return landed.undoes(given.hub, head, given.tip)
    except ObjectError:
        return []


def _needed(given: Given, receipt: inbox.Receipt) -> tuple[str, str]:
    """Return which approvals a new submission needs and what brings them, in words.

    Both are empty if it needs none, or if that cannot be known yet: for one that holds the commits of other open changes the
    bot says it.
    """
    with contextlib.suppress(AgentctlError):
        change, _, revision = receipt.key.rpartition("/")
        request = next((r for r in inbox.read(given.hub, change) if str(r.revision) == revision and r.submits), None)
        if receipt.new and request and not status.within(given.hub, receipt.head, change, given.tip):
            _, asked = approvals.ahead(given.hub, given.policy, receipt.head, given.tip)
            lacks = lacking(asked, request.agent, ())
            return whole(lacks, request.agent), "; ".join(approve.ways(given, receipt.key, lacks))
    return "", ""


def _refuse_again(hub: Hub, head: str, there: inbox.Receipt | None) -> None:
    """Raise Refused for a head that has landed and is on trunk still.

    It is not refused if it landed as the same change and no revert has undone that: then the receipt `there` says
    that it has landed, and no more needs to be said.
    """
    ledger = Ledger.read(hub)
    before = ledger.with_head(head)
    if (
        before
        and isinstance(before, Landed)
        and not inbox.given_up(hub, before)
        and (not there or landed.undone_by(ledger, before))
    ):
        why, hint = landed.once(ledger, before)
        raise Refused(why, hint=hint)


def report(given: Given, receipt: inbox.Receipt, undone: Sequence[str] = (), needed: str = "", how: str = "") -> int:
    """Say what became of a submission.

    `undone` are the paths in which it takes back what landed lately, `needed` says which approvals it needs, and `how`
    what brings them.
    """
    change = receipt.key.split("/")[0]
    if receipt.stage == Stage.LANDED:
        _refuse_gone(given, receipt.key)
    if given.json:
        given.emit(
            {
                "change": change,
                "key": receipt.key,
                "head": receipt.head,
                "new": receipt.new,
                "stage": receipt.stage,
                "undoes": list(undone),
                "needs": needed,
            }
        )
        return 0
    given.say(f"{receipt.key}: {'submitted' if receipt.new else receipt.stage + ' already'} ({receipt.head[:12]})")
    if undone:
        given.say(
            f"note: it makes {some(undone)} again as before something that came to trunk lately; not meant: "
            f"agentctl withdraw {change}"
        )
    if needed:
        given.say(f"note: before it is tested it needs {needed}: {how}")
    if receipt.new and (below := status.within(given.hub, receipt.head, change, given.tip)):
        given.say(f"note: it holds the commits of {', '.join(below)}, and brings them also where that is withdrawn or replaced")
    if receipt.stage == Stage.REJECTED:
        given.say(f"hint: agentctl why {change}; agentctl submit --again tries the same head once more")
    elif receipt.stage != Stage.LANDED:
        given.say(f"hint: agentctl wait {change}")
    return 0


def _refuse_gone(given: Given, key: str) -> None:
    """Raise Refused for a change that landed on a trunk which somebody else has moved since; it may come back."""
    record = Ledger.read(given.hub).record(key)
    if record and landed.has_gone(given.hub, given.tip, record):
        raise Refused(
            f"{key} has landed, but somebody else moved trunk, which no longer holds it",
            hint=f"{RESTORE}; or, to submit it anew: {ADOPT}",
        )


def _change_id(given: Given, head: str) -> str:
    trailer = given.hub.git("log", "-1", "--format=%(trailers:key=Change-Id,valueonly)", head).split()
    return trailer[0] if trailer and refnames.valid_name(trailer[0]) else ""


def _agent(given: Given, branch: str) -> str:
    """Return the agent whose branch this is, or else a name made from the person's."""
    own = branch.removeprefix("agent/") if branch.startswith("agent/") else ""
    return own if refnames.valid_name(own) else refnames.of_person(given.hub.person(given.path).name) or "somebody"
