"""The tasks that have left the list, in one ref.

refs/agentctl/archive names a chain of commits, whose tree has

    <shard>/<task>    the task as it was when it was put away
    agents.json       the names of the agents that worked on one of them

A turn of a fleet reads all that is below refs/agentctl/tasks/, so what is over leaves it. What the ref of such a task named is a parent of the commit that put it away. Whoever
asks for one task, or for all, finds it here (`hub.tasks`). A task that is changed again, or opened, stands in the list
again; what the archive has of it counts no more.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping

from agentctl.core import refnames
from agentctl.core.queue.ledger_format import shard
from agentctl.core.tasks import task as codec
from agentctl.core.tasks.task import Task
from agentctl.core.text.json_form import load
from agentctl.errors import Infrastructure, Malformed
from agentctl.git.objects import EMPTY_TREE
from agentctl.git.refs import decoding
from agentctl.git.repository import Hub

AGENTS = "agents.json"


class Archive:
    """The archive as of one commit of its ref."""

    def __init__(self, hub: Hub, tip: str | None) -> None:
        self.hub, self.tip = hub, tip
        with decoding(refnames.ARCHIVE):
            self.tree = hub.objects.commit(tip).tree if tip else EMPTY_TREE
            self.agents = _agents(hub.objects.read(self.tree, AGENTS)) if tip else frozenset()
            """Those that worked on one of the tasks."""

    @classmethod
    def read(cls, hub: Hub) -> Archive:
        """Return the archive as it is now; raise Malformed, or Infrastructure for a ref that cannot be read."""
        return cls(hub, hub.refs.get(refnames.ARCHIVE))

    @classmethod
    def if_readable(cls, hub: Hub) -> Archive:
        """Return the archive as it is now, or an empty one if it cannot be read: it stops nobody, and doctor names it."""
        try:
            return cls.read(hub)
        except (Malformed, Infrastructure):
            return cls(hub, None)

    def get(self, name: str, cache: Mapping[str, Task] | None = None) -> tuple[Task, str] | None:
        """Return (a task, the object id of what the archive has of it), or None; raise Malformed.

        `cache` has tasks by such ids.
        """
        with decoding(refnames.ARCHIVE):
            entry = self.hub.objects.at(self.tree, _path(name)) if refnames.valid_name(name) else None
            if not entry:
                return None
            known = cache.get(entry[1]) if cache else None
            return (known if known and known.id == name else self._read(name, entry[1])), entry[1]

    def names(self) -> Iterator[str]:
        """Yield the ids of all tasks; raise Malformed."""
        with decoding(refnames.ARCHIVE):
            yield from (path.rpartition("/")[2] for path, _ in self.hub.objects.walk(self.tree) if path != AGENTS)

    def tasks(self) -> Iterator[Task]:
        """Yield all tasks, in no order; raise Malformed."""
        with decoding(refnames.ARCHIVE):
            for path, oid in self.hub.objects.walk(self.tree):
                if path != AGENTS:
                    yield self._read(path.rpartition("/")[2], oid)

    def _read(self, name: str, oid: str) -> Task:
        task = codec.decode(self.hub.objects.blob(oid))
        if task.id != name:
            raise ValueError(f"it has the task {task.id!r} as {name}")
        return task

    def put(self, away: Mapping[str, Task]) -> None:
        """Put tasks away that stand in the list, by the commits that their refs name.

        Raises Contended if somebody has changed one of them, or the archive, meanwhile.
        """
        hub, message = self.hub, f"{len(away)} tasks are over"
        with hub.objects.store.together():
            files = {_path(task.id): codec.encode(task) for task in away.values()}
            agents = self.agents | {session.agent for task in away.values() for session in task.sessions}
            tree = hub.objects.replace(self.tree, {**files, AGENTS: json.dumps(sorted(agents), indent=1).encode() + b"\n"})
            parents = [*([self.tip] if self.tip else []), *away]
            move = hub.refs.transaction(message)
            move.update(refnames.ARCHIVE, hub.objects.write_commit(tree, parents, message + "\n", time.time()), self.tip)
            for tip, task in away.items():
                move.delete(refnames.TASKS + task.id, tip)
            hub.objects.store.flush()
            move.commit()


def _path(name: str) -> str:
    return f"{shard(name)}/{name}"


def _agents(data: bytes | None) -> frozenset[str]:
    return frozenset(load(list[str], data or b""))
