"""Proving the invariants from the repository alone.

1  Trunk was only fast-forwarded, and only to trees with a passed verdict; each gate that names
   paths has a passed verdict on these paths.
2  The landed commit is the tested commit.
3  Every submission ended in exactly one way or is still queued; no two landed as one commit.
4  No change was rejected without evidence.
5  What agents wrote is reachable.
8  No change landed without the approvals that the policy in force asked for.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TypeVar

from agentctl.core import refnames
from agentctl.core.policy.policy import Policy, fingerprint, in_parts, parts
from agentctl.core.queue import events, ledger_format_v1
from agentctl.core.queue import ledger_format as codec
from agentctl.core.queue.answer import KEPT, is_old
from agentctl.core.queue.approvals import whole
from agentctl.core.queue.model import Verdict
from agentctl.core.queue.records import AnyEnded, Conflicts, Ended, GateFailed, Landed, Record, Rejected
from agentctl.core.queue.state import State
from agentctl.core.text.printable import printable
from agentctl.errors import Malformed, PolicyError, Timeout
from agentctl.git import plain
from agentctl.git.objects import EMPTY_TREE, ObjectError
from agentctl.git.process import GitError
from agentctl.git.repository import POLICY_PATH, Hub
from agentctl.hub import foreign, landed, marks, verdicts
from agentctl.hub.approvals import beyond, lacking
from agentctl.hub.ledger import Ledger, Odd
from agentctl.hub.policy_file import read_policy

T = TypeVar("T")

FSCKED = 20_000
"""The most object ids that one `git fsck` is given on its command line."""
SHOWN = 20
"""The most lines of `git fsck` that become findings."""


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
    """Read the whole ledger, compare it with trunk, verdicts and refs, and return counts and findings.

    What cannot be read, or names what there is not, is a finding, and all else is proven. Raises Infrastructure if a newer
    agentctl wrote the ledger, or if its ref is broken.
    """
    ledger, odd = Ledger.read(hub), Odd()
    state = _whole(ledger.state, State(), odd, "queue")
    nothing: list[AnyEnded] = []
    ended = _whole(ledger.ended, nothing, odd, "done")
    landed = [r for r in ended if isinstance(r, Landed)]
    rejected = [r for r in ended if isinstance(r, Rejected)]
    tips = {(r.proof.old, r.proof.tip) for r in landed}
    past = Past.by(ledger)
    admitted = set() if odd.keys() & {"queue", "done"} else past.admitted - set(map(codec.key_of, odd))
    findings = [
        *(Finding(3, error.message) for error in odd.values()),
        *(Finding(3, text) for text in past.unclear),
        *_all(1, _moved(hub)),
        *_all(1, _trunk(hub, trunk, state, tips, past.adopted)),
        *_all(1, _tested(hub, landed)),
        *_once(admitted, state, ended),
        *_all(4, _evidence(hub, rejected)),
        *_all(8, _approved(hub, landed)),
        *_all(5, _reachable(hub, [*ended, *state.queue.values()])),
    ]
    return Counts(len(landed), len(rejected), len(state.queue), len(tips)), findings


UNREADABLE = (Malformed, ObjectError, PolicyError, GitError, Timeout)
"""What is raised for content that agentctl or Git cannot read."""


def _whole(read: Callable[[Odd], T], none: T, odd: Odd, part: str) -> T:
    """Return what `read` returns; `none` if that part of the ledger cannot be read at all."""
    try:
        return read(odd)
    except Malformed as error:
        odd[part] = error
        return none


def _all(invariant: int, found: Iterator[Finding]) -> Iterator[Finding]:
    """Yield the findings, and one more if something that cannot be read keeps the rest from being looked at."""
    try:
        yield from found
    except UNREADABLE as error:
        yield Finding(invariant, f"not all of it can be proven: {error.message}")


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
    unclear: list[str]
    """What cannot be read of the ledger's commits, in words."""

    @classmethod
    def by(cls, ledger: Ledger) -> Past:
        past = cls(set(), {}, [])
        try:
            for _, oid in ledger.commits():
                past._take(ledger, oid)
        except UNREADABLE as error:
            past.unclear.append(f"the history of the ledger cannot be read: {error.message}")
        return past

    def _take(self, ledger: Ledger, oid: str) -> None:
        try:
            happened = ledger.happened(oid)
        except Malformed as error:
            self.unclear.append(f"the commit {oid[:12]} of the ledger does not say what happened: {error.values['why']}")
            return
        for event in happened:
            match event:
                case events.Admitted(queued=queued):
                    self.admitted.add(queued.key)
                case events.Adopted(old=old, new=new, who=who, kept=kept):
                    self.adopted[new] = Foreign("" if kept is None else old, printable(who))
                case ledger_format_v1.Line(admitted=key) if key:
                    self.admitted.add(key)
                case ledger_format_v1.Line(adopted=(new, before, who)):
                    self.adopted[new] = Foreign(before, printable(who))
                case ledger_format_v1.Line(unclear=True, text=text):
                    self.unclear.append(f"the commit {oid[:12]} of the ledger does not say what it is about: {printable(text)}")


def _trunk(hub: Hub, trunk: str, state: State, tips: set[tuple[str, str]], adopted: dict[str, Foreign]) -> Iterator[Finding]:
    tip = hub.refs.get(refnames.branch(trunk)) or ""
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
    except GitError:
        return False


def _given_up(hub: Hub, away: set[str], before: list[str]) -> set[str]:
    """Return the commits that are away because a person accepted trunk as it was: they were on trunk before that."""
    return {oid for oid in away if any(oid == old or _ancestor(hub, oid, old) for old in before)}


