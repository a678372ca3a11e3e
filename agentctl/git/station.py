"""A station: a repository whose hub is one of its remotes.

Here are the remote's refs as of the last look: those below refs/agentctl/ under their own names, and branches as
remote-tracking branches (`refs/heads/main` of the hub is `refs/remotes/origin/main`, which a person's own `git fetch`
moves too). They are never written by themselves: a transaction is one push, all or nothing, with the expected old value
of each ref as its lease, and what the remote has acknowledged is then written here. Whoever is told by the push that
somebody else was first looks again.

If the link breaks between a push and its answer, a look settles what came of it. The same push may be sent twice: what
it creates has the same name and the same content.
"""

from __future__ import annotations

import contextlib
import fcntl
import math
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from agentctl.core import refnames
from agentctl.errors import AgentctlError, Contended, Timeout
from agentctl.git import modes, process, ref_files, stale_locks, transactions, watch
from agentctl.git.process import GitError
from agentctl.git.ref_files import Names
from agentctl.git.remote import LIMIT, LONGEST, Away, Declined, NoSuchRef, Pushed, Remote
from agentctl.git.transactions import Blocked, Move
from agentctl.git.watch import Watch

HERE = (refnames.STAGE,)
"""The refs of the hub that each station has for itself: they keep what a bot tests from `git gc`."""
SEEN = "refs/agentctl-seen/"
"""Below it a look leaves what it sees; nobody but the look reads it."""
TRIES = 3
"""How often a push is sent whose answer did not come."""
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 30.0
"""The seconds between two tries to reach a remote, doubled each time."""
MANY = 500
"""A look that brings so many refs packs them: each look after it would open a file for each."""
DECLINED = 60.0
"""Seconds after which what a remote declines, while it takes other things, is given up."""


@dataclass(slots=True)
class _Batch:
    """What a thread has written and not pushed yet."""

    moves: dict[str, Move] = field(default_factory=dict)
    settled: list[Callable[[bool], None]] = field(default_factory=list)

    def add(self, moves: Iterable[Move], now: Callable[[str], str | None]) -> None:
        """Take moves in, all or none; raise Contended for a ref that is not as expected."""
        moves = list(moves)
        for move in moves:
            if now(move.ref) != move.old:
                raise Contended(f"contended: {move.ref} is not at {move.old}", ref=move.ref)
        for move in moves:
            before = self.moves.get(move.ref)
            self.moves[move.ref] = Move(move.ref, before.old if before else move.old, move.new)


