"""Verdicts by gate and tree, in the tree of refs/agentctl/verdicts:

    <fingerprint of the gate>/<first two digits>/<tree id>/<verdict>    JSON, see Judgement

Where gates name paths there are two kinds: those of all gates on a whole tree, and those of
the gates of one part, under their own fingerprint, on the tree that has only their paths. A
tree whose parts have all passed has passed.

Only knowledge is kept: passed and failed, both if a tree was seen to do both. Whatever
else a run ends in is forgotten.

A verdict is the bot's own, and a proof, if the bot wrote it: in the environment of whoever calls
`agentctl test` another program may answer to the gate's name. So the bot alone moves the ref,
`hub.marks` tells what it has written, and nothing else there is read. What others find out is
kept in refs/agentctl/hints, in the same form: it saves them, not the bot, a second run.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping

from agentctl.core import refnames
from agentctl.core.policy.policy import Policy, fingerprint, in_parts, parts
from agentctl.core.queue.model import Verdict
from agentctl.core.text.json_form import Struct, dump, load, replace
from agentctl.errors import Malformed
from agentctl.git import refs
from agentctl.git.objects import EMPTY_TREE, ObjectError
from agentctl.git.repository import Hub
from agentctl.hub import marks


class Judgement(Struct, frozen=True):
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


def lookup(hub: Hub, gate: str, tree: str, verdict: Verdict, hints: bool = False) -> Judgement | None:
    """The newest run of the gate on a tree that ended in `verdict`, or None: the bot's own, or,
    if `hints` are wanted too, somebody else's."""
    found = _read(hub, refnames.VERDICTS, _path(gate, tree, verdict))
    if hints and not found:
        # Whoever can write refs may have written anything there, and it matters little.
        with contextlib.suppress(Malformed):
            return _read(hub, refnames.HINTS, _path(gate, tree, verdict))
    return found


def _read(hub: Hub, ref: str, path: str) -> Judgement | None:
    tip = marks.tip(hub, ref)
    with refs.decoding(ref):
        data = hub.objects.read(hub.objects.commit(tip).tree, path) if tip else None
        return load(Judgement, data) if data else None


def all_of(hub: Hub, gate: str) -> list[Judgement]:
    """Every verdict of the bot of one gate, in no order. Raises Malformed."""
    tip = marks.tip(hub, refnames.VERDICTS)
    with refs.decoding(refnames.VERDICTS):
        below = hub.objects.at(hub.objects.commit(tip).tree, gate) if tip else None
        return [load(Judgement, hub.objects.blob(oid)) for _, oid in hub.objects.walk(below[1])] if below else []


def passed(hub: Hub, policy: Policy, commit: str, now: float, hints: bool = False) -> Judgement | None:
    """The verdict of a commit's tree that passed before: as a whole, or in each of its parts;
    that is then stored for the whole.

    A failure is never taken from memory: it may have been a flake, and whoever asks for the
    same probe again wants a second opinion.
    """
    tree, gate = hub.objects.commit(commit).tree, fingerprint(policy)
    known = lookup(hub, gate, tree, Verdict.PASSED, hints)
    if known or (policy.gates and not in_parts(policy)):
        return known
    if len(passed_parts(hub, policy, tree, hints=hints)) < len(parts(policy)):
        return None
    why = "each gate passed on its paths before" if policy.gates else "no gate"
    made = Judgement(Verdict.PASSED, tree, commit, gate, 0.0, now, why=why)
    store(hub, [made], now, hints)
    return made


def passed_parts(hub: Hub, policy: Policy, tree: str, doubted: bool = False, hints: bool = False) -> frozenset[str]:
    """Fingerprints of the parts that are known to pass on a tree; if that is `doubted`, of
    those that were never seen to fail on it. None of a policy without parts."""
    ours = [(p.fingerprint, hub.objects.part(tree, p.paths)) for p in parts(policy)] if in_parts(policy) else []
    return frozenset(
        gate
        for gate, part in ours
        if lookup(hub, gate, part, Verdict.PASSED, hints) and not (doubted and lookup(hub, gate, part, Verdict.FAILED, hints))
    )


def _tree(hub: Hub, tip: str) -> str | None:
    """None if that is no commit: somebody's nonsense is written over."""
    with contextlib.suppress(ObjectError):
        return hub.objects.commit(tip).tree
    return None


def store(hub: Hub, judgements: Iterable[Judgement], now: float, hints: bool = False) -> None:
    """Remember what is knowledge among `judgements`: as the bot's own, or as `hints` of somebody
    else. Raises Contended after ten tries."""
    ref = refnames.HINTS if hints else refnames.VERDICTS
    files = {
        _path(j.gate, j.tree, j.verdict): dump(replace(j, parts=()))
        for whole in judgements
        for j in (whole, *whole.parts)
        if j.verdict in (Verdict.PASSED, Verdict.FAILED)
    }
    if files:
        refs.retrying(10, lambda: _add(hub, ref, files, now))


def _add(hub: Hub, ref: str, files: Mapping[str, bytes], now: float) -> None:
    tip = marks.tip(hub, ref)
    below = _tree(hub, tip) if tip else None
    tree = hub.objects.replace(below or EMPTY_TREE, files)
    made = hub.objects.write_commit(tree, [tip] if tip and below else [], f"{len(files)} verdicts\n", now)
    move = hub.refs.transaction("verdicts")
    move.update(ref, made, tip)
    hub.objects.store.flush()
    with contextlib.nullcontext() if ref == refnames.HINTS else marks.moving(hub, ref, tip, made):
        move.commit()
