"""agentctl approve: say that a change may land, or why not."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import click

from agentctl.core import refnames
from agentctl.core.policy import roles
from agentctl.core.policy.schema import ANYBODY, PERSON
from agentctl.core.queue import approvals as rules
from agentctl.core.queue.approvals import Asked, Lack
from agentctl.core.queue.lifecycle import Stage
from agentctl.core.queue.records import Approval, Queued
from agentctl.core.queue.request import Submit
from agentctl.core.tasks import reviewing
from agentctl.core.tasks.task import Task
from agentctl.core.text.json_form import Plain, facts
from agentctl.core.text.plural import many
from agentctl.core.text.printable import printable
from agentctl.errors import Refused, UsageError
from agentctl.fleet import in_session, reviews, session_folder
from agentctl.git.objects import ObjectError
from agentctl.hub import approvals, inbox, rights, status
from agentctl.hub.ledger import Ledger
from agentctl.terminal.parser import Given, as_command, given

OTHER_NAME = "a person whose name an agent has takes another one: git config user.name NAME"


@dataclass(frozen=True)
class Open:
    """A change that is queued or not admitted yet, and what the policy in force asks for it."""

    key: str
    head: str
    base: str
    """The commit from which it is measured; empty if there is none."""
    agent: str
    subject: str
    asked: tuple[Asked, ...]
    approvals: tuple[Approval, ...]

    @property
    def change(self) -> str:
        return self.key.partition("/")[0]

    @property
    def lacks(self) -> tuple[Lack, ...]:
        return rules.lacking(self.asked, self.agent, self.approvals)

    @property
    def plain(self) -> Plain:
        """The value for --json."""
        own = {name: getattr(self, name) for name in ("key", "head", "base", "agent", "subject")}
        return {**own, "approvals": facts(self.approvals), "lacking": [facts(lack) for lack in self.lacks]}


@as_command(
    "approve",
    """
