"""Proving the invariants from the repository alone.

1  Trunk was only fast-forwarded, and only to trees with a passed verdict; each gate that names
   paths has a passed verdict on these paths.
2  The landed commit is the tested commit.
3  Every submission ended in exactly one way or is still queued; no two landed as one commit.
4  No change was rejected without evidence.
5  What agents wrote is reachable.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from agentctl.core import refnames
from agentctl.core.policy.policy import Policy, fingerprint, in_parts, parts
from agentctl.core.queue import events, ledger_format_v1
from agentctl.core.queue.model import Verdict
from agentctl.core.queue.records import AnyEnded, Conflicts, Ended, GateFailed, Landed, Record, Rejected
from agentctl.core.queue.state import State
from agentctl.core.text.printable import printable
from agentctl.errors import PolicyError
from agentctl.git import plain, process
from agentctl.git.objects import ObjectError
from agentctl.git.repository import POLICY_PATH, Hub
from agentctl.hub import foreign, landed, marks, verdicts
from agentctl.hub.ledger import Ledger
from agentctl.hub.policy_file import read_policy

FSCKED = 20_000
"""The most object ids that `git fsck` is given on its command line."""


@dataclass(frozen=True, slots=True)
class Finding:
    invariant: int
    text: str
    grave: bool = True
    """False if the finding is worth knowing but breaks no invariant, such as a push around the queue."""


@dataclass(frozen=True, slots=True)
class Counts:
    landed: int
    rejected: int
    queued: int
    moves: int
    """The number of moves of trunk by the bot."""


def prove(hub: Hub, trunk: str) -> tuple[Counts, list[Finding]]:
    """Read the whole ledger, compare it with trunk, verdicts and refs, and return counts and findings."""
    ledger = Ledger.read(hub)
    state, ended = ledger.state(), ledger.ended()
    landed = [r for r in ended if isinstance(r, Landed)]
    rejected = [r for r in ended if isinstance(r, Rejected)]
    tips = {(r.proof.old, r.proof.tip) for r in landed}
    past = Past.by(ledger)
    findings = [
        *_moved(hub),
        *_trunk(hub, trunk, ledger, tips, past.adopted),
        *_tested(hub, landed),
        *_once(past.admitted, state, ended),
        *_evidence(hub, rejected),
        *_reachable(hub, [*ended, *state.queue.values()]),
    ]
    return Counts(len(landed), len(rejected), len(state.queue), len(tips)), findings


def _moved(hub: Hub) -> Iterator[Finding]:
    """Yield the bot's refs that others moved; all else is proven of the ledger and the verdicts that the bot wrote."""
    for odd in marks.findings(hub):
        yield Finding(3 if odd.ref == refnames.STATE else 1, f"{odd.text}: {odd.mend}")


@dataclass(frozen=True, slots=True)
class Foreign:
    """A move of trunk by somebody else that the bot adopted."""

    before: str
    """The commit that trunk was at, if it was not moved forward; else empty."""
    told: str
    """Who may have moved it, and what else the bot said of the move."""


@dataclass(frozen=True, slots=True)
class Past:
    """What the events of the whole ledger tell and its state does not."""

    admitted: set[str]
    """The keys of all submissions that were admitted."""
    adopted: dict[str, Foreign]
    """The moves of trunk by somebody else that the bot adopted, by the commit that trunk was moved to."""

    @classmethod
    def by(cls, ledger: Ledger) -> Past:
        past = cls(set(), {})
        for _, happened in ledger.history():
            for event in happened:
                match event:
                    case events.Admitted(queued=queued):
                        past.admitted.add(queued.key)
                    case events.Adopted(old=old, new=new, who=who, kept=kept):
                        past.adopted[new] = Foreign("" if kept is None else old, printable(who))
                    case ledger_format_v1.Line(admitted=key) if key:
                        past.admitted.add(key)
                    case ledger_format_v1.Line(adopted=(new, before, who)):
                        past.adopted[new] = Foreign(before, printable(who))
        return past


def _trunk(hub: Hub, trunk: str, ledger: Ledger, tips: set[tuple[str, str]], adopted: dict[str, Foreign]) -> Iterator[Finding]:
    state, tip = ledger.state(), hub.refs.get(refnames.branch(trunk)) or ""
    if not state.trunk:
        if names := foreign.labels(hub):
            yield Finding(
                3,
                f"trunk's own history names {len(names)} changes that landed, the last {names[0]}, and there is no ledger",
                grave=False,
            )
        return
    moved = foreign.look(hub, trunk, state)
    known = foreign.stop(hub, trunk, state)
    if known:
        yield Finding(1, f"{known.text}: {known.ways}")
    elif moved:
        yield Finding(1, f"{moved.new[:12]} was put on trunk around the queue, and no bot has tested it yet", grave=False)
    away = landed.gone(hub, tip, {new for _, new in tips} | set(adopted))
    # If a person has accepted trunk as it is, the ledger says so only from the bot's next turn on.
    taken = [state.trunk] if moved and not known else []
    given_up = _given_up(hub, away, [*(one.before for one in adopted.values() if one.before), *taken])
    line = {oid: age for age, oid in enumerate(_first_parents(hub, tip))} if tip else {}
    for old, new in tips:
        if new in away:
            yield Finding(
                1,
                f"trunk no longer holds {new[:12]}, which landed" + (": a person took trunk as it is" if new in given_up else ""),
                grave=new not in given_up,
            )
        elif new in line and (old not in line or line[old] < line[new]):
            yield Finding(1, f"trunk was not fast-forwarded from {old[:12]} to {new[:12]}")
    for oid in adopted:
        if oid in away:
            yield Finding(1, f"trunk was at {oid[:12]} once and no longer holds it", grave=oid not in given_up)
        else:
            yield Finding(1, f"{oid[:12]} was put on trunk around the queue{adopted[oid].told}", grave=False)