def _tested(hub: Hub, landed: list[Landed]) -> Iterator[Finding]:
    known: set[tuple[str, str]] = set()
    policies: dict[tuple[int, str] | None, Policy | None] = {}
    for record in landed:
        tip, gate = record.proof.tip, record.proof.passed.gate
        if (tip, gate) not in known:
            known.add((tip, gate))
            try:
                passed = verdicts.lookup(hub, gate, hub.objects.commit(tip).tree, Verdict.PASSED) if tip else None
                missing = _unproven(hub, _in_force(hub, record.proof.old, policies), passed) if passed else []
            except UNREADABLE as error:
                yield Finding(1, f"nothing proves that {record.key} was tested: {error.message}")
                continue
            if not passed:
                yield Finding(1, f"{tip[:12]} landed without a passed verdict of its tree")
            elif missing:
                yield Finding(1, f"{tip[:12]} landed without a passed verdict of {', '.join(missing)} on its paths")
        if tip and not _ancestor(hub, record.commit, tip):
            yield Finding(2, f"{record.key} is not in the tested commit {tip[:12]}")


def _approved(hub: Hub, landed: list[Landed]) -> Iterator[Finding]:
    policies: dict[tuple[int, str] | None, Policy | None] = {}
    for record in landed:
        try:
            policy = _in_force(hub, record.proof.old, policies)
            if not policy or not policy.approvals:
                continue
            below = next(iter(hub.objects.commit(record.commit).parents), EMPTY_TREE)
            missing = lacking(hub, policy, record)
            beyond_it = () if missing else beyond(hub, policy, record, below, record.commit)
        except UNREADABLE as error:
            yield Finding(8, f"nothing proves that {record.key} was approved: {error.message}")
            continue
        if missing:
            yield Finding(8, f"{record.key} landed without {whole(missing, record.change.agent)}")
        elif beyond_it:
            yield Finding(8, f"{record.key} changed {printable(beyond_it[0])} where it landed, without approvals")


def _in_force(hub: Hub, tip: str, known: dict[tuple[int, str] | None, Policy | None]) -> Policy | None:
    """Return the policy of a commit that trunk was at; None if this agentctl cannot read it."""
    try:
        file = hub.objects.at(hub.objects.commit(tip).tree, POLICY_PATH)
    except ObjectError:
        return None
    if file not in known:
        try:
            known[file] = read_policy(hub, tip)
        except (PolicyError, ObjectError):
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
    answered = hub.refs.names([refnames.OUTBOX]).oids
    for record in rejected:
        change = record.change
        match record.reason:
            case GateFailed(gate=gate, failed=failed, passed=passed):
                for tree, verdict, what in (
                    (failed, Verdict.FAILED, "failed verdict that contains it"),
                    (passed, Verdict.PASSED, "passed verdict that lacks it"),
                ):
                    try:
                        there = verdicts.lookup(hub, gate, tree, verdict)
                    except UNREADABLE as error:
                        yield Finding(4, f"{record.key} was rejected by a {what}, and it cannot be read: {error.message}")
                    else:
                        if not there:
                            yield Finding(4, f"{record.key} was rejected without a {what}")
            case Conflicts(paths=()):
                yield Finding(4, f"{record.key} was rejected for a conflict that names no path")
            case _ if not record.why:
                yield Finding(4, f"{record.key} was rejected without a reason")
        # Where there are many, old ones have gone.
        due = len(answered) < KEPT or not is_old(record.at, time.time())
        if due and refnames.outbox(change.agent, change.id, change.revision) not in answered:
            yield Finding(4, f"the answer to {record.key} is gone from the outbox", grave=False)


def _reachable(hub: Hub, records: list[Record]) -> Iterator[Finding]:
    found = hub.refs.scan(["refs/"])
    for name, why in found.odd.items():
        yield Finding(5, f"broken ref {printable(name)}: {why}")
    asked = sorted({ref.oid for ref in found.refs.values()})
    yield from _all(5, (Finding(5, f"git fsck: {line}") for line in islice(_fsck(hub, asked), SHOWN)))
    heads = set()
    for oid in sorted({r.change.head for r in records if not (isinstance(r, Ended) and not r.kept)}):
        if not hub.objects.exists(oid):
            yield Finding(5, f"a submitted head is gone: {oid}")
        elif (kind := hub.objects.store.head(oid)[0]) != "commit":
            yield Finding(5, f"a submitted head is a {kind} and not a commit: {oid}")
        else:
            heads.add(oid)
    if heads:
        # Wrong dates in the history can mislead the first query, but not a listing of all commits.
        lone = {*hub.unreached(heads)} & heads
        every = hub.git("rev-list", "--stdin", "--ignore-missing", stdin="\n".join(asked).encode()).split() if lone else ()
        for oid in sorted(lone.difference(every)):
            yield Finding(5, f"the submitted head {oid[:12]} is not reachable from any ref")


def _fsck(hub: Hub, oids: Sequence[str]) -> Iterator[str]:
    """Yield what Git says of all that these objects lead to and that is not there.

    It runs in a Git directory without refs: a FIFO among the hub's refs would hold it. The commit graph is only a cache of
    Git: while `git gc` runs, it may name commits that are already pruned.
    """
    command = ["-c", "core.commitGraph=false", "fsck", "--connectivity-only", "--no-dangling", "--no-progress"]
    for at in range(0, max(1, len(oids)), FSCKED):
        done = plain.run(hub.git_dir, [*command, *oids[at : at + FSCKED]], ok=range(256))
        if done.returncode:
            yield from (done.stdout + done.stderr).decode(errors="replace").splitlines()
