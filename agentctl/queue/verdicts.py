"""Verdicts by gate and tree, in the tree of refs/agentctl/verdicts:

    <fingerprint of the gate>/<first two digits>/<tree id>/<verdict>    JSON, see Judgement

Only knowledge is kept: passed and failed, both if a tree was seen to do both. Whatever
else a run ends in is forgotten.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass

from agentctl.core import refnames
from agentctl.core.model import Verdict
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


def _path(gate: str, tree: str, verdict: Verdict) -> str:
    return f"{gate}/{tree[:2]}/{tree}/{verdict}"


def lookup(hub: Hub, gate: str, tree: str, verdict: Verdict) -> Judgement | None:
    """The newest run of the gate on a tree that ended in `verdict`, or None."""
    tip = refs.get(hub.git_dir, refnames.VERDICTS)
    with refs.decoding(refnames.VERDICTS):
        data = hub.objects.read(hub.objects.commit(tip).tree, _path(gate, tree, verdict)) if tip else None
        return built(Judgement, loads(data)) if data else None


def store(hub: Hub, judgements: Iterable[Judgement], now: float) -> None:
    """Remember what is knowledge among `judgements`. Raises Contended after ten tries."""
    files = {_path(j.gate, j.tree, j.verdict): (json.dumps(asdict(j), sort_keys=True) + "\n").encode()
             for j in judgements if j.verdict in (Verdict.PASSED, Verdict.FAILED)}
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