agentctl approve
agentctl approve fix-crash/1
agentctl approve fix-crash --refuse 'it leaks the handle; see close()'
""",
)
@click.argument("changes", nargs=-1, metavar="[CHANGE]...")
@click.option("--refuse", metavar="WHY", help="Send CHANGE back, and tell its author why.")
@given
def command(given: Given, changes: tuple[str, ...], refuse: str | None) -> int:
    """Approve CHANGE, as far as the policy asks for that, or refuse it.

    Without CHANGE, list what waits for approvals, and how to see it. An approval is of the very
    commit that the change is at: of a newer one it says nothing. CHANGE/REVISION, as it is
    listed, approves nothing else if a newer one has come since. Whoever submitted a change does
    not approve it. In a session the agent approves, else the person. It counts from the bot's
    next turn on.
    """
    if refuse is not None and not (changes and refuse.strip()):
        raise UsageError("a refusal needs a change and a reason", hint="agentctl approve CHANGE --refuse WHY")
    return review(given, changes, refuse or "") if changes else listing(given)


def listing(given: Given) -> int:
    waiting = [one for one in every(given) if one.lacks]
    if given.json:
        given.emit({"waiting": [one.plain for one in waiting]})
    for one in waiting:
        given.say(f"{one.key} of {one.agent}: {printable(one.subject)}", hang=2)
        for lack in one.lacks:
            given.say(f"  lacks {rules.needed(lack, one.agent)}: {'; '.join(ways(given, one.key, [lack]))}", hang=4)
        given.say(f"  see it: {how_to_see(one)}; agentctl why {one.key}", hang=4)
    ours = next((one.key for one in waiting if any(lack.rule.by in (ANYBODY, PERSON) for lack in one.lacks)), "")
    if ours:
        given.say(f"hint: agentctl approve {ours}, or agentctl approve {ours} --refuse WHY")
    if not waiting:
        given.say("nothing waits for approvals")
    return 0


def review(given: Given, names: tuple[str, ...], refusal: str) -> int:
    """Approve or refuse all of these changes, or none of them if one cannot be."""
    hub = given.hub
    by = _agent(given) or refnames.of_person(hub.person(given.path).name) or "somebody"
    agents = rights.Agents.read(hub)
    own = in_session.own_task(hub)
    task = own.id if own else ""
    mine, grounds = agents.approval(by, 0.0, task), agents.grounds.get(by, "")
    found = [_reviewable(given, name, mine, grounds) for name in dict.fromkeys(names)]
    done = []
    for one in found:
        receipt = inbox.review(hub, one.change, one.head, by, refusal, task=task)
        left = rules.lacking(one.asked, one.agent, (*one.approvals, mine))
        done.append({"key": one.key, "head": one.head, "by": by, "refused": bool(refusal), "new": receipt.new})
        done[-1]["lacking"] = [facts(lack) for lack in left]
        after = f"it lacks {rules.whole(left, one.agent) or 'no more'}"
        said = (
            f"refused by {by}; at the bot's next turn it goes back to {one.agent}"
            if refusal
            else f"approved by {by}; then {after}"
        )
        given.say(f"{one.key}: {said}", hang=2)
        if own and _is_result(given, own, by):
            session_folder.finish(os.environ[session_folder.VARIABLE], f"it has {'refused' if refusal else 'approved'} {one.key}")
            own = None
    if given.json:
        given.emit({"reviewed": done})
    return 0


def _is_result(given: Given, own: Task, by: str) -> bool:
    """Tell whether a session on the task `own` has come to its result by what was just approved or refused.

    That is so for a reviewer; if its task is about one change, only once it has judged that.
    """
    if roles.does(given.policy.agents, own.role) != "review":
        return False
    return not reviewing.is_review(own) or reviews.judged(given.hub, own, by)


def _agent(given: Given) -> str | None:
    """Return the agent that calls; None if a person does."""
    return os.environ.get("AGENTCTL_AGENT") or given.hub.agent


def _reviewable(given: Given, name: str, mine: Approval, grounds: str) -> Open:
    """Return the open change that somebody means and may review; raise NotFound or Refused.

    `grounds` says why somebody is taken for an agent.
    """
    found = status.find(given.hub, name)
    one = next((one for one in every(given) if one.key == found.key), None)
    hint = f"agentctl why {found.key}"
    if not one:
        raise Refused(f"{found.key} is {found.stage}" + ("" if found.stage == Stage.WAITING else " already"), hint=hint)
    if found.record and rights.allows(given.hub, mine.by, found.record) or mine.by == one.agent:
        raise Refused(f"{one.key} is {mine.by}'s own; somebody else has to approve or refuse it", hint=hint)
    if why := rules.no_use(one.asked, one.agent, mine, grounds):
        is_taken = grounds and not _agent(given) and any(asked.rule.by == PERSON for asked in one.asked)
        raise Refused(f"{one.key}: {why}", hint=OTHER_NAME if is_taken else "agentctl policy explain approvals")
    return one


def every(given: Given) -> Iterator[Open]:
    """Yield the changes that are queued, and those in the inbox."""
    hub, policy = given.hub, given.policy
    waiting = [request for request in status.requests(hub) if isinstance(request, Submit)]
    # The inbox is read before the ledger: what leaves the inbox in between is then in the ledger.
    queue = Ledger.read(hub).state().queue
    for record in queue.values():
        yield of(given, record)
    for request in waiting:
        if request.key not in queue:
            try:
                base, asked = approvals.ahead(hub, policy, request.head, given.tip)
                subject = hub.objects.commit(request.head).subject
            except ObjectError:
                continue
            yield Open(request.key, request.head, base, request.agent, subject, asked, ())


def of(given: Given, record: Queued) -> Open:
    change, asked = record.change, approvals.asked(given.hub, given.policy, record)
    return Open(record.key, change.head, record.base, change.agent, record.subject, asked, record.approvals)


def how_to_see(one: Open) -> str:
    return f"git diff {one.base[:12]} {one.head[:12]}" if one.base else f"git show {one.head[:12]}"


def next_step(given: Given, one: Open) -> str:
    """Return how a change that lacks approvals gets them."""
    person, *others = ways(given, one.key, sorted(one.lacks, key=lambda lack: lack.rule.by not in (ANYBODY, PERSON)))
    if person == f"agentctl approve {one.key}":
        person = f"{how_to_see(one)}, then somebody else than {one.agent}: {person}"
    return "; ".join((person, *others))


def ways(given: Given, key: str, lacks: Iterable[Lack]) -> list[str]:
    """Return what brings the approvals that a change lacks."""
    return reviewing.ways(key, lacks, given.policy.agents, reviews.of(given.hub, key))


def count(number: int) -> str:
    return f"{many(number, 'change')} {'waits' if number == 1 else 'wait'} for approvals: agentctl approve lists what is needed"
