"""The answer to a rejected submission: refs/agentctl/outbox/<agent>/<change>/<revision>,
a commit on top of the submitted head whose tree holds

    verdict.json    why, in words and facts
    gate.log        the end of the gate's output, if a gate failed
    conflict.diff   the conflicting files with both sides marked, if it does not merge
"""

from __future__ import annotations

import json
from dataclasses import dataclass

from agentctl.core import refnames, wording
from agentctl.core.ledger import Record
from agentctl.core.shape import built, loads
from agentctl.git.ancestry import between
from agentctl.git.hub import Hub
from agentctl.git.merge import diff
from agentctl.git.objects import EMPTY_TREE
from agentctl.git.refs import Transaction, decoding, get
from agentctl.queue.stage import Conflict


@dataclass(frozen=True, slots=True)
class Answer:
    verdict: dict
    log: str = ""
    conflict: str = ""


@dataclass(frozen=True, slots=True)
class Other:
    """What else landed, in an answer."""

    commit: str
    change: str = ""
    subject: str = ""


def write(hub: Hub, record: Record, answer: Answer, refs: Transaction, now: float) -> None:
    """Add the creation of the outbox ref of an ended record to the transaction."""
    files = {"verdict.json": (json.dumps(answer.verdict, indent=1, sort_keys=True) + "\n").encode()}
    if answer.log:
        files["gate.log"] = answer.log.encode(errors="surrogateescape")
    if answer.conflict:
        files["conflict.diff"] = answer.conflict.encode(errors="surrogateescape")
    change = record.change
    tree = hub.objects.replace(EMPTY_TREE, files)
    made = hub.objects.write_commit(tree, [change.head], f"rejected {record.key}: {record.why}\n", now)
    ref = refnames.outbox(change.agent, change.id, change.revision)
    refs.update(ref, made, get(hub.git_dir, ref))


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
        verdict = built(dict, loads(part("verdict.json") or "{}"))
        for name in ("with", "landed"):
            built(tuple[Other, ...], verdict.get(name, []), name)
        for name in ("kind", "why", "change"):
            built(str, verdict.get(name, ""), name)
        return Answer(verdict, part("gate.log"), part("conflict.diff"))


FAR = 1000
"""Commits of trunk, up to which Git is not asked for them."""


def landed_since(hub: Hub, base: str, trunk: str, paths: tuple[str, ...] = (), limit: int = 30) -> list[dict]:
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
    listed = hub.git("log", f"-n{limit}", "--format=" + form, trunk, "^" + base, *where)
    return [dict(zip(("commit", "change", "subject"), line.split("\0"))) for line in listed.splitlines()]


def of_conflict(hub: Hub, record: Record, conflict: Conflict) -> tuple[str, Answer]:
    """(why, answer) of a change that does not merge with trunk."""
    paths = conflict.merged.conflicts
    other = landed_since(hub, record.base, conflict.onto, paths)
    named = ", ".join(o["change"] or o["commit"][:10] for o in other[:5]) or "trunk"
    why = f"conflicts in {', '.join(paths[:5])} with {named}"
    ours = hub.objects.commit(conflict.onto).tree
    facts = {
        "kind": "conflict", "change": record.key, "why": why, "paths": list(paths), "with": other,
        "trunk": conflict.onto, "messages": conflict.merged.messages,
        "landed": landed_since(hub, record.base, conflict.onto),
    }
    return why, Answer(facts, conflict=diff(hub, ours, conflict.merged.tree, paths))
