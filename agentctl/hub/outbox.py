"""The answer to a rejected submission: refs/agentctl/outbox/<agent>/<change>/<revision>,
a commit on top of the submitted head whose tree holds

    verdict.json    why, in words and facts
    gate.log        the end of the gate's output, if a gate failed
    conflict.diff   the conflicting files with both sides marked, if it does not merge
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
from agentctl.git.refs import Transaction, decoding
from agentctl.git.repository import Hub


@dataclass(frozen=True, slots=True)
class Answer:
    verdict: Plain
    log: str = ""
    conflict: str = ""


class _Other(msgspec.Struct):
    """What else landed, in an answer."""

    commit: str
    change: str = ""
    subject: str = ""


class _Verdict(msgspec.Struct):
    """What is read of verdict.json; it may say more."""

    kind: str = ""
    why: str = ""
    change: str = ""
    conflicting: tuple[_Other, ...] = msgspec.field(default=(), name="with")
    landed: tuple[_Other, ...] = ()


def write(hub: Hub, change: Change, why: str, answer: Answer, refs: Transaction, now: float, keep: bool = True) -> None:
    """Add the creation of the outbox ref of what was asked to the transaction. Its commit has the
    head as parent, if that is to be kept."""
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
    """Raises Malformed."""
    change = record.change
    ref = refnames.outbox(change.agent, change.id, change.revision)
    tip = hub.refs.get(ref)
    return parse(hub, ref, tip) if tip else None


def parse(hub: Hub, ref: str, tip: str) -> Answer:
    """The answer in a commit of an outbox ref. Raises Malformed."""

    def part(name: str) -> str:
        return (hub.objects.read(hub.objects.commit(tip).tree, name) or b"").decode(errors="replace")

    with decoding(ref):
        said = (part("verdict.json") or "{}").encode()
        load(_Verdict, said)
        verdict = load(dict, said)
        return Answer(verdict, part("gate.log"), part("conflict.diff"))
