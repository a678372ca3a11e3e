"""Which approvals a change lacks, by the rules of the policy in force.

A rule asks for approvals of every change that touches one of its paths. Each rule is counted by itself, so one approval
may count for several, and one agent may approve once in each role. Paths are compared in the form that
`admission_rules.folded` gives them, like protected ones.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from agentctl.core.policy.policy import ApprovalRule
from agentctl.core.policy.schema import ANYBODY, PERSON
from agentctl.core.queue.admission_rules import folded, protector
from agentctl.core.queue.records import Approval
from agentctl.core.text.plural import many
from agentctl.core.text.printable import printable

NAMED = 3
"""The most paths that a sentence names."""
ENOUGH = 20
"""So many approvals of a change are kept in any case; above that only one that a rule still lacks."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A rule that a change has to satisfy."""

    rule: ApprovalRule
    paths: tuple[str, ...]
    """The paths of the change that the rule names."""


@dataclass(frozen=True, slots=True)
class Lack:
    """A rule that a change does not satisfy yet."""

    rule: ApprovalRule
    paths: tuple[str, ...]
    given: tuple[str, ...]
    """Who has approved, of those whom the rule allows."""

    @property
    def missing(self) -> int:
        return self.rule.count - len(self.given)


def asked(rules: Iterable[ApprovalRule], paths: Iterable[str]) -> tuple[Asked, ...]:
    """Return the rules that apply to a change of these paths."""
    touched = list(dict.fromkeys(paths))
    found = []
    for rule in rules:
        globs = [folded(pattern) for pattern in rule.paths]
        if named := tuple(path for path in touched if protector(path, globs)):
            found.append(Asked(rule, named))
    return tuple(found)


def counts(rule: ApprovalRule, approval: Approval, author: str) -> bool:
    """Tell whether a rule allows the approver of a change that `author` has submitted."""
    if approval.by == author:
        return False
    return rule.by == ANYBODY or (approval.person if rule.by == PERSON else approval.role == rule.by)


def lacking(wanted: Iterable[Asked], author: str, approvals: Sequence[Approval]) -> tuple[Lack, ...]:
    """Return the rules that a change of `author` does not satisfy with these approvals."""
    found = []
    for one in wanted:
        given = tuple(dict.fromkeys(approval.by for approval in approvals if counts(one.rule, approval, author)))
        if len(given) < one.rule.count:
            found.append(Lack(one.rule, one.paths, given))
    return tuple(found)


def is_kept(wanted: Sequence[Asked], author: str, approvals: Sequence[Approval], new: Approval) -> bool:
    """Tell whether one more approval is kept; each may be the last that a later policy asks for, and there is a limit."""
    return len(approvals) < ENOUGH or any(counts(lack.rule, new, author) for lack in lacking(wanted, author, approvals))


def needed(lack: Lack, author: str) -> str:
    """Return what is needed, in words: 2 approvals by a person for src/a.py (tess has approved)."""
    by = {ANYBODY: f"anybody but {author}", PERSON: "a person"}.get(lack.rule.by, f"an agent of the role {lack.rule.by}")
    shown = ", ".join(printable(path) for path in lack.paths[:NAMED])
    more = f" and {len(lack.paths) - NAMED} more" if len(lack.paths) > NAMED else ""
    given = f" ({', '.join(lack.given)} {'has' if len(lack.given) == 1 else 'have'} approved)" if lack.given else ""
    return f"{many(lack.missing, 'approval')} by {by} for {shown}{more}{given}"


def whole(lacks: Iterable[Lack], author: str) -> str:
    """Return all that is needed, as a part of a sentence."""
    return ", and ".join(needed(lack, author) for lack in lacks)


def no_use(wanted: Sequence[Asked], author: str, new: Approval, grounds: str = "") -> str:
    """Return why a review of a change of `author` has no effect by these rules; empty if it has one.

    `grounds` says why the reviewer is taken for an agent.
    """
    if not wanted:
        return "no rule of the policy in force asks for approvals of it"
    if any(counts(one.rule, new, author) for one in wanted):
        return ""
    what = f"an agent of the role {new.role}" if new.role else "an agent without a role"
    by = " and ".join(dict.fromkeys(one.rule.by for one in wanted))
    who = "a person" if new.person else f"{what}: {grounds}" if grounds else what
    return f"it needs approvals by {by}, and {new.by} is {who}"
