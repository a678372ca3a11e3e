"""agentctl why: the reason a change is where it is, and the next step."""

from __future__ import annotations

import contextlib
import time

import click

from agentctl.commands import approve
from agentctl.core.policy.policy import fingerprint
from agentctl.core.queue import inbox_turns
from agentctl.core.queue.answer import Other
from agentctl.core.queue.approvals import whole
from agentctl.core.queue.lifecycle import Stage
from agentctl.core.queue.model import Verdict
from agentctl.core.queue.records import (
    AgainstRules,
    AlreadyThere,
    AnyEnded,
    Conflicts,
    GateFailed,
    Landed,
    Queued,
    Record,
    Rejected,
    outline,
)
from agentctl.core.queue.red_trunk import tried as tried_on
from agentctl.core.queue.request import Request
from agentctl.core.queue.state import State
from agentctl.core.text.json_form import facts, unquoted
from agentctl.core.text.plural import many
from agentctl.core.text.printable import printable, uncoloured
from agentctl.engine.locks import holder
from agentctl.errors import AgentctlError
from agentctl.git.merge import changed
from agentctl.git.repository import POLICY_PATH
from agentctl.hub import foreign, landed, lease, outbox, pause, red_trunk, status, tasks, verdicts
from agentctl.hub.ledger import Ledger
from agentctl.messages import ago, clock, next_step, quoted, some
from agentctl.terminal.parser import Given, as_command, given


@as_command("why", "agentctl why fix-crash\nagentctl why fix-crash/2 --log")
@click.argument("change")
@click.option("--log", is_flag=True, help="The whole of the evidence: gate output, conflict.")
@given
def command(given: Given, change: str, log: bool) -> int:
    """Say why CHANGE is where it is, and what comes next."""
    ledger = Ledger.read(given.hub)
    found = status.find(given.hub, change, ledger)
    trunk, tip = given.seen
    moved = foreign.stop(given.hub, trunk, ledger.state())
    gone = found.record is not None and landed.has_gone(given.hub, tip, found.record)
    reason = _reason(given, found, ledger) + _of_trunk(given, found.stage, moved, gone)
    change = found.key.split("/")[0]
    refused = found.record.reason if isinstance(found.record, Rejected) else None
    protected = isinstance(refused, AgainstRules) and refused.protected
    head = found.record.change.head if found.record else ""
    step = _waits_for(given, found.stage) or next_step(found.stage, change, head, trunk, protected)
    task = found.record.change.task if found.record else None
    if isinstance(refused, AlreadyThere) and task:
        step = f"nothing: the task {quoted(task)} counts as done; agentctl task add asks for more"
    elif refused and not protected and task and tasks.offered(given.hub, task):
        step = f"agentctl run works on the task {quoted(task)} again; or {step}"
    lacking = approve.of(given, found.record) if isinstance(found.record, Queued) and not given.unusable else None
    if lacking and lacking.lacks:
        reason += f"; it waits for {whole(lacking.lacks, lacking.agent)}"
        step = approve.next_step(given, lacking)
    step = moved.ways if moved else AFTER_LOSS.format(change=change) if gone else step
    past = status.history(given.hub, found.key)
    answer = outbox.read(given.hub, found.record) if found.record and found.stage == Stage.REJECTED else None
    if given.json:
        given.emit(
            {
                "key": found.key,
                "stage": found.stage,
                "reason": reason,
                "next": step,
                "gone": gone,
                "record": outline(found.record) if found.record else None,
                "answer": answer.plain if answer else None,
                "lacking": [facts(lack) for lack in lacking.lacks] if lacking else [],
                "history": past,
            }
        )
        return 0
    given.say(f"{found.key}: {'gone' if gone else found.stage}")
    given.say(f"  {reason}", hang=4)
    if spent := str(found.record.change.spent) if found.record else "":
        given.say(f"  the sessions on it used up {spent}", hang=4)
    for when, line in past:
        given.say(f"  {clock(when)}  {line if len(line) < 160 or log else line[:157] + '...'}", hang=12)
    if isinstance(found.record, Rejected):
        _evidence(given, found.record, answer, log)
    given.say(f"next: {step}")
    return 0


NONE = (0, "0" * 40)
"""The entry of a path that does not exist, as `changed` gives it."""
AFTER_LOSS = "agentctl queue retry {change} submits it anew"


OPEN = (Stage.WAITING, Stage.QUEUED)


def _waits_for(given: Given, stage: Stage) -> str:
    """Return what a person has to do before an open change can go on; empty if there is nothing of the kind."""
    if given.unusable and stage in OPEN:
        return f"mend {POLICY_PATH} on {given.seen.branch}, then: agentctl doctor"
    return "agentctl bot run" if stage == Stage.QUEUED and not lease.bot_works(given.hub) else ""


def _of_trunk(given: Given, stage: Stage, moved: foreign.Move | None, gone: bool) -> str:
    """Return what the state of trunk, which somebody else may have moved, means for a change, as the end of a sentence."""
    if gone:
        return "; but it is gone: trunk no longer holds that commit"
    if moved and stage in OPEN:
        return f"; nothing lands: {moved.text}"
    return f"; nothing lands: {given.unusable_text}" if given.unusable and stage in OPEN else ""


def _reason(given: Given, found: status.ChangeStatus, ledger: Ledger) -> str:
    if found.request:
        return _waiting(given, found.request, ledger.state())
    if isinstance(found.record, Queued):
        return _admitted(given, found.record, ledger)
    return _ended(given, found.record) if found.record else ""