def _first_parents(hub: Hub, tip: str) -> list[str]:
    return hub.git("rev-list", "--first-parent", tip).split()


def _ancestor(hub: Hub, old: str, new: str) -> bool:
    try:
        return hub.descends(new, old)
    except process.GitError:
        return False


def _given_up(hub: Hub, away: set[str], before: list[str]) -> set[str]:
    """Return the commits that are away because a person accepted trunk as it was: they were on trunk before that."""
    return {oid for oid in away if any(oid == old or _ancestor(hub, oid, old) for old in before)}


def _tested(hub: Hub, landed: list[Landed]) -> Iterator[Finding]:
    known: dict[tuple[str, str], bool] = {}
    policies: dict[tuple[int, str] | None, Policy | None] = {}
    for record in landed:
        tip, gate = record.proof.tip, record.proof.passed.gate
        if (tip, gate) not in known:
            passed = verdicts.lookup(hub, gate, hub.objects.commit(tip).tree, Verdict.PASSED) if tip else None
            known[tip, gate] = bool(passed)
            if not passed:
                yield Finding(1, f"{tip[:12]} landed without a passed verdict of its tree")
            elif names := _unproven(hub, _in_force(hub, record.proof.old, policies), passed):
                yield Finding(1, f"{tip[:12]} landed without a passed verdict of {', '.join(names)} on its paths")
        if tip and not _ancestor(hub, record.commit, tip):
            yield Finding(2, f"{record.key} is not in the tested commit {tip[:12]}")


def _in_force(hub: Hub, tip: str, known: dict[tuple[int, str] | None, Policy | None]) -> Policy | None:
    """Return the policy of a commit that trunk was at; None if this agentctl cannot read it."""
    try:
        file = hub.objects.at(hub.objects.commit(tip).tree, POLICY_PATH)
    except ObjectError:
        return None
    if file not in known:
        try:
            known[file] = read_policy(hub, tip)
        except PolicyError:
            known[file] = None
    return known[file]


def _unproven(hub: Hub, policy: Policy | None, passed: verdicts.Judgement) -> list[str]:
    """Return the gates of the policy in force whose part has no passed verdict."""
    if not policy or fingerprint(policy) != passed.gate or not in_parts(policy):
        return []
    known = verdicts.passed_parts(hub, policy, passed.tree)
    return [name for part in parts(policy) if part.fingerprint not in known for name in part.gates]


def _once(admitted: set[str], state: State, ended: list[AnyEnded]) -> Iterator[Finding]:
    keys = [r.key for r in ended]
    commits: dict[str, str] = {}
    for key in keys:
        if key in state.queue:
            yield Finding(3, f"{key} is both queued and ended")
    for record in ended:
        if isinstance(record, Landed):
            if record.commit in commits:
                yield Finding(3, f"{record.key} and {commits[record.commit]} landed as one commit")
            commits[record.commit] = record.key
    known = set(keys) | set(state.queue)
    for key in sorted(admitted - known):
        yield Finding(3, f"{key} was admitted and has vanished")


def _evidence(hub: Hub, rejected: list[Rejected]) -> Iterator[Finding]:
    for record in rejected:
        change = record.change
        match record.reason:
            case GateFailed(gate=gate, failed=failed, passed=passed):
                if not verdicts.lookup(hub, gate, failed, Verdict.FAILED):
                    yield Finding(4, f"{record.key} was rejected without a failed verdict that contains it")
                if not verdicts.lookup(hub, gate, passed, Verdict.PASSED):
                    yield Finding(4, f"{record.key} was rejected without a passed verdict that lacks it")
            case Conflicts(paths=()):
                yield Finding(4, f"{record.key} was rejected for a conflict that names no path")
            case _ if not record.why:
                yield Finding(4, f"{record.key} was rejected without a reason")
        if not hub.refs.get(refnames.outbox(change.agent, change.id, change.revision)):
            yield Finding(4, f"the answer to {record.key} is gone from the outbox", grave=False)


def _reachable(hub: Hub, records: list[Record]) -> Iterator[Finding]:
    found = hub.refs.scan(["refs/"])
    for name, why in found.odd.items():
        yield Finding(5, f"broken ref {printable(name)}: {why}")
    # git fsck runs in a Git directory without refs: a FIFO among the hub's refs would hold it.
    asked = {ref.oid for ref in found.refs.values()}
    # The commit graph is only a cache of Git: while `git gc` runs, it may name commits that are already pruned.
    done = plain.run(
        hub.git_dir,
        [
            "-c",
            "core.commitGraph=false",
            "fsck",
            "--connectivity-only",
            "--no-dangling",
            "--no-progress",
            *sorted(asked)[:FSCKED],
        ],
        ok=range(256),
    )
    if done.returncode:
        for line in (done.stdout + done.stderr).decode(errors="replace").splitlines()[:20]:
            yield Finding(5, f"git fsck: {line}")
    heads = {r.change.head for r in records if not (isinstance(r, Ended) and not r.kept)}
    if heads:
        for oid in sorted(oid for oid in heads if not hub.objects.exists(oid)):
            yield Finding(5, f"a submitted head is gone: {oid}")
        # Wrong dates in the history can mislead the first query, but not a listing of all commits.
        lone = {*hub.unreached(heads)} & heads
        every = (
            hub.git("rev-list", "--stdin", "--ignore-missing", stdin="\n".join(sorted(asked)).encode()).split() if lone else ()
        )
        for oid in sorted(lone.difference(every)):
            yield Finding(5, f"the submitted head {oid[:12]} is not reachable from any ref")
