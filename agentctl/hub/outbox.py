"""The answers to rejected submissions, refs/agentctl/outbox/<agent>/<change>/<revision>.

Each is a commit on top of the submitted head whose tree holds

    verdict.json    why, in words and facts
    gate.log        the end of the gate's output, if a gate failed
    conflict.diff   the conflicting files with both sides marked, if the change does not merge
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass

import msgspec

from agentctl.core import refnames
from agentctl.core.queue.answer import ENOUGH, Facts, decode, encode, outdated
from agentctl.core.queue.model import Change
from agentctl.core.queue.records import Ended, Record, reason_kind
from agentctl.core.text.json_form import Plain
from agentctl.core.text.printable import encoded, one_line
from agentctl.errors import Infrastructure, Malformed
from agentctl.git.objects import EMPTY_TREE
from agentctl.git.refs import decoding
from agentctl.git.repository import Hub
from agentctl.git.transactions import Transaction


@dataclass(frozen=True, slots=True)
class Answer:
    said: Facts = Facts()
    log: str = ""
    conflict: str = ""
    unread: str = ""
    """Why what stands in the ref cannot be read; then only what the ledger says is here."""

    @property
    def plain(self) -> Plain:
        """The value for --json."""
        return {"verdict": msgspec.to_builtins(self.said), "log": self.log, "conflict": self.conflict, "unread": self.unread}


def write(hub: Hub, change: Change, why: str, answer: Answer, refs: Transaction, now: float, keep: bool = True) -> None:
    """Write the answer to a change, and add the update of its outbox ref to the transaction.

    With `keep`, the parent of the answer's commit is the submitted head; without, it has none. Where answers are many, old
    ones go in the same transaction.
    """
    files = {"verdict.json": encode(answer.said)}
    if answer.log:
        files["gate.log"] = encoded(answer.log)
    if answer.conflict:
        files["conflict.diff"] = encoded(answer.conflict)
    tree = hub.objects.replace(EMPTY_TREE, files)
    made = hub.objects.write_commit(tree, [change.head] if keep else [], f"rejected {change.key}: {one_line(why)}\n", now)
    ref = refnames.outbox(change.agent, change.id, change.revision)
    old = None
    with contextlib.suppress(Infrastructure):
        old = hub.refs.get(ref)
    # One look is enough for all answers of a turn.
    if not refs.named(refnames.OUTBOX):
        for name, oid in _outdated(hub, now).items():
            if name != ref:
                refs.delete(name, oid)
    refs.update(ref, made, old)


def _outdated(hub: Hub, now: float) -> dict[str, str]:
    """Return the object ids of the answers that are to go, by the names of their refs."""
    there = hub.refs.names([refnames.OUTBOX]).oids
    if len(there) < ENOUGH:
        return {}
    listed = {name.removeprefix(refnames.TASKS) for name in hub.refs.names([refnames.TASKS]).oids}
    written, newest = dict[str, float](), dict[str, tuple[int, str]]()
    for name, oid in there.items():
        # What somebody else has put there is left to doctor.
        with contextlib.suppress(Malformed, Infrastructure), decoding(name):
            _, change, revision = refnames.split_submission(name, refnames.OUTBOX)
            written[name] = hub.objects.commit(oid).time
            if change in listed:
                newest[change] = max(newest.get(change, (0, "")), (revision, name))
    return {name: there[name] for name in outdated(written, {name for _, name in newest.values()}, now)}


def read(hub: Hub, record: Record) -> Answer | None:
    """Return the answer to a rejected submission, or None if there is none.

    Whoever can push may have put something else into its ref. If that cannot be read, the answer is what the ledger says.
    """
    change = record.change
    ref = refnames.outbox(change.agent, change.id, change.revision)
    try:
        tip = hub.refs.get(ref)
        return parse(hub, ref, tip) if tip else None
    except (Malformed, Infrastructure) as error:
        why = record.why if isinstance(record, Ended) else ""
        return Answer(Facts(reason_kind(record), record.key, why), unread=error.message)


def parse(hub: Hub, ref: str, tip: str) -> Answer:
    """Return the answer in a commit of an outbox ref; raise Malformed."""

    def part(name: str) -> str:
        return (hub.objects.read(hub.objects.commit(tip).tree, name) or b"").decode(errors="replace")

    with decoding(ref):
        return Answer(decode((part("verdict.json") or "{}").encode()), part("gate.log"), part("conflict.diff"))
