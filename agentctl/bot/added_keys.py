"""The search for secret keys that a change adds: its files are compared with what was there before."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice

from agentctl.core.policy.policy import Limits, Policy
from agentctl.core.queue.admission_rules import REPORTED
from agentctl.core.text import globs, secrets
from agentctl.core.text.printable import printable
from agentctl.git.merge import added
from agentctl.git.objects import EMPTY_TREE, EXECUTABLE, FILE
from agentctl.git.repository import Hub

LARGEST = 1 << 20
"""Bytes of the largest file that is searched: keys are written by hand, or by small tools."""


def refusals(hub: Hub, policy: Policy, base: str, head: str, own: list[str]) -> list[str]:
    """List the keys that a change from `base` to `head` adds, each by path, line and rule, never by its text.

    `own` are the commits of the change. They are searched one by one where they land as they are, because a key that a
    later commit takes away is in the history for good.

    Raises ObjectError.
    """
    search = _Search(hub, policy.limits)
    found = list(islice(search.step((base,), head, ""), REPORTED))
    for oid in own if policy.strategy != "squash" else ():
        if len(found) < REPORTED:
            parents = hub.objects.commit(oid).parents or (EMPTY_TREE,)
            found += islice(search.step(parents, oid, f" of its commit {oid[:12]}"), REPORTED)
    return found


@dataclass
class _Search:
    hub: Hub
    limits: Limits
    looked: set[tuple[str, str]] = field(default_factory=set)
    """(path, object id) of each file that was searched."""
    size: int = 0

    def step(self, olds: Sequence[str], new: str, where: str) -> Iterator[str]:
        """Yield the keys that `new` adds, from files that differ from each of `olds` (for a merge: its parents)."""
        entries = added(self.hub, olds, new, self.limits.change_files)
        was: set[bytes] | None = None
        for path, mode, oid, _ in entries:
            if mode not in (FILE, EXECUTABLE) or (path, oid) in self.looked:
                continue
            self.looked.add((path, oid))
            self.size += self.hub.objects.size(oid)
            there = self.keys(oid)
            if self.size > self.limits.change_bytes:
                yield f"{printable(path)}{where}: brings its commits over limits.change_bytes ({self.limits.change_bytes})"
                return
            if there and not any(globs.matches(pattern, path) for pattern in self.limits.allow_secrets):
                if was is None:
                    was = set().union(*(self.before(old, [path for path, *_ in entries]) for old in olds))
                yield from (
                    f"{printable(path)}:{leak.line}{where}: adds a key ({leak.rule}), which limits.allow_secrets "
                    "does not allow there"
                    for leak in there
                    if leak.secret not in was
                )

    def keys(self, oid: str) -> list[secrets.Leak]:
        """List the keys in a blob; none if the blob is too large."""
        return list(secrets.leaks(self.hub.objects.blob(oid))) if self.hub.objects.size(oid) <= LARGEST else []

    def before(self, old: str, paths: list[str]) -> set[bytes]:
        """Return the keys that `paths` held in `old`: a key that is moved, or edited around, is not added."""
        tree = self.hub.objects.tree_of(old)
        there = [entry[1] for path in paths if (entry := self.hub.objects.at(tree, path)) and entry[0] in (FILE, EXECUTABLE)]
        return {leak.secret for oid in there for leak in self.keys(oid)}