def _waiting(given: Given, request: Request, state: State) -> str:
    theirs = sum(record.change.agent == request.agent for record in state.queue.values())
    if theirs >= inbox_turns.MOST_QUEUED:
        return f"submitted; {many(theirs, 'change')} of {request.agent} are queued, the most of one agent"
    running = holder(given.hub.own_path("locks", "bot.lock"))
    return (
        f"submitted; the bot (process {running['pid']}) has not admitted it yet"
        if running
        else "submitted; the bot works at another station, and has not admitted it yet"
        if lease.standing(given.hub)
        else "submitted; no bot runs that could admit it"
    )


def _ended(given: Given, record: AnyEnded) -> str:
    when = f"{ago(record.at)} ago"
    return (
        f"landed as {record.commit[:12]}, {when}{_undone(given, record)}"
        if isinstance(record, Landed)
        else f"{record.why}, {when}"
    )


def _admitted(given: Given, record: Queued, ledger: Ledger) -> str:
    state, last = ledger.state(), status.last_run(ledger)
    unclear = last.why if last and last.verdict is Verdict.INDETERMINATE else ""
    paused = pause.read(given.hub)
    held = "; it is held back" if paused and paused.holds(record.change.priority) else ""
    trouble = None if given.unusable else red_trunk.red(given.hub, given.policy, state)
    failed = 0 if trouble else sum(record.key in staged.probe.chain for staged in state.failed)
    return (
        _queued(record, state, failed)
        + (_red(given, record, state, trouble) if trouble else "")
        + (f"; the last gate run gave no verdict: {printable(unclear, 400)}" if unclear else "")
        + (f"; the queue is {printable(str(paused))}" if paused else "")
        + held
    )


def _undone(given: Given, record: Landed) -> str:
    """Return in which paths of a landed change trunk is again as before it, as the end of a sentence.

    It does not matter who took these paths back.
    """
    objects = given.hub.objects
    if not objects.exists(record.commit):
        return ""
    landed = objects.commit(record.commit)
    if not landed.parents or not objects.exists(landed.parents[0]):
        return ""
    before, now = objects.commit(landed.parents[0]).tree, objects.commit(given.seen.tip).tree
    own = [(path, (mode, oid)) for path, mode, oid, _ in changed(given.hub, before, landed.tree)]
    undone = [
        path
        for path, entry in own
        if (objects.at(now, path) or NONE) != entry and objects.at(now, path) == objects.at(before, path)
    ]
    return f"; trunk has {some(undone)} again as before it" if undone else ""


def _red(given: Given, record: Record, state: State, trouble: red_trunk.Red) -> str:
    tried = any(record.key in chain for chain in tried_on(state, fingerprint(given.policy)))
    return f"; {trouble.text}, and this change " + (
        "was tried on it and does not mend it; nobody is blamed" if tried else "was not tried on it yet"
    )


def _queued(record: Queued, state: State, failed: int) -> str:
    for staged in state.probes:
        if record.key in staged.probe.chain:
            others = len(staged.probe.chain) - 1
            return f"in probe {staged.probe.number} with {many(others, 'other')} for {ago(staged.started)}: {staged.probe.reason}"
    ahead = status.position(state, record.key) - 1
    blocked = [name for name in record.change.after if state.queued(name)]
    waits = f"; it lands after {', '.join(blocked)}" if blocked else ""
    suspect = f"; {many(failed, 'failed probe')} with it" if failed else ""
    gates = record.change.gates
    judged = "" if gates is None else f"; {', '.join(gates) or 'no gate'} has to judge it"
    return f"queued for {ago(record.change.admitted, time.time())} behind {many(ahead, 'other')}{waits}{suspect}{judged}"


def _evidence(given: Given, record: Rejected, answer: outbox.Answer | None, whole: bool) -> None:
    """Print what a rejection rests on: what the bot recorded, if that is still there, else what the answer says."""
    answer = answer or outbox.Answer()
    if answer.unread:
        given.say(f"  note: the answer cannot be read: {printable(answer.unread, 400)}", hang=4)
    for other in (_others(given, record) or answer.said.conflicting)[: None if whole else 5]:
        given.say(f"  conflicts with {other.commit[:12]} {printable(other.subject)}")
    for title, text in (("gate output", _output(given, record) or answer.log), ("conflict", answer.conflict)):
        if text:
            lines = uncoloured(text).rstrip().splitlines()
            cut = lines if whole else lines[-12:]
            given.say(f"  {title}{'' if len(cut) == len(lines) else ' (its end; --log shows all)'}:")
            for line in cut:
                given.say("    " + line)


def _others(given: Given, record: Rejected) -> tuple[Other, ...]:
    """Return what landed in the paths of a conflict; nothing for another rejection, or if that cannot be found."""
    if isinstance(record.reason, Conflicts):
        with contextlib.suppress(AgentctlError, ValueError):
            return landed.since(given.hub, record.base, record.reason.trunk, tuple(map(unquoted, record.reason.paths)))
    return ()


def _output(given: Given, record: Rejected) -> str:
    """Return the output of the gate that failed, from the bot's own verdict; empty if there is none that can be read."""
    if isinstance(record.reason, GateFailed):
        with contextlib.suppress(AgentctlError):
            said = verdicts.lookup(given.hub, record.reason.gate, record.reason.failed, Verdict.FAILED)
            return said.log if said else ""
    return ""
