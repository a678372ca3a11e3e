"""Verdicts by gate and tree, in the tree of refs/agentctl/verdicts:

    <fingerprint of the gate>/<first two digits>/<tree id>/<verdict>    JSON, see Judgement

Where gates name paths there are two kinds: those of all gates on a whole tree, and those of
the gates of one part, under their own fingerprint, on the tree that has only their paths. A
tree whose parts have all passed has passed.

Only knowledge is kept: passed and failed, both if a tree was seen to do both. Whatever
else a run ends in is forgotten.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass

from agentctl.core import refnames
from agentctl.core.model import Verdict
from agentctl.core.policy import Policy, fingerprint, in_parts, parts
from agentctl.core.shape import built, loads
from agentctl.errors import Contended
from agentctl.git import refs
from agentctl.git.hub import Hub
from agentctl.git.objects import EMPTY_TREE


@dataclass(frozen=True, slots=True)
class Judgement:
    """What one run of the gate said of one tree."""

    verdict: Verdict
    tree: str
    commit: str
    """That was checked out when the gate ran."""
    gate: str
    """Fingerprint of the whole gate."""
    seconds: float
    at: float
    step: str = ""
    """Name of the gate that did not pass."""
    exit: int | None = None
    why: str = ""
    log: str = ""
    """The end of the output of a failed run."""
    parts: tuple[Judgement, ...] = ()
    """What it said of parts of the tree, as far as it came. They are stored apart."""


def _path(gate: str, tree: str, verdict: Verdict) -> str:
    return f"{gate}/{tree[:2]}/{tree}/{verdict}"


def lookup(hub: Hub, gate: str, tree: str, verdict: Verdict) -> Judgement | None:
    """The newest run of the gate on a tree that ended in `verdict`, or None."""
    tip = refs.get(hub.git_dir, refnames.VERDICTS)
    with refs.decoding(refnames.VERDICTS):
        data = hub.objects.read(hub.objects.commit(tip).tree, _path(gate, tree, verdict)) if tip else None
        return built(Judgement, loads(data)) if data else None


def all_of(hub: Hub, gate: str) -> list[Judgement]:
    """Of the gate with that fingerprint, the newest run of each tree and verdict. Raises Malformed."""
    tip = refs.get(hub.git_dir, refnames.VERDICTS)
    with refs.decoding(refnames.VERDICTS):
        below = hub.objects.at(hub.objects.commit(tip).tree, gate) if tip else None
        return [built(Judgement, loads(hub.objects.blob(oid))) for _, oid in hub.objects.walk(below[1])] if below else []


def passed(hub: Hub, policy: Policy, commit: str, now: float) -> Judgement | None:
    """The verdict of a commit's tree that passed before, here or where an agent tested it: as
    a whole, or in each of its parts; that is then stored for the whole.

    A failure is never taken from memory: it may have been a flake, and whoever asks for the
    same probe again wants a second opinion.
    """
    tree, gate = hub.objects.commit(commit).tree, fingerprint(policy)
    known = lookup(hub, gate, tree, Verdict.PASSED)
    if known or (policy.gates and not in_parts(policy)):
        return known
    if len(passed_parts(hub, policy, tree)) < len(parts(policy)):
        return None
    why = "each gate passed on its paths before" if policy.gates else "no gate"
    made = Judgement(Verdict.PASSED, tree, commit, gate, 0.0, now, why=why)
    store(hub, [made], now)
    return made


def passed_parts(hub: Hub, policy: Policy, tree: str, doubted: bool = False) -> frozenset[str]:
    """Fingerprints of the parts that are known to pass on a tree; if that is `doubted`, of
    those that were never seen to fail on it. None of a policy without parts."""
    ours = [(p.fingerprint, hub.objects.part(tree, p.paths)) for p in parts(policy)] if in_parts(policy) else []
    return frozenset(gate for gate, part in ours if lookup(hub, gate, part, Verdict.PASSED)
                     and not (doubted and lookup(hub, gate, part, Verdict.FAILED)))


def _encode(judgement: Judgement) -> bytes:
    facts = asdict(judgement)
    del facts["parts"]
    return (json.dumps(facts, sort_keys=True) + "\n").encode()


def store(hub: Hub, judgements: Iterable[Judgement], now: float) -> None:
    """Remember what is knowledge among `judgements`. Raises Contended after ten tries."""
    files = {_path(j.gate, j.tree, j.verdict): _encode(j) for whole in judgements for j in (whole, *whole.parts)
             if j.verdict in (Verdict.PASSED, Verdict.FAILED)}
    if not files:
        return
    for attempt in range(10):
        tip = refs.get(hub.git_dir, refnames.VERDICTS)
        tree = hub.objects.replace(hub.objects.commit(tip).tree if tip else EMPTY_TREE, files)
        made = hub.objects.write_commit(tree, [tip] if tip else [], f"{len(files)} verdicts\n", now)
        move = refs.Transaction(hub.git_dir, "verdicts")
        move.update(refnames.VERDICTS, made, tip)
        try:
            hub.objects.store.flush()
            return move.commit()
        except Contended:
            if attempt == 9:
                raise