class Station:
    def __init__(self, remote: Remote, trunk: Callable[[], str | None]) -> None:
        """Stand on a remote; `trunk` tells the branch that is trunk, or None while that is not known."""
        self.git_dir, self.remote, self._trunk = remote.git_dir, remote, trunk
        self._tracking = f"refs/remotes/{remote.name}/"
        self._default = self._tracking + "HEAD"
        self._own = threading.local()
        self._limit = LIMIT
        """The seconds that the next look may take."""
        self._watches: dict[str, Watch] = {}
        self._taken = 0.0
        """When the remote took a push of this process last, by the monotonic clock."""
        self.also = ""
        """Another branch than trunk that is to be looked at."""
        self._looked_at = ""
        """The one of the last look of this process: another look is no look at it, however new."""
        self.took = 0.0
        """The seconds of the last look of this process."""
        self._missed = -1.0
        """When somebody here had last looked as this process last began to: still so if its look failed."""
        self.offline = False
        """True if nobody is to look at the remote; then nothing can be written either."""
        self.patience: Callable[[], float] = lambda: 0.0
        """For how many seconds a transaction waits for a remote that is away or declines it."""
        self.waiting: dict[int, Away | Declined] = {}
        """What each thread waits for whose transaction waits. Words that change while the kind of trouble does not are left out."""

    # names

    def local(self, name: str) -> str:
        """Return the name here of a ref of the hub, or of a folder of refs."""
        return self._tracking + name.removeprefix("refs/heads/") if name.startswith("refs/heads/") else name

    def _of_hub(self, name: str) -> str:
        return "refs/heads/" + name.removeprefix(self._tracking) if name.startswith(self._tracking) else name

    def names(self, prefixes: Iterable[str]) -> Names:
        """Return what `ref_files.names` does, by the names of the hub, and as if what this thread has written were done."""
        prefixes = list(prefixes)
        found = ref_files.names(self.git_dir, map(self.local, prefixes))
        # Git's note of the remote's default branch is no ref of the hub.
        oids = {self._of_hub(name): oid for name, oid in found.oids.items() if name != self._default}
        for move in self._batch.moves.values() if self._batch else ():
            if any(ref_files.under(move.ref, prefix) for prefix in prefixes):
                oids.pop(move.ref, None)
                if move.new:
                    oids[move.ref] = move.new
        return Names(oids, {self._of_hub(name): why for name, why in found.odd.items() if name != self._default})

    def pending(self, name: str) -> Move | None:
        """Return what this thread has written of one ref and not pushed yet."""
        return self._batch.moves.get(name) if self._batch else None

    def _now(self, name: str) -> str | None:
        if move := self.pending(name):
            return move.new
        return ref_files.at(self.git_dir, self.local(name))

    # looking

    @property
    def seen(self) -> float:
        """When somebody here last looked at the remote, as a time of day; 0 if nobody did."""
        try:
            return os.stat(self._path("seen")).st_mtime
        except FileNotFoundError:
            return 0.0

    @property
    def reached(self) -> bool:
        """False if this process could not look when it last tried, or is at it, and nobody here has looked since."""
        return self.seen != self._missed

    def watch(self, ref: str) -> Watch:
        """Return what is known of how long a ref of the hub has been as it is; this process asks again and again."""
        # What a look brings is here before the time of the look is.
        looked = self.seen
        found = ref_files.at(self.git_dir, self.local(ref))
        known = self._watches[ref] = watch.after(self._watches.get(ref), found, looked, time.time())
        return known

    def refresh(self, at_most: float = 0.0) -> None:
        """Bring what the remote has, unless somebody here did within `at_most` seconds or while this waited; raise Away."""
        asked = time.time()
        if self.offline or self._batch or self._looked_at == self.also and 0 <= asked - self.seen < at_most:
            return
        with self._locked():
            if self._looked_at != self.also or not asked <= self.seen <= time.time():
                self._look()

    def deepen(self) -> bool:
        """Bring the whole history to a shallow clone, which merges need; tell whether that was done."""
        if self.offline:
            return False
        with self._locked():
            # Another command may have done it while this waited.
            if os.path.exists(os.path.join(self.git_dir, "shallow")):
                self.remote.deepen()
        return True

    def _look(self) -> None:
        """Bring what the remote has; raise Away.

        A look that did not come to its end in time begins anew the next time, and is given twice as long.
        """
        self._missed = self.seen
        limit = self._limit if self._missed else LONGEST
        try:
            self._look_within(limit)
            self._limit = LIMIT
        except Away as error:
            if isinstance(error.__cause__, Timeout):
                self._limit = min(2 * limit, LONGEST)
            raise

    def _look_within(self, limit: float) -> None:
        begun = time.time()
        shared = [f"+refs/agentctl/*:{SEEN}agentctl/*", *(f"^{folder}*" for folder in HERE)]
        trunk, also = self._trunk(), self.also
        branches = [f"heads/{name}" for name in (trunk, also) if name] if trunk else ["heads/*"]
        try:
            self.remote.fetch([*shared, *(f"+refs/{branch}:{SEEN}{branch}" for branch in branches)], limit)
        except NoSuchRef:
            self.remote.fetch(shared, limit)
            for branch in branches:
                self._look_at(branch, limit)
        self._show([f"refs/{branch}".removesuffix("*") for branch in branches])
        with open(self._path("seen"), "wb", opener=modes.opener) as file:
            os.utime(file.fileno(), (begun, begun))
        self.took, self._looked_at = time.time() - begun, also

    def _look_at(self, branch: str, limit: float) -> None:
        try:
            self.remote.fetch([f"+refs/{branch}:{SEEN}{branch}"], limit)
        except NoSuchRef:
            # The branch is gone there, and so it is here.
            if gone := ref_files.at(self.git_dir, SEEN + branch):
                transactions.carry_out(self.git_dir, [Move(SEEN + branch, gone, None)], "gone from the remote")

    def _show(self, branches: list[str]) -> None:
        """Make the refs here what the look has seen.

        All is written before anything is deleted: whoever reads meanwhile finds a session in its task before its claim is
        gone, and a change in the ledger before it has left the inbox.
        """
        looked = [refnames.ROOT, *branches]
        # The user's own `git fetch` moves remote-tracking branches, too.
        written = transactions.retrying(TRIES, lambda: self._write_down(looked))
        if written >= MANY:
            # Where somebody holds a lock, they stay in files of their own.
            with contextlib.suppress(GitError, Timeout, Contended):
                stale_locks.retrying(self.git_dir, lambda: process.run(["pack-refs", "--all"], git_dir=self.git_dir))

    def _write_down(self, looked: list[str]) -> int:
        """Move the refs here that differ from what was seen, and return how many were written."""
        seen = ref_files.names(self.git_dir, [SEEN + folder.removeprefix("refs/") for folder in looked]).oids
        there = {self.local("refs/" + name.removeprefix(SEEN)): oid for name, oid in seen.items()}
        found = ref_files.names(self.git_dir, map(self.local, looked)).oids
        found = {name: oid for name, oid in found.items() if not name.startswith(HERE) and name != self._default}
        written = [Move(name, found.get(name), oid) for name, oid in there.items() if found.get(name) != oid]
        deleted = [Move(name, oid, None) for name, oid in found.items() if name not in there]
        try:
            if written or deleted:
                transactions.carry_out(self.git_dir, [*written, *deleted], "as seen")
        except Blocked:
            # One ref has taken the place of a folder of others.
            for moves in filter(None, (deleted, written)):
                transactions.carry_out(self.git_dir, moves, "as seen")
        return len(written)

    def _path(self, name: str) -> str:
        folder = os.path.join(self.git_dir, "agentctl", "station")
        modes.folder(folder)
        return os.path.join(folder, name)

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        """Hold the lock by which only one process of a station talks to the remote: its refs here never go back."""
        handle = os.open(self._path("lock"), os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        finally:
            os.close(handle)

    # writing

    @property
    def _batch(self) -> _Batch | None:
        return getattr(self._own, "batch", None)

    @contextlib.contextmanager
    def together(self) -> Iterator[None]:
        """See `Refs.together`."""
        if self._batch:
            yield
            return
        batch = self._own.batch = _Batch()
        done = False
        try:
            yield
            self._own.batch = None
            self.publish(list(batch.moves.values()), "together")
            done = True
        finally:
            self._own.batch = None
            # What was written twice and is not done is undone from the last to the first.
            for act in batch.settled if done else reversed(batch.settled):
                act(done)

    def once_settled(self, act: Callable[[bool], None]) -> None:
        if self._batch:
            self._batch.settled.append(act)
        else:
            act(True)

    def publish(self, moves: list[Move], message: str) -> None:
        """Carry out moves of the hub's refs, at once or with what else this thread writes.

        Raises what `Transaction.commit` does, and Away or Declined once the patience is at its end.
        """
        if self._batch is not None:
            self._batch.add(moves, self._now)
            return
        begun, pause, me = time.monotonic(), FIRST_PAUSE, threading.get_ident()
        sent = False
        try:
            while True:
                try:
                    return self._publish(moves, message, sent)
                except (Away, Declined) as error:
                    # It may have been taken all the same, if its answer was lost and nobody could look.
                    sent = True
                    # A remote that takes other things meanwhile will not take this one.
                    alone = isinstance(error, Declined) and self._taken > begun
                    if time.monotonic() - begun + pause > min(self.patience(), DECLINED if alone else math.inf):
                        raise
                    if type(self.waiting.get(me)) is not type(error):
                        self.waiting[me] = error
                time.sleep(pause)
                pause = min(2 * pause, LONGEST_PAUSE)
        finally:
            self.waiting.pop(me, None)

    def _publish(self, moves: list[Move], message: str, sent: bool) -> None:
        moves = [move for move in moves if move.old != move.new]
        shared = [move for move in moves if not move.ref.startswith(HERE)]
        if not moves:
            return
        if shared and self.offline:
            raise Away(remote=self.remote.name, said="--offline was given", hint="run the same command without --offline")
        # Others push meanwhile, however long it takes.
        if shared:
            self.remote.upload(shared)
        with self._locked():
            found = {move.ref: ref_files.at(self.git_dir, self.local(move.ref)) for move in moves}
            if sent and all(found[move.ref] == move.new for move in moves):
                return
            for move in moves:
                if found[move.ref] != move.old:
                    raise Contended(f"contended: {move.ref} is at {found[move.ref]}, not at {move.old}", ref=move.ref)
            if shared and not self._push(shared, sent):
                # What was written here is what the look has found there.
                return
            # A push writes remote-tracking branches by itself.
            here = [Move(self.local(move.ref), move.old, move.new) for move in moves]
            left = [move for move in here if ref_files.at(self.git_dir, move.ref) != move.new]
            try:
                if left:
                    transactions.carry_out(self.git_dir, left, message)
            except AgentctlError:
                # The remote has acknowledged it, so it is done; a look brings here what stands there.
                if not shared:
                    raise
                self._look()

    def send(self, moves: list[Move]) -> None:
        """Have the remote carry out moves of refs that are here already; raise Away, Declined or Contended.

        Nothing is changed here, whatever comes of it.
        """
        self.remote.upload(moves)
        with self._locked():
            for n in range(TRIES):
                came = self.remote.push(moves, LIMIT * 2**n)
                if came == Pushed():
                    return
                if came.declined:
                    raise Declined(remote=self.remote.name, ref=came.declined, said=came.said)
                there = self.remote.refs([refnames.ROOT + "*"])
                if all(there.get(move.ref) == move.new for move in moves):
                    return
                if came.contended or any(there.get(move.ref) != move.old for move in moves):
                    raise Contended(f"contended: somebody else writes to {self.remote.name}: {came.said}", ref=moves[0].ref)
        raise Declined(remote=self.remote.name, ref="a push", said=came.said)

    def _obstructed(self, ref: str) -> bool:
        """Tell whether a ref of the hub stands where another one needs a folder, or the other way round."""
        parts = ref.split("/")
        above = ("/".join(parts[:n]) for n in range(3, len(parts)))
        return any(ref_files.at(self.git_dir, name) for name in above) or bool(ref_files.names(self.git_dir, [ref + "/"]).oids)

    def _push(self, moves: list[Move], sent: bool) -> bool:
        """Have the remote carry out moves; tell whether they are still to be written here.

        If they were `sent` before, or once they are, refs that are where they should be are taken for our own work.
        """
        for n in range(TRIES):
            came = self.remote.push(moves, LIMIT * 2**n)
            if came == Pushed():
                self._taken = time.monotonic()
                return True
            if came.declined:
                raise Declined(remote=self.remote.name, ref=came.declined, said=came.said)
            self._look()
            for move in moves:
                if move.old is None and self._obstructed(move.ref):
                    raise Blocked(ref=move.ref, why="another ref is in its way at the hub")
            found = {move.ref: ref_files.at(self.git_dir, self.local(move.ref)) for move in moves}
            sent = sent or came.unknown
            if sent and all(found[move.ref] == move.new for move in moves):
                return False
            if came.contended:
                raise Contended(f"contended: {came.contended}: {came.said}", ref=came.contended)
            if any(found[move.ref] != move.old for move in moves):
                raise Contended("contended: the hub was moved while a push was under way", ref=moves[0].ref)
        # A look is answered, and a push is not.
        raise Declined(remote=self.remote.name, ref="a push", said=came.said)
