"""Reading and writing the ledger, refs/agentctl/state; `core.queue.ledger_format` has the format."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence

from agentctl.core import refnames
from agentctl.core.planner.memory import load
from agentctl.core.queue import ledger_format as codec
from agentctl.core.queue import ledger_format_v1
from agentctl.core.queue.events import Recorded
from agentctl.core.queue.records import AnyEnded, Landed, Record, Rejected, Superseded
from agentctl.core.queue.state import Draft, State
from agentctl.errors import Infrastructure, Malformed, fault_of
from agentctl.git.objects import EMPTY_TREE
from agentctl.git.refs import decoding
from agentctl.git.repository import Hub
from agentctl.git.transactions import Transaction
from agentctl.hub import marks

Odd = dict[str, Malformed]
"""The records that cannot be read, by path."""


@contextlib.contextmanager
def _record(path: str, odd: Odd | None) -> Iterator[None]:
    """Read one record in the context: whatever is wrong with it is put into `odd`, if that is given, or raised."""
    try:
        with decoding(f"{refnames.STATE}:{path}" if odd is not None else refnames.STATE):
            yield
    except Malformed as error:
        if odd is None:
            raise
        odd[path] = error


def _placed(path: str, own: str) -> None:
    """Raise ValueError for a record that stands at the path of another one."""
    if path != own:
        raise ValueError(f"the record at {path} belongs at {own}")


class Ledger:
    """The ledger as of one commit of its ref."""

    def __init__(self, hub: Hub, tip: str | None) -> None:
        self.hub, self.tip = hub, tip
        with decoding(refnames.STATE):
            self.tree = hub.objects.commit(tip).tree if tip else EMPTY_TREE

    @classmethod
    def read(cls, hub: Hub) -> Ledger:
        """Return the ledger as the bot left it, whatever somebody else has made of its ref since."""
        return cls(hub, marks.tip(hub, refnames.STATE))

    def state(self, odd: Odd | None = None) -> State:
        """Return the state; raise Malformed, or Infrastructure if a newer agentctl wrote it.

        With `odd`, records that cannot be read are put there and left out of the queue.
        """
        if not self.tip:
            return State()
        objects = self.hub.objects
        with decoding(refnames.STATE):
            wanted = {
                name: objects.read(self.tree, name) or b"" for name in (codec.FORMAT, codec.META, codec.MEMORY, codec.PROBES)
            }
            queue = objects.at(self.tree, "queue")
            for path, oid in objects.walk(queue[1], b"queue/") if queue else ():
                with _record(path, odd):
                    wanted[path] = objects.blob(oid)
                    if odd is not None:
                        _placed(path, codec.queue_path(codec.decode_queued(wanted[path]).key))
            wanted = {path: data for path, data in wanted.items() if path not in (odd or ())}
            version = codec.version(wanted[codec.FORMAT])
            if version > codec.VERSION:
                raise Infrastructure(
                    f"{refnames.STATE} has format {version}, this agentctl reads {codec.VERSION}", hint="update agentctl"
                )
            state = codec.decode(wanted)
            load(state.memory)
            return state

    def trunk(self) -> str:
        """Return `state().trunk` without reading the queue."""
        with decoding(refnames.STATE):
            data = self.hub.objects.read(self.tree, codec.META)
            return codec.decode_trunk(data) if data else ""

    def record(self, key: str) -> Record | None:
        """Return the record of one submission, queued or ended; None if there is none."""
        with decoding(refnames.STATE):
            for path in (codec.queue_path(key), codec.done_path(key)):
                data = self.hub.objects.read(self.tree, path)
                if data:
                    return codec.decode_queued(data) if path.startswith("queue/") else codec.decode_ended(data)
        return None

    def with_head(self, oid: str) -> Record | None:
        """Return the newest submission whose head was the commit `oid`; None if there is none."""
        with decoding(refnames.STATE):
            key = self.hub.objects.read(self.tree, codec.head_path(oid))
            return self.record(key.decode().strip()) if key else None

    def revisions(self, change: str) -> list[int]:
        """Return the revisions of a change, queued or ended, in ascending order."""
        found = []
        with decoding(refnames.STATE):
            for path in (codec.queue_path(change), codec.done_path(change)):
                entry = self.hub.objects.at(self.tree, path)
                found += [int(name) for name in self.hub.objects.tree(entry[1])] if entry else []
        return sorted(found)

    def all_of(self, change: str) -> list[Record]:
        """Return the records of the revisions of a change, in ascending order."""
        return [record for n in self.revisions(change) if (record := self.record(f"{change}/{n}"))]

    def newest(self, change: str) -> Record | None:
        """Return the newest revision of a change, or None.

        A revision rejected for a reason that tells nothing of the change (`Reason.apart`), or one that came too late
        (`Superseded.late`), is returned only if there is no other one.
        """

        def counts(record: Record) -> bool:
            return not (isinstance(record, Rejected) and record.reason.apart or isinstance(record, Superseded) and record.late)

        return self._newest(change, counts) or self._newest(change, lambda record: True)

    def _newest(self, change: str, fits: Callable[[Record], bool]) -> Record | None:
        records = (self.record(f"{change}/{n}") for n in reversed(self.revisions(change)))
        return next((record for record in records if record and fits(record)), None)

    def newest_landed(self, change: str) -> Landed | None:
        """Return the newest revision of a change that has landed, or None."""
        found = self._newest(change, lambda record: isinstance(record, Landed))
        return found if isinstance(found, Landed) else None

    def ended(self, odd: Odd | None = None) -> list[AnyEnded]:
        """Return every ended record; this reads them all.

        With `odd`, records that cannot be read are put there and left out.
        """
        objects, found = self.hub.objects, []
        with decoding(refnames.STATE):
            done = objects.at(self.tree, "done")
            for path, oid in objects.walk(done[1], b"done/") if done else ():
                with _record(path, odd):
                    record = codec.decode_ended(objects.blob(oid))
                    _placed(path, codec.done_path(record.key))
                    found.append(record)
        return found

    def history(
        self, since: float = 0.0, until: float | None = None, most: int = 0
    ) -> Iterator[tuple[float, Sequence[Recorded | ledger_format_v1.Line]]]:
        """Yield (when, what happened) for each commit of the ledger between two times, newest first.

        `most` limits the number of commits; 0 means no limit.
        """
        for when, oid in self.commits(since, until, most):
            yield when, self.happened(oid)

    def commits(self, since: float = 0.0, until: float | None = None, most: int = 0) -> Iterator[tuple[float, str]]:
        """Yield (when, id) of the commits that `history` is about."""
        if not self.tip:
            return
        dates = [f"--since={int(since)}"] if since else []
        dates += [f"--until={int(until) + 1}"] if until is not None else []
        dates += [f"-n{most}"] if most else []
        for line in self.hub.git("rev-list", "--first-parent", "--timestamp", *dates, self.tip).splitlines():
            when, oid = line.split()
            yield float(when), oid

    def happened(self, oid: str) -> Sequence[Recorded | ledger_format_v1.Line]:
        """Return what happened in one commit of the ledger; raise Malformed."""
        with decoding(refnames.STATE):
            commit = self.hub.objects.commit(oid)
            data = self.hub.objects.read(commit.tree, codec.EVENTS)
            return codec.decode_events(data) if data else ledger_format_v1.lines(commit.message.decode(errors="replace"))

    def append(self, draft: Draft, before: State, refs: Transaction, now: float) -> Ledger:
        """Write the commit of the next state, and add the move of the ledger's ref to the transaction.

        Return the ledger as it will be once the transaction is committed.
        """
        files = codec.output(draft, before)
        if not files:
            return self
        tree = self.hub.objects.replace(self.tree, files)
        parents = ([self.tip] if self.tip else []) + list(dict.fromkeys(draft.heads))
        tip = self.hub.objects.write_commit(tree, parents, codec.message(draft), now)
        refs.update(refnames.STATE, tip, self.tip)
        written = Ledger(self.hub, tip)
        written._read_back(files)
        return written

    def _read_back(self, files: Mapping[str, bytes | None]) -> None:
        """Check that the new files can be read, before they become the ledger that everybody has to read.

        Raises Fault for the record of a change, and Malformed for any other file.
        """
        for path, data in files.items():
            if data is None:
                continue
            record = path.startswith(("queue/", "done/"))
            with fault_of(path.split("/", 2)[2]) if record else decoding(f"{refnames.STATE}:{path}"):
                if self.hub.objects.read(self.tree, path) != data:
                    raise ValueError(f"{path} is not there as it was written")
                codec.read_back(path, data)
