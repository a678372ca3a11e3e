"""The building of the commit that a probe tests: changes are applied in order to trunk, in memory.

Staging is a function of its inputs, dates included: the same changes on the same trunk give the same commit. So a turn
that was cut off builds the very same commit again.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from agentctl.core.queue.records import Record
from agentctl.core.text import landed_message
from agentctl.errors import fault_of
from agentctl.git.ancestry import between
from agentctl.git.merge import Merged, collisions, merge
from agentctl.git.objects import EMPTY_TREE, CommitInfo
from agentctl.git.repository import Hub

REMEMBERED = 20_000
"""The most commits, and the most merges, that are remembered; each takes some hundred bytes."""


LINE = 200
"""A change with fewer commits than this is read without asking Git for them."""


@dataclass(frozen=True, slots=True)
class Conflict:
    key: str
    merged: Merged
    onto: str
    """The commit to which the change was to be applied."""


@dataclass(frozen=True, slots=True)
class Built:
    commit: str
    tree: str
    landing: tuple[tuple[str, str], ...]
    """(change key, commit that carries the change), in order."""
    conflicts: tuple[Conflict, ...] = ()
    """The changes that could not be applied and were left out."""


@dataclass
class Stager:
    """A builder of the chains of one hub, which remembers commits and merges.

    Of a chain whose beginning was staged before, only the rest is built. Of a chain that a change has left, only what
    came after that change is merged anew.
    """

    hub: Hub
    strategy: str
    _merges: dict[tuple[str, str, str], Merged] = field(default_factory=dict)
    _applied: dict[tuple[str, str], CommitInfo] = field(default_factory=dict)
    """The commits by (commit below, change key)."""
    _squashed: dict[str, tuple[CommitInfo, str]] = field(default_factory=dict)
    """(commit whose author counts, message) by change key."""
    _era: int = 0
    """The era of the store in which the remembered commits and merges were built."""

    def forget(self) -> None:
        """Forget all commits and merges, to build them anew: objects that no ref names may be gone."""
        self._applied.clear()
        self._merges.clear()
        self._era = self.hub.objects.store.era

    def chain(self, trunk: str, records: list[Record]) -> Built:
        """Apply `records` in order to `trunk`; a change that conflicts is left out."""
        objects = self.hub.objects
        if self._era != objects.store.era or not objects.store.lasting:
            self.forget()
        tip, landing, conflicts = objects.commit(trunk), [], []
        for record in records:
            applied = self._applied.get((tip.oid, record.key)) or self.apply(tip, record)
            if isinstance(applied, Merged):
                conflicts.append(Conflict(record.key, applied, tip.oid))
                continue
            tip = applied
            landing.append((record.key, tip.oid))
        return Built(tip.oid, tip.tree, tuple(landing), tuple(conflicts))

    def apply(self, tip: CommitInfo, record: Record) -> CommitInfo | Merged:
        """Return the commit that carries `record` on top of `tip`, or the conflict."""
        steps = {"squash": self._squash, "rebase": self._rebase, "merge": self._merge}
        with fault_of(record.key):
            applied = steps[strategy_of(self.strategy, record)](tip, record)
            if isinstance(applied, Merged):
                return applied
            if applied.tree == tip.tree and not record.change.joins:
                return Merged(tip.tree, nothing=True)
            if same := next(collisions(self.hub, tip.tree, applied.tree), None):
                return Merged(applied.tree, same=same)
        if len(self._applied) > REMEMBERED:
            self._applied.clear()
        self._applied[tip.oid, record.key] = applied
        return applied

    def _merged(self, base: str, ours: str, theirs: str) -> Merged:
        inputs = (base, ours, theirs)
        known = self._merges.get(inputs)
        if not known:
            if len(self._merges) > REMEMBERED:
                self._merges.clear()
                self._squashed.clear()
            known = self._merges[inputs] = merge(self.hub, *inputs)
        return known

    def _whole(self, tip: CommitInfo, record: Record) -> Merged:
        objects = self.hub.objects
        return self._merged(objects.commit(record.base).tree, tip.tree, objects.commit(record.change.head).tree)

    def _squash(self, tip: CommitInfo, record: Record) -> CommitInfo | Merged:
        merged = self._whole(tip, record)
        if merged.conflicts:
            return merged
        if record.key not in self._squashed:
            commits = own_commits(self.hub, record)
            message = landed_message.squash(c.message.decode(errors="replace") for c in commits)
            self._squashed[record.key] = commits[-1], message
        author, message = self._squashed[record.key]
        return self._commit(tip, (tip.oid,), merged.tree, record, author, message)

    def _merge(self, tip: CommitInfo, record: Record) -> CommitInfo | Merged:
        merged = self._whole(tip, record)
        if merged.conflicts:
            return merged
        head = self.hub.objects.commit(record.change.head)
        message = f"Merge {record.key}: {record.subject}"
        return self._commit(tip, (tip.oid, head.oid), merged.tree, record, None, message)

    def _rebase(self, tip: CommitInfo, record: Record) -> CommitInfo | Merged:
        replayed = line_of(self.hub, record)
        if not replayed:
            return self._squash(tip, record)
        for commit in replayed:
            before = self.hub.objects.commit(commit.parents[0]).tree if commit.parents else EMPTY_TREE
            merged = self._merged(before, tip.tree, commit.tree)
            if merged.conflicts:
                return merged
            message = commit.message.decode(errors="replace")
            tip = self._commit(tip, (tip.oid,), merged.tree, record, commit, message)
        return tip

    def _commit(
        self, tip: CommitInfo, parents: tuple[str, ...], tree: str, record: Record, author: CommitInfo | None, message: str
    ) -> CommitInfo:
        change, objects = record.change, self.hub.objects
        trailers = {"Agentctl-Change": change.key, "Agentctl-Task": change.task, "Agentctl-Agent": change.agent}
        time = max(tip.time, int(change.admitted))
        told = landed_message.with_trailers(message, trailers)
        if author is None:
            return objects.commit(objects.write_commit(tree, parents, told, time))
        return objects.commit(
            objects.write_commit(
                tree, parents, told, time, author=author.author, author_time=author.author_time, author_zone=author.author_zone
            )
        )


def strategy_of(strategy: str, record: Record) -> str:
    """Return how a record lands where changes land by `strategy`."""
    return "merge" if record.change.joins else strategy


def line_of(hub: Hub, record: Record) -> list[CommitInfo]:
    """List the commits of a change that are put on trunk one by one, oldest first; none if a merge is among them.

    What a merge itself holds, such as a resolved conflict or an adapted file, would be lost. So a change with a merge
    lands as one commit.
    """
    if hub.git("rev-list", "-n1", "--merges", record.change.head, "^" + record.base):
        return []
    return own_commits(hub, record)


def own_commits(hub: Hub, record: Record) -> list[CommitInfo]:
    """List the commits of a change, oldest first, without merges; only its head if all are merges."""
    line = between(hub.objects, record.change.head, record.base, LINE)
    if line and len(line) < LINE:
        return line[::-1]
    listed = hub.git("rev-list", "--reverse", "--topo-order", "--no-merges", record.change.head, "^" + record.base).split()
    return [hub.objects.commit(oid) for oid in listed] or [hub.objects.commit(record.change.head)]
