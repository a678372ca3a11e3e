"""The answer to a rejected submission: refs/agentctl/outbox/<agent>/<change>/<revision>,
a commit on top of the submitted head whose tree holds

    verdict.json    why, in words and facts
    gate.log        the end of the gate's output, if a gate failed
    conflict.diff   the conflicting files with both sides marked, if it does not merge
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import msgspec

from agentctl.core import refnames, wording
from agentctl.core.admission import same_name
from agentctl.core.form import Plain, load, quoted
from agentctl.core.model import Change
from agentctl.core.printable import encoded, one_line, printable
from agentctl.core.records import AgainstRules, AlreadyThere, AnyReason, Conflicts, Queued, Record
from agentctl.errors import AgentctlError, Infrastructure
from agentctl.git.ancestry import between
from agentctl.git.hub import Hub
from agentctl.git.merge import diff
from agentctl.git.objects import EMPTY_TREE
from agentctl.git.refs import Transaction, decoding, get
from agentctl.queue.stage import Conflict

Shown = TypeVar("Shown")


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
    made = hub.objects.write_commit(tree, [change.head] if keep else [],
                                    f"rejected {change.key}: {one_line(why)}\n", now)
    ref = refnames.outbox(change.agent, change.id, change.revision)
    old = None
    with contextlib.suppress(Infrastructure):
        old = get(hub.git_dir, ref)
    refs.update(ref, made, old)


def read(hub: Hub, record: Record) -> Answer | None:
    """Raises Malformed."""
    change = record.change
    ref = refnames.outbox(change.agent, change.id, change.revision)
    tip = get(hub.git_dir, ref)
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


FAR = 1000
"""Commits of trunk, up to which Git is not asked for them."""


def landed_since(hub: Hub, base: str, trunk: str, paths: tuple[str, ...] = (), limit: int = 30) -> list[Plain]:
    """What landed on trunk after `base`, newest first: commit, change and subject."""
    line = between(hub.objects, trunk, base, FAR)
    if line is not None and len(line) < FAR:
        places = [tuple(hub.objects.at(commit.tree, path) for path in paths)
                  for commit in (*line, hub.objects.commit(base))] if paths else []
        listed = [commit for n, commit in enumerate(line) if not paths or places[n] != places[n + 1]]
        return [{"commit": c.oid, "change": wording.trailer(c.message, "Agentctl-Change"), "subject": c.subject}
                for c in listed[:limit]]
    form = "%H%x00%(trailers:key=Agentctl-Change,valueonly,separator=%x2c)%x00%s"
    where = ("--", *(":(literal)" + p for p in paths)) if paths else ()
    told = hub.git("log", f"-n{limit}", "--format=" + form, trunk, "^" + base, *where)
    return [dict(zip(("commit", "change", "subject"), line.split("\0", 2))) for line in told.split("\n") if line]


def of_conflict(hub: Hub, record: Queued, conflict: Conflict, places: tuple[str, ...]) -> tuple[AnyReason, str, Answer]:
    """(reason, why, answer) of a change that cannot be applied to trunk, for what stands in these `places`."""
    merged, onto = conflict.merged, conflict.onto
    if merged.nothing:
        return _of_nothing(hub, record, onto)
    paths = merged.conflicts or merged.same
    other = _shown(landed_since, hub, record.base, onto, paths) or []
    named = ", ".join(o["change"] or o["commit"][:10] for o in other[:5]) or "trunk"
    why = f"conflicts in {', '.join(printable(path) for path in paths[:5])} with {printable(named)}"
    if merged.same:
        why = f"{same_name(*merged.same)}, which is on trunk"
    facts = {
        "kind": "conflict", "change": record.key, "why": why, "paths": list(paths), "with": other,
        "trunk": onto, "messages": merged.messages, "landed": _shown(landed_since, hub, record.base, onto) or [],
    }
    ours = hub.objects.commit(onto).tree
    return Conflicts(onto, tuple(map(quoted, places))), why, Answer(facts, conflict=_shown(diff, hub, ours, merged.tree, paths) or "")


def _of_nothing(hub: Hub, record: Queued, onto: str) -> tuple[AnyReason, str, Answer]:
    """What would change nothing: since trunk holds it all, or since what it did was undone."""
    trunk, head = (hub.objects.commit(oid).tree for oid in (onto, record.change.head))
    places = record.work.places
    there = places and all(hub.objects.at(trunk, path) == hub.objects.at(head, path) for path in places)
    other = (_shown(landed_since, hub, record.base, onto, places) or []) if there else []
    named = ", ".join(o["change"] or o["commit"][:10] for o in other[:5])
    why = "it would change nothing: " + (
        f"trunk holds all that it does already{', with ' + printable(named) if named else ''}" if there else
        "what trunk holds by now leaves nothing of it to do")
    return AlreadyThere() if there else AgainstRules((why,)), why, Answer({"change": record.key, "with": other})


def _shown(make: Callable[..., Shown], *given: object) -> Shown | None:
    """What helps a reader, but no more than that: None if it cannot be made."""
    try:
        return make(*given)
    except (AgentctlError, ValueError) as error:
        if isinstance(error, Infrastructure):
            raise
        return None
