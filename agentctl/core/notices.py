"""The notices: what is told to whoever watches a bot or a fleet, and changes nothing by itself."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from agentctl.core.queue import sentences
from agentctl.core.queue.events import Event, Recorded
from agentctl.core.tasks.task import Session
from agentctl.core.text.plural import many
from agentctl.core.text.printable import one_line, printable

NAMED = 20
"""The most odd things that are named at a time."""


class Notice(Event, frozen=True):
    pass


# Of the bot.


class Behind(Notice, frozen=True, tag="behind"):
    """A checkout does not follow trunk."""

    path: str


class Odd(Notice, frozen=True, tag="odd"):
    """Something unusable stands where a request or an answer might be; `ref` is empty if the notice counts further ones."""

    ref: str
    how: str


def passed_over(odd: Mapping[str, str], told: Iterable[str] = ()) -> list[Odd]:
    """Return the notices of what is passed over, without what is `told` already; `odd` has the reason by ref.

    Up to NAMED have a notice each, and one more counts the rest: the doctor tells of all whenever it is asked.
    """
    fresh = sorted(odd.keys() - set(told))
    named = [Odd(name, f"{printable(name)} is passed over: {odd[name]}") for name in fresh[:NAMED]]
    more = len(fresh) - len(named)
    return [*named, *([Odd("", f"{more} more are passed over: agentctl doctor names them")] if more else [])]


class TrunkRed(Notice, frozen=True, tag="red"):
    """Trunk itself is red."""

    how: str


class HubAway(Notice, frozen=True, tag="away"):
    """The remote that the hub stands on cannot be reached, or declines what is pushed."""

    how: str


class HubBack(Notice, frozen=True, tag="back"):
    """The remote takes what is pushed again."""


class Upstream(Notice, frozen=True, tag="upstream"):
    """What became of trunk where people move it, or why nothing becomes of it."""

    how: str


class Elsewhere(Notice, frozen=True, tag="elsewhere"):
    """The bot of the hub runs at another station."""

    how: str


class NoRoom(Notice, frozen=True, tag="no room"):
    """Something cannot run: a cluster has no worker, a disk is full, or a task is for an agent that there is not."""

    how: str


class Unapproved(Notice, frozen=True, tag="unapproved"):
    """A queued change waits for approvals."""

    key: str
    needed: str
    how: str
    """What brings them."""


# Of the fleet.


class SessionBegun(Notice, frozen=True, tag="session"):
    task: str
    agent: str


class SessionEnded(Notice, frozen=True, tag="ended"):
    task: str
    session: Session


class Conflicting(Notice, frozen=True, tag="conflicting"):
    """What a running session has conflicts with trunk; its agent has been told."""

    task: str
    agent: str
    paths: tuple[str, ...]
    """The conflicting paths, quoted."""
    how: str


class Crowded(Notice, frozen=True, tag="crowded"):
    """Many changes were rejected lately because they conflict in a file: one task at a time may declare it."""

    path: str
    """Quoted."""
    conflicts: int
    among: int
    """How many landings and rejections the conflicts are counted in."""
    task: str = ""
    """The task that was opened to split the file; empty if none was."""


class Trouble(Notice, frozen=True, tag="trouble"):
    """A session could not be run."""

    task: str
    agent: str
    how: str


class Parked(Notice, frozen=True, tag="parked"):
    task: str
    why: str


class TakenIn(Notice, frozen=True, tag="taken in"):
    """A task is on the list of the run that was not before: somebody has added it, opened it or given it a priority."""

    task: str


class LeftAlone(Notice, frozen=True, tag="left alone"):
    """The open tasks that are not on the list of the run."""

    tasks: int


class Scaled(Notice, frozen=True, tag="scaled"):
    """The fleet has another number of agents than before, or than it would have by itself."""

    agents: int
    before: int


class Braked(Notice, frozen=True, tag="braked"):
    """The fleet, or one of its agents, gets no work for a while."""

    how: str
    until: float
    failure: str = ""
    said: str = ""
    tries: int = 0
    agent: str = ""


class OverBudget(Notice, frozen=True, tag="over-budget"):
    """The fleet may spend no more."""

    how: str


class Released(Notice, frozen=True, tag="released"):
    how: str
    paused: float
    """The length of all pauses together, in seconds."""
    pauses: int


Told = Recorded | Notice
"""What whoever watches is told."""


def told(event: Told) -> str:
    """Return one line about the event; empty if it is of no interest by itself."""
    return one_line(_told(event)) if isinstance(event, Notice) else sentences.told(event)


def _told(event: Notice) -> str:
    match event:
        case Behind(path=path):
            return (
                f"local changes keep the checkout {path} from following trunk: a commit there would undo what landed; "
                "agentctl doctor --mend checkout keeps them on a branch"
            )
        case Unapproved(key=key, needed=needed, how=how):
            return f"{key} waits for {needed}: {how}"
        case HubBack():
            return "the hub takes what is pushed again"
        case Upstream(how=how):
            return how
        case SessionBegun(task=task, agent=agent):
            return f"{agent} works on {task}"
        case SessionEnded(task=task, session=session):
            return f"{session.agent} on {task}: {session.end}{', ' + session.note if session.note else ''}"
        case Trouble(task=task, agent=agent, how=how) | Conflicting(task=task, agent=agent, how=how):
            return f"{agent} on {task}: {how}"
        case Crowded(path=path, conflicts=conflicts, among=among, task=task):
            return (
                f"{conflicts} of the last {among} changes were rejected for conflicts in {path}: tasks that declare it are "
                f"worked on one at a time{f'; {task} is to split it' if task else ''}"
            )
        case Parked(task=task, why=why):
            return f"parked {task}: {why}"
        case TakenIn(task=task):
            return f"{task} is on the list now"
        case Scaled(agents=agents, before=before):
            return f"{many(agents, 'agent')} instead of {before}"
        case LeftAlone(tasks=count):
            return (
                f"{many(count, 'other task')} {'is' if count == 1 else 'are'} open: agentctl run without a list works on them too"
            )
        case (
            Odd(how=how)
            | TrunkRed(how=how)
            | HubAway(how=how)
            | Elsewhere(how=how)
            | NoRoom(how=how)
            | Braked(how=how)
            | Released(how=how)
            | OverBudget(how=how)
        ):
            return how
    raise AssertionError(event)
