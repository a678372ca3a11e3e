"""Verdicts by gate and tree, in the tree of refs/agentctl/verdicts.

    <fingerprint of the gate>/<first two digits of the tree id>/<tree id>/<verdict>    JSON, see Judgement

If gates name paths, there are two kinds of verdicts: those of all gates on a whole tree, and those of the gates of one
part. The latter stand under the fingerprint of these gates, for the tree that has only their paths. A tree whose parts
have all passed has passed.

Only passed and failed are kept, and both if a tree was seen to do both. Any other end of a run is forgotten.

Only a verdict that the bot wrote is a proof: in the environment of somebody who calls `agentctl test`, the gate's
command may find another program by that name. So the bot alone moves the ref, `hub.marks` tells what the bot has
written, and nothing else there is read. The verdicts of others are kept in refs/agentctl/hints, in the same form: they
save the others, but not the bot, a second run.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping

from agentctl.core import refnames
from agentctl.core.policy.policy import Policy, fingerprint, in_parts, parts
from agentctl.core.queue.events import Probed, Staged
from agentctl.core.queue.model import Verdict
from agentctl.core.text.json_form import Struct, dump, load, replace
from agentctl.errors import Malformed
from agentctl.git import refs, transactions
from agentctl.git.objects import EMPTY_TREE, ObjectError
from agentctl.git.repository import Hub
from agentctl.hub import marks


class Judgement(Struct, frozen=True):
    """What one run of the gates said of one tree."""

    verdict: Verdict
    tree: str
    commit: str
    """The commit that was checked out when the gates ran."""
    gate: str
    """The fingerprint of all gates; in `parts`, that of the gates of one part."""
    seconds: float
    at: float
    step: str = ""
    """The name of the gate, or other step, that did not pass."""
    exit: int | None = None
    why: str = ""
    log: str = ""
    """The end of the output of a run that did not pass."""
    parts: tuple[Judgement, ...] = ()
    """What the run said of parts of the tree, as far as it came; they are stored separately."""

    def under(self, gate: str) -> Judgement:
        """Return the judgement, as aborted if a landing changed the gate while the probe, a longer chain, was tested."""
        if self.gate == gate:
            return self
        return replace(self, verdict=Verdict.ABORTED, why="the gate was changed meanwhile")

    def of(self, staged: Staged, known: bool) -> Probed:
        """Return the event that this ends a probe; `known` if the gate has judged that tree before."""
        why = self.seconds, self.step, self.why, known
        return Probed(staged.probe, self.verdict, staged.tree, staged.gate, *why)


def _path(gate: str, tree: str, verdict: Verdict) -> str:
    return f"{gate}/{tree[:2]}/{tree}/{verdict}"


def lookup(hub: Hub, gate: str, tree: str, verdict: Verdict, hints: bool = False) -> Judgement | None:
    """Return the newest run of the gates on a tree that ended in `verdict`, or None.

    It is a run of the bot; with `hints`, if there is none, somebody else's.
    """
    found = _read(hub, refnames.VERDICTS, _path(gate, tree, verdict))
    if hints and not found:
        # Whoever can write refs may have written anything there; a hint that cannot be read does no harm.
        with contextlib.suppress(Malformed):
            return _read(hub, refnames.HINTS, _path(gate, tree, verdict))
    return found


def _read(hub: Hub, ref: str, path: str) -> Judgement | None:
    tip = marks.tip(hub, ref)
    with refs.decoding(ref):
        data = hub.objects.read(hub.objects.commit(tip).tree, path) if tip else None
        return load(Judgement, data) if data else None


def all_of(hub: Hub, gate: str) -> list[Judgement]:
    """Return every verdict of the bot under one fingerprint, in no order; raise Malformed."""
    tip = marks.tip(hub, refnames.VERDICTS)
    with refs.decoding(refnames.VERDICTS):
        below = hub.objects.at(hub.objects.commit(tip).tree, gate) if tip else None
        return [load(Judgement, hub.objects.blob(oid)) for _, oid in hub.objects.walk(below[1])] if below else []


def passed(hub: Hub, policy: Policy, commit: str, now: float, hints: bool = False) -> Judgement | None:
    """Return the verdict if a commit's tree has passed before, as a whole or in each of its parts; else None.

    If all parts have passed, a verdict for the whole tree is made and stored; so it is if the policy has no gate.

    A failure is never taken from memory: it may have been a flake, and whoever asks for the same probe again wants a
    second opinion.
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
    """Return the fingerprints of the parts that are known to pass on a tree; none if the policy has no parts.

    If that is `doubted`, parts that were also seen to fail on the tree are left out.
    """
    ours = [(p.fingerprint, hub.objects.part(tree, p.paths)) for p in parts(policy)] if in_parts(policy) else []
    return frozenset(
        gate
        for gate, part in ours
        if lookup(hub, gate, part, Verdict.PASSED, hints) and not (doubted and lookup(hub, gate, part, Verdict.FAILED, hints))
    )


def _tree(hub: Hub, tip: str) -> str | None:
    """Return the tree of a commit; None if `tip` is not a readable commit, so that it is written over."""
    with contextlib.suppress(ObjectError):
        return hub.objects.commit(tip).tree
    return None


def store(hub: Hub, judgements: Iterable[Judgement], now: float, hints: bool = False) -> None:
    """Store those of the judgements that are passed or failed, as the bot's own, or as `hints` of somebody else.

    Raises Contended after ten tries.
    """
    ref = refnames.HINTS if hints else refnames.VERDICTS
    files = {
        _path(j.gate, j.tree, j.verdict): dump(replace(j, parts=()))
        for whole in judgements
        for j in (whole, *whole.parts)
        if j.verdict in (Verdict.PASSED, Verdict.FAILED)
    }
    if files:
        transactions.retrying(10, lambda: _add(hub, ref, files, now))


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
