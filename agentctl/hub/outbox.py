"""The answers to rejected submissions, refs/agentctl/outbox/<agent>/<change>/<revision>.

Each is a commit on top of the submitted head whose tree holds

    verdict.json    why, in words and facts
    gate.log        the end of the gate's output, if a gate failed
    conflict.diff   the conflicting files with both sides marked, if the change does not merge
"""

from __future__ import annotations

import contextlib
import json
from dataclasses import dataclass

import msgspec

from agentctl.core import refnames
from agentctl.core.queue.model import Change
from agentctl.core.queue.records import Record
from agentctl.core.text.json_form import Plain, load
from agentctl.core.text.printable import encoded, one_line
from agentctl.errors import Infrastructure
from agentctl.git.objects import EMPTY_TREE
from agentctl.git.refs import decoding
from agentctl.git.repository import Hub
from agentctl.git.transactions import Transaction


@dataclass(frozen=True, slots=True)
class Answer:
    verdict: Plain
    log: str = ""
    conflict: str = ""


class _Other(msgspec.Struct):
    """Another commit that landed, as an answer names it."""

    commit: str
    change: str = ""
    subject: str = ""


class _Verdict(msgspec.Struct):
    """The fields of verdict.json whose types are checked; the file may hold more."""

    kind: str = ""
    why: str = ""
    change: str = ""
    conflicting: tuple[_Other, ...] = msgspec.field(default=(), name="with")
    landed: tuple[_Other, ...] = ()


def write(hub: Hub, change: Change, why: str, answer: Answer, refs: Transaction, now: float, keep: bool = True) -> None:
    """Write the answer to a change, and add the update of its outbox ref to the transaction.

    With `keep`, the parent of the answer's commit is the submitted head; without, it has none.
    """
    files = {"verdict.json": (json.dumps(answer.verdict, indent=1, sort_keys=True) + "\n").encode()}
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
    refs.update(ref, made, old)


def read(hub: Hub, record: Record) -> Answer | None:
    """Return the answer to a submission, or None if there is none; raise Malformed."""
    change = record.change
    ref = refnames.outbox(change.agent, change.id, change.revision)
    tip = hub.refs.get(ref)
    return parse(hub, ref, tip) if tip else None


def parse(hub: Hub, ref: str, tip: str) -> Answer:
    """Return the answer in a commit of an outbox ref; raise Malformed."""

    def part(name: str) -> str:
        return (hub.objects.read(hub.objects.commit(tip).tree, name) or b"").decode(errors="replace")

    with decoding(ref):
        said = (part("verdict.json") or "{}").encode()
        load(_Verdict, said)
        verdict = load(dict, said)
        return Answer(verdict, part("gate.log"), part("conflict.diff"))
